"""The trainer's error. Nothing here imports TensorFlow."""


class TrainerError(Exception):
    """Something the user can mend: a message of one line, with the rule, the value, the place and what to do."""
