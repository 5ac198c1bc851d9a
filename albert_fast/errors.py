"""The error of the package. Nothing here imports the compiled extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class AlbertFastError(ValueError):
    """An error that the user can fix. Its message is one line with the place, the rule, the value and the fix.

    Args:
        message: the line. It names options as in Python, such as `max_seq_length`.
        kind: `"option"` (an option breaks its rule, or options contradict each other), `"exists"` (an output already
            exists), `"input"` (there is no input, or none that can be used), `"tokenizer"`, `"data"` (a file is damaged
            or of another kind), `"io"` (the operating system refused something), `"training"`, or `"internal"` (a bug
            of albert-fast). The default is that of the class.
        path: the file or directory of the error.
        line: the line in `path`, from 1.
        byte: the byte in `line`, from 1, or in `path`, from 0, if there is no line.
        option: the name of the option.
        rule: what the option must be, as in "must be RULE".
        value: what the option is.
        task_round: if tasks have not done all of their work, the first round in which something is missing, from 1.
        tasks: the tasks to run again in that round, in ascending order.
    """

    default_kind = "data"
    """The kind of an error that does not say its own."""

    def __init__(
        self,
        message: str = "",
        *,
        kind: str | None = None,
        path: Path | None = None,
        line: int | None = None,
        byte: int | None = None,
        option: str | None = None,
        rule: str | None = None,
        value: Any = None,
        task_round: int | None = None,
        tasks: Sequence[int] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = self.default_kind if kind is None else kind
        self.path = path
        self.line = line
        self.byte = byte
        self.option = option
        self.rule = rule
        self.value = value
        self.task_round = task_round
        self.tasks = tasks

    @property
    def exit_code(self) -> int:
        """What a command exits with: 2 if the kind is `"option"`, otherwise 1."""
        return 2 if self.kind == "option" else 1


def option_error(
    option: str, rule: str, value: Any, advice: str = "", *, got: str | None = None, kind: str = "option"
) -> AlbertFastError:
    """Returns the error for an option that breaks its rule: "OPTION must be RULE, got VALUE; ADVICE".

    Args:
        option: the option's name. It may have an index, such as `input_ids[3]`, which `.option` does not have.
        rule: what the option must be.
        value: what it is.
        advice: how to fix it.
        got: what the message says instead of the value.
        kind: the kind of the error.
    """
    message = f"{option} must be {rule}, got {shown(value) if got is None else got}" + (f"; {advice}" if advice else "")
    # An array or a tensor may be large, or not go into a pickle.
    kept = value if got is None or isinstance(value, _PLAIN) else got
    return AlbertFastError(message, kind=kind, option=option.partition("[")[0], rule=rule, value=kept)


_PLAIN = (bool, int, float, str, bytes, list, tuple, dict, type(None))


def shown(value: Any) -> str:
    """Returns a value as an error shows it, in one line of at most 200 characters."""
    # On the command line, 5 and 5.0 are the same.
    text = repr(value).removesuffix(".0") if isinstance(value, float) else repr(value)
    return (" ".join(text.split()) if "\n" in text else text)[:200]
