"""Suggests what to type instead of a flag of another program, google-research/ALBERT or SentencePiece."""

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
"""Suggestions by the flag in kebab case. A flag that the command itself has is never looked up here."""

TRAINING = {"input-file": "pass --records FILE, or --tokens STORE", "input": "pass --records FILE, or --tokens STORE"}
"""Other suggestions, for commands that take records."""


def hint(flag: str, known: Collection[str], positional: bool) -> str:
    """Returns what to type instead of a flag that the command does not have, or an empty string if unknown.

    Args:
        flag: the flag as it was typed, with its dashes, without a value.
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
