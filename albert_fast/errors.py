"""The error of the package. Nothing here imports the compiled extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class AlbertFastError(ValueError):
    """An error that the user can fix: its message is one line with the place, the rule, the value and the remedy.

    Args:
        message: the line. Options stand in it by their names, such as `max_seq_length`.
        kind: `"option"` (a value outside its rule, options that contradict each other), `"exists"` (an output that is
            there already), `"input"` (no input, or none that can be used), `"tokenizer"`, `"data"` (a file that is
            damaged or of another kind), `"io"` (the operating system refused something), or `"training"`.
        path: the file or directory that it is about.
        line: line in `path`, from 1.
        byte: byte in `line`, from 1, or in `path`, from 0, if there is no line.
        option: name of the option that it is about.
        rule: what the option must be, as in "must be RULE".
        value: what the option is.
    """

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "data",
        path: Path | None = None,
        line: int | None = None,
        byte: int | None = None,
        option: str | None = None,
        rule: str | None = None,
        value: Any = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.path = path
        self.line = line
        self.byte = byte
        self.option = option
        self.rule = rule
        self.value = value


def option_error(option: str, rule: str, value: Any, advice: str = "", *, kind: str = "option") -> AlbertFastError:
    """The error of an option outside its rule: "OPTION must be RULE, got VALUE; ADVICE"."""
    message = f"{option} must be {rule}, got {shown(value)}" + (f"; {advice}" if advice else "")
    return AlbertFastError(message, kind=kind, option=option, rule=rule, value=value)


def shown(value: Any) -> str:
    """A value as an error shows it, at most 200 characters."""
    # On the command line, 5 and 5.0 are the same.
    text = repr(value).removesuffix(".0") if isinstance(value, float) else repr(value)
    return text[:200]
