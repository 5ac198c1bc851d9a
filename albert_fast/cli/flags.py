"""Words for the command line: options as they are typed.

The library, the core and the trainer name options as Python does: `` `max_seq_length` ``, `ngram=3`, `skip_bad=True`,
`rng='reference'`. Here these become --max-seq-length, --ngram 3, --skip-bad and --rng reference.
"""

from __future__ import annotations

import functools
import re

from albert_fast.cli.commands import STAGES
from albert_fast.options.base import Stage, flag, options_of, typed

_NAME = re.compile(r"`([a-z]+(?:_[a-z0-9]+)*)`")
_FUNCTIONS = {"Tokenizer.from_vocab_file": "--vocab-file", "Tokenizer.from_file": "--tokenizer"}
"""What to type instead of calling a function of the library."""
_FUNCTION = re.compile("|".join(map(re.escape, _FUNCTIONS)))
_VALUE = re.compile(r"""(?<![\w/.?&`-])([a-z]+(?:_[a-z0-9]+)*)=('[^']*'|"[^"]*"|[\w.-]*\w)""")
_OTHERWISE = {"format": "format"}
"""Options that the library names, and that may have another name here."""


@functools.cache
def _known() -> frozenset[str]:
    """Returns the names of all options of all commands."""
    return frozenset(name for stage in STAGES.values() for name in options_of(stage))


def _named(name: str) -> str:
    """Returns the name that an option of the library has here."""
    return _OTHERWISE.get(name, name)


def begin(stage: type[Stage]) -> None:
    """Notes which command runs, because --format has another name in those that read a corpus."""
    options = options_of(stage)
    _OTHERWISE["format"] = "input_format" if "input_format" in options and "format" not in options else "format"


def in_flags(message: str, option: str | None = None) -> str:
    """Returns a message of the library with options as they are typed.

    Args:
        message: one line.
        option: the option that the message is about. It is translated if the message begins with its name.
    """
    message = _FUNCTION.sub(lambda it: _FUNCTIONS[it[0]], message)
    message = _NAME.sub(lambda it: flag(_named(it[1])) if it[1] in _known() else it[0], message)
    message = _VALUE.sub(_typed, message)
    if option is not None and message.startswith(f"{option} ") and option in _known():
        message = flag(_named(option)) + message.removeprefix(option)
        # A rule may name another option, such as max_seq_length.
        bare = re.compile(r"(?<![\w/.-])[a-z]+(?:_[a-z]+)+(?![\w/])")
        message = bare.sub(lambda it: flag(it[0]) if it[0] in _known() else it[0], message)
    return message


def _typed(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    if name not in _known():
        return found[0]
    name = _named(name)
    if value in {"True", "False"}:
        return typed(name, value == "True")
    bare = value[1:-1] if value[0] in "'\"" else value
    return f'{flag(name)} "{bare}"' if " " in bare else f"{flag(name)} {bare}"
