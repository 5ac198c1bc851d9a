"""Warns about what the reference's text rules, made for English, change in text of another language."""

from collections.abc import Collection, Sequence
from typing import Any

from albert_fast import AlbertFastError, Tokenizer, _native
from albert_fast.cli.common import warn

MARKS = 0.001
"""Fraction of letters that must lose an accent, umlaut or tone mark before there is a warning."""
CAPITALS = 0.18
"""Fraction of words inside sentences that must begin with a capital letter before the capitals matter: nouns, as in
German, where the fraction is a third. In English only names do, which are a tenth at most."""


_REFERENCE = "reference"
"""Advice for --rng reference, with which --keep-accents is an error."""


def warn_of_changes(
    inputs: Sequence[str], *, lower_case: bool, keep_accents: bool, given: Collection[str] = (), advice: str = ""
) -> None:
    """Warns if the text rules remove accents, or the capitals of a language that capitalizes its nouns.

    Args:
        inputs: the text. A sample of its files is read. Standard input is skipped.
        lower_case: whether the text is lowercased.
        keep_accents: whether accents are kept.
        given: rules that the user gave, `do_lower_case` or `keep_accents`. There is no warning about these.
        advice: what to do. The default is to pass the flags.
    """
    try:
        found = _native.text_changes(inputs, lower_case=lower_case, keep_accents=keep_accents)
    except AlbertFastError:  # reported when the input is read in full
        return
    if message := describe(found, given, advice):
        warn(message)


def warn_of_changes_for(
    inputs: Sequence[str], tokenizer: Tokenizer, given: Collection[str] = (), *, reference: bool = False
) -> None:
    """Warns about text that a tokenizer is about to tokenize. `reference`: as --rng reference, without accents."""
    if tokenizer.kind == "wordpiece":
        # It strips accents if and only if it lowercases.
        given = [*given, "keep_accents"] if "do_lower_case" in given else given
        advice = "pass --no-do-lower-case and the --vocab-file of a cased vocabulary"
        warn_of_changes(
            inputs, lower_case=tokenizer.lower_case, keep_accents=not tokenizer.lower_case, given=given, advice=advice
        )
    elif tokenizer.text_rules == "albert":
        warn_of_changes(
            inputs,
            lower_case=tokenizer.lower_case,
            keep_accents=tokenizer.keep_accents,
            given=given,
            advice=_REFERENCE if reference else "train the tokenizer with {flags}",
        )


def describe(found: dict[str, Any], given: Collection[str] = (), advice: str = "") -> str:
    """Returns the warning, or an empty string.

    Args:
        found: what `_native.text_changes` returns.
        given: as in `warn_of_changes`.
        advice: as in `warn_of_changes`, or `_REFERENCE`. {flags} in it is replaced with the flags.
    """
    letters = max(1, found["letters"])
    marks = "keep_accents" not in given and found["marks"] > MARKS * letters
    nouns = found["inner_capitals"] > CAPITALS * max(1, found["inner_words"])
    capitals = "do_lower_case" not in given and found["capitals"] > MARKS * letters and (marks or nouns)
    if not marks and not capitals:
        return ""
    changed = found["changed"] if marks and capitals else found["marks" if marks else "capitals"]
    what, flags, pairs = [], [], []
    if marks:
        what.append("remove accents, umlauts or tone marks")
        flags.append("--keep-accents")
        pairs += found["mark_examples"]
    if capitals:
        what.append("lowercase capitals")
        flags.append("--no-do-lower-case")
    if not marks:
        pairs += found["capital_examples"]
    examples = ", ".join(f"{before} -> {after}" for before, after in pairs[:3])
    if advice == _REFERENCE:
        steps = ["drop --rng reference, which always removes accents"] if marks else []
        steps += ["train the tokenizer with --no-do-lower-case"] if capitals else []
        todo = " and ".join(steps)
    else:
        todo = (advice or "pass {flags}").format(flags=" and ".join(flags))
    return (
        f"the text rules change {100 * changed / letters:.1f}% of the letters, because they {' and '.join(what)} "
        f"({examples}); to keep them, {todo}"
    )
