"""Starts the tasks of a command on the machines of a cluster. The tasks are what the command itself does."""
