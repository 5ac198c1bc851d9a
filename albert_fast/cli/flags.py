"""Words for the command line: options as they are typed.

The library, the core and the trainer name options as Python does: `` `max_seq_length` ``, `ngram=3`, `skip_bad=True`,
`rng='reference'`. Here these become --max-seq-length, --ngram 3, --skip-bad and --rng reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from albert_fast.options import Stage, flag, options_of, typed

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"`([a-z]+(?:_[a-z0-9]+)*)`")
_FUNCTIONS = {"Tokenizer.from_vocab_file": "--vocab-file", "Tokenizer.from_file": "--tokenizer"}
"""What to type instead of calling a function of the library."""
_FUNCTION = re.compile("|".join(map(re.escape, _FUNCTIONS)))
_VALUE = re.compile(r"""(?<![\w/.?&`-])([a-z]+(?:_[a-z0-9]+)*)=('[^']*'|"[^"]*"|[\w.-]*\w)""")
_KNOWN: dict[str, str] = {}
"""What options that the library names are called here."""


def use(stages: Iterable[type[Stage]]) -> None:
    """Sets the options that are known: those of all commands."""
    for stage in stages:
        _KNOWN.update({name: name for name in options_of(stage)})


def begin(stage: type[Stage]) -> None:
    """Notes which command runs, because --format has another name in those that read a corpus."""
    options = options_of(stage)
    _KNOWN["format"] = "input_format" if "input_format" in options and "format" not in options else "format"


def in_flags(message: str, option: str | None = None) -> str:
    """Returns a message of the library with options as they are typed.

    Args:
        message: one line.
        option: the option that the message is about. It is translated if the message begins with its name.
    """
    message = _FUNCTION.sub(lambda it: _FUNCTIONS[it[0]], message)
    message = _NAME.sub(lambda it: flag(_KNOWN[it[1]]) if it[1] in _KNOWN else it[0], message)
    message = _VALUE.sub(_typed, message)
    if option in _KNOWN and message.startswith(f"{option} "):
        message = flag(_KNOWN[option]) + message.removeprefix(option)
        # A rule may name another option, such as max_seq_length.
        bare = re.compile(r"(?<![\w/.-])[a-z]+(?:_[a-z]+)+(?![\w/])")
        message = bare.sub(lambda it: flag(it[0]) if it[0] in _KNOWN else it[0], message)
    return message


def _typed(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    if name not in _KNOWN:
        return found[0]
    name = _KNOWN[name]
    if value in {"True", "False"}:
        return typed(name, value == "True")
    bare = value[1:-1] if value[0] in "'\"" else value
    return f'{flag(name)} "{bare}"' if " " in bare else f"{flag(name)} {bare}"
