"""The trainer's error. Nothing here imports TensorFlow."""


class TrainerError(Exception):
    """Something the user can mend: a message of one line, with the rule, the value, the place and what to do."""


def some(names: list[str], most: int = 3) -> str:
    """The first `most` of `names`, and how many more there are, for a message of one line."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
