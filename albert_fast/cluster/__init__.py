"""Runs tasks on clusters."""
