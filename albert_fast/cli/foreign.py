"""Tells who types a flag of another program, google-research/ALBERT's or SentencePiece's, what it is here."""

from collections.abc import Collection

_INPUTS = "inputs have no flag here: write the files after the command, separated by spaces"

HINTS = {
    "input-file": _INPUTS,
    "input": _INPUTS,
    "train-files": _INPUTS,
    "output-file": "pass --output-dir DIRECTORY",
    "output-directory": "pass --output-dir DIRECTORY",
    "model-prefix": "pass --output-dir DIRECTORY; the model is spiece.model in it",
    "spm-model-file": "pass --tokenizer FILE",
    "model-file": "pass --tokenizer FILE",
    "albert-config-file": "pass --model FILE",
    "bert-config-file": "pass --model FILE",
    "train-batch-size": "pass --batch-size",
    "train-file": "pass --records FILE, or --tokens STORE",
}
"""By the flag in kebab case; a flag that the command has itself never comes here."""

TRAINING = {"input-file": "pass --records FILE, or --tokens STORE", "input": "pass --records FILE, or --tokens STORE"}
"""What differs for commands that take records."""


def hint(flag: str, known: Collection[str], positional: bool) -> str:
    """What to type instead of a flag that the command does not have; empty if nothing is known.

    Args:
        flag: as it was typed, with its dashes, without a value.
        known: the command's own flags.
        positional: whether the command takes its inputs as arguments.
    """
    kebab = flag.lstrip("-").replace("_", "-")
    if f"--{kebab}" in known:
        return f"pass --{kebab}"
    if kebab in TRAINING and not positional:
        return TRAINING[kebab] if "--records" in known else ""
    found = HINTS.get(kebab, "")
    return "pass --output FILE" if found.startswith("pass --output-dir") and "--output-dir" not in known else found
