"""The trainer's error. Nothing here imports TensorFlow."""


class TrainerError(Exception):
    """Something the user can mend: a message of one line, with the rule, the value, the place and what to do."""


def some(names: list[str]) -> str:
    """The first of `names`, and how many more there are, for a message of one line."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
