"""What an option is: a field of a frozen dataclass, with its type, default, rule, description and help panel.

Each stage of the program has one such class, derived from `Stage`. The command line, `--config`, the arguments of the
Python functions, the reference pages and the JSON for the compiled core are made from its fields.

If a class has several bases, its fields begin with those of the last one.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import operator
import os
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from albert_fast.errors import AlbertFastError, option_error, shown
from albert_fast.paths import as_path, is_remote, public

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_THREADS = 1024

REQUIRED: Any = dataclasses.MISSING
"""The default of an option that must be given."""

_KEY = "option"

S = TypeVar("S", bound="Stage")


@dataclasses.dataclass(frozen=True)
class Option:
    """Everything that is known about an option."""

    name: str
    help: str
    panel: str
    metavar: str
    """The metavar: what stands for the value in help texts, such as N, PATH or FRACTION."""
    kind: Any
    """`bool`, `int`, `float`, `str`, `Path`, or a `Stage`: then each value is a group of options."""
    many: bool
    """Whether the option takes several values."""
    optional: bool
    """Whether the value may be None."""
    default: Any
    """The default, or `REQUIRED` if there is none."""
    choices: tuple[str, ...]
    """The allowed strings. Empty if any string is allowed."""
    low: float | None
    """The minimum."""
    high: float | None
    """The maximum."""
    above: bool
    """Whether the value must be above `low`, not only at least `low`."""
    below: bool
    """Whether the value must be below `high`."""
    shown: str | None
    """The default as help texts show it, if that is not the value itself."""
    flags: tuple[str, ...]
    """Further names on the command line, such as -n."""
    only: bool
    """Whether the command line only has this name, without its --no- form."""
    argument: bool
    """Whether the option is a positional argument on the command line."""
    falls: bool
    """Whether a number may also be FIRST:LAST, a fraction that falls from the first to the last. It is kept as text."""
    pairs: bool
    """Whether several values, NAME=NUMBER, may also be a mapping from names to numbers."""

    @property
    def flag(self) -> str:
        """The option as it is typed: `max_seq_length` is --max-seq-length."""
        return flag(self.name)

    @property
    def rule(self) -> str:
        """What the value must be, as in "must be RULE"."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.is_group:
            return "NAME=VALUE,... or a mapping"
        if self.many:
            return "a list of strings"
        names = {bool: "true or false", str: "a string", Path: "a path"}
        if self.kind in names:
            return names[self.kind]
        noun = "a whole number" if self.kind is int else "a number"
        return f"{noun}{self.range}"

    @property
    def is_group(self) -> bool:
        """Whether each value is a group of options."""
        return isinstance(self.kind, type) and issubclass(self.kind, Stage)

    @property
    def range(self) -> str:
        """The limits of a number: " from 0 to 1", " of at least 1", " above 0", or nothing."""
        low, high = (None if limit is None else _limit(limit) for limit in (self.low, self.high))
        if low is None:
            return "" if high is None else f" {'below' if self.below else 'of at most'} {high}"
        if high is None:
            return f" {'above' if self.above else 'of at least'} {low}"
        if self.above or self.below:
            least, most = "above" if self.above else "of at least", "below" if self.below else "at most"
            return f" {least} {low} and {most} {high}"
        return f" from {low} to {high}"

    @property
    def default_words(self) -> str | None:
        """The default as help texts show it, or None if there is none to show."""
        if self.shown is not None:
            return self.shown or None
        if self.default is REQUIRED or self.default is None:
            return None
        if self.kind is bool:
            return "on" if self.default else "off"
        if self.many:
            return " ".join(str(value) for value in self.default) or None
        return f"{self.default:g}" if self.kind is float else str(self.default)

    def check(self, value: Any) -> Any:
        """Returns the value, converted to the option's type.

        Raises:
            AlbertFastError: the value breaks the option's rule.
        """
        if value is None:
            if self.optional:
                return None
            raise self.error(value)
        if not self.many:
            return self._check_one(value)
        if self.pairs and isinstance(value, Mapping):
            for name, number in value.items():
                if as_number(number) is None:
                    got = f"{name}: {shown(number)}"
                    raise option_error(self.name, "a mapping from names to numbers", value, got=got)
            value = [f"{name}={number}" for name, number in value.items()]
        if isinstance(value, str | bytes | os.PathLike | Mapping | Stage) or not isinstance(value, Iterable):
            value = [value]
        if self.is_group:
            return tuple(self._check_group(item, number) for number, item in enumerate(value, 1))
        return tuple(self._check_one(item) for item in value)

    def error(self, value: Any) -> AlbertFastError:
        """Returns the error for a value that breaks the rule."""
        return option_error(self.name, self.rule, value)

    def _check_group(self, value: Any, number: int) -> Any:
        try:
            return self.kind.read(value)
        except AlbertFastError as error:
            message = f"in {self.name} {number}, {error}"
            raise AlbertFastError(message, kind=error.kind, option=self.name, value=value) from None

    def _check_one(self, value: Any) -> Any:
        if self.kind is bool:
            if is_bool(value):
                return bool(value)
            raise self.error(value)
        if self.kind is int:
            return self._in_range(value, _integer(value))
        if self.kind is float:
            if self.falls and is_fall(value):
                return self._check_fall(value)
            return self._in_range(value, as_number(value))
        if self.kind is Path and isinstance(value, str | os.PathLike):
            # An empty path would mean the current directory.
            path = os.fspath(value)
            if isinstance(path, str) and path:
                return as_path(path)
            raise self.error(value)
        if isinstance(value, os.PathLike) and not self.choices:
            value = os.fspath(value)
        if isinstance(value, str) and not self.choices and is_remote(value):
            value = public(value)  # without secrets, because options are written beside outputs
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            raise self.error(value)
        return value

    def _check_fall(self, value: Any) -> float | str:
        """Returns FIRST:LAST in the form in which it is compared, or one number if both are equal."""
        refused = option_error(self.name, "two fractions FIRST:LAST with 1 >= FIRST >= LAST > 0", value)
        try:
            numbers = [float(part) for part in (value.split(":") if isinstance(value, str) else value)]
        except (TypeError, ValueError):
            raise refused from None
        if len(numbers) != 2 or not all(math.isfinite(number) for number in numbers):
            raise refused
        first, last = numbers
        if not 1 >= first >= last > 0:
            raise refused
        return first if first == last else f"{first!r}:{last!r}"

    def _in_range(self, value: Any, number: float | None) -> float:
        if number is None:
            raise self.error(value)
        low, high = self.low, self.high
        if low is not None and (number < low or (self.above and number == low)):
            raise self.error(value)
        if high is not None and (number > high or (self.below and number == high)):
            raise self.error(value)
        return number


def is_fall(value: Any) -> bool:
    """Returns whether this is meant to be FIRST:LAST: text with a colon, or a pair."""
    return ":" in value if isinstance(value, str) else isinstance(value, tuple | list)


def is_bool(value: Any) -> bool:
    """Returns whether this is a bool of Python or NumPy (`bool_` or `bool`). NumPy need not be loaded."""
    return isinstance(value, bool) or type(value).__name__ in {"bool_", "bool"}


def _integer(value: Any) -> int | None:
    """Returns an integer of Python or NumPy, or None if it is something else."""
    if is_bool(value):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def as_number(value: Any) -> float | None:
    """Returns a finite number of Python or NumPy, or None if it is something else."""
    if isinstance(value, str | bytes) or is_bool(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _limit(limit: int | float) -> str:  # noqa: PYI041 - they are shown differently
    if isinstance(limit, int) and limit >= 2**31 - 1:
        return f"2**{limit.bit_length()} - 1"
    if isinstance(limit, float):
        return f"{limit:g}"
    return f"{limit:,}" if limit >= 10**6 else str(limit)


def flag(name: str) -> str:
    """Returns an option's name as it is typed."""
    return f"--{name.replace('_', '-')}"


def typed(name: str, value: Any) -> str:
    """Returns an option with its value as it is typed: `--word-boundary albert`, `--no-cross-segment-words`."""
    if isinstance(value, tuple):
        return " ".join(typed(name, item) for item in value)
    if isinstance(value, bool):
        return flag(name) if value else f"--no-{flag(name).removeprefix('--')}"
    return f"{flag(name)} {value}"


def option(
    default: Any,
    help: str,  # noqa: A002 - as everywhere where help texts are made
    panel: str = "Options",
    *,
    metavar: str | None = None,
    low: float | None = None,
    high: float | None = None,
    above: bool = False,
    below: bool = False,
    shown: str | None = None,
    flags: tuple[str, ...] = (),
    only: bool = False,
    argument: bool = False,
    falls: bool = False,
    pairs: bool = False,
) -> Any:
    """Defines a field of a `Stage`. The arguments are the attributes of `Option`."""
    known = {
        "help": help,
        "panel": panel,
        "metavar": metavar,
        "low": low,
        "high": high,
        "above": above,
        "below": below,
        "shown": shown,
        "flags": flags,
        "only": only,
        "argument": argument,
        "falls": falls,
        "pairs": pairs,
    }
    return dataclasses.field(default=default, metadata={_KEY: known}, kw_only=True)


_METAVARS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH", bool: ""}


_KNOWN: dict[type[Stage], dict[str, Option]] = {}


def options_of(stage: type[Stage]) -> Mapping[str, Option]:
    """Returns the options of a stage by name, in the order of its fields."""
    if stage not in _KNOWN:
        hints = typing.get_type_hints(stage)
        _KNOWN[stage] = {field.name: _option(field, hints[field.name]) for field in dataclasses.fields(stage)}
    return _KNOWN[stage]


def _option(field: dataclasses.Field[Any], hint: Any) -> Option:
    known = dict(field.metadata[_KEY])
    parts, optional = [hint], False
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        optional = len(parts) < len(typing.get_args(hint))
    kind = parts[0]
    many = typing.get_origin(kind) in {tuple, list}
    if many:
        kind = typing.get_args(kind)[0]
    choices: tuple[str, ...] = ()
    if typing.get_origin(kind) is Literal:
        choices, kind = typing.get_args(kind), str
    metavar = known.pop("metavar")
    if metavar is None:
        metavar = "|".join(choices) if choices else _METAVARS[kind]
    return Option(
        name=field.name,
        metavar=metavar,
        kind=kind,
        many=many,
        optional=optional,
        default=field.default,
        choices=choices,
        **known,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """The options of a stage. When an instance is made, each field is checked and converted to its type.

    Raises:
        AlbertFastError: an option breaks its rule. The kind is `"option"`, and the error has the option, rule and
            value.
    """

    PANELS: ClassVar[Mapping[str, str]] = {}
    """Panels that have another title in this command than in the stages it is made of."""
    NEEDS: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}
    """Options of a command that only have an effect with another option, which is the value, or one of several."""
    WRAPS: ClassVar[bool] = False
    """Whether the command's only argument is another command, with options of its own."""

    def __post_init__(self) -> None:
        for name, known in options_of(type(self)).items():
            object.__setattr__(self, name, known.check(getattr(self, name)))
        self.validate()

    def validate(self) -> None:
        """Checks the rules that involve more than one option.

        Raises:
            AlbertFastError: options contradict each other.
        """

    @classmethod
    def pick(cls, values: Mapping[str, Any]) -> Self:
        """Returns the stage with those of `values` that are its options. The others have their defaults."""
        return cls(**{name: values[name] for name in options_of(cls) if name in values})

    @classmethod
    def read(cls, value: Any) -> Self:
        """Returns the stage of a group of options: a mapping, a JSON object, or text like "steps=9,tokens=A,tokens=B".

        Raises:
            AlbertFastError: a name is unknown, missing or repeated, or a value breaks its rule.
        """
        if isinstance(value, cls):
            return value
        known = options_of(cls)
        if isinstance(value, str):
            value = _parsed(value, known)
        if not isinstance(value, Mapping):
            raise AlbertFastError(f"there must be NAME=VALUE,... or a mapping, got {value!r}", kind="option")
        given: dict[str, Any] = {}
        for key, item in value.items():
            name = str(key).replace("-", "_")
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                advice = f"did you mean {near[0]}?" if near else f"the names are {', '.join(known)}"
                raise AlbertFastError(f"there is no {name}; {advice}", kind="option", option=name)
            if name in given:
                raise AlbertFastError(f"{name} is given twice; remove one", kind="option", option=name)
            if item is not None:
                given[name] = item
        for name, option in known.items():
            if option.default is REQUIRED and name not in given:
                raise AlbertFastError(f"{name} is missing; add {name}={option.metavar}", kind="option", option=name)
        return cls(**given)

    def given(self) -> dict[str, Any]:
        """Returns the options that differ from their defaults by name, as JSON represents them."""
        known = options_of(type(self))
        return {name: value for name, value in self.as_dict().items() if getattr(self, name) != known[name].default}

    def part(self, stage: type[S]) -> S:
        """Returns the options that belong to `stage`, which is a base of this class or has its fields."""
        return stage.pick({name: getattr(self, name) for name in options_of(type(self))})

    def as_dict(self) -> dict[str, Any]:
        """Returns the options by name, as JSON represents them: paths as strings, tuples as lists."""
        return {name: _plain(getattr(self, name)) for name in options_of(type(self))}

    def to_json(self) -> str:
        """Returns the options as the compiled core takes them."""
        return json.dumps(self.as_dict())


def _parsed(text: str, known: Mapping[str, Option]) -> Any:
    """Returns the mapping that a JSON object or NAME=VALUE,... stands for. An option of many values may be repeated."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AlbertFastError(f"{text!r} is not JSON ({error})", kind="option") from None
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        name = name.replace("-", "_")
        if not (name and equals and value):
            comma = "; write decimals with a point" if part.strip().isdigit() and found else ""
            raise AlbertFastError(f"there must be NAME=VALUE between commas, got {part!r}{comma}", kind="option")
        option = known.get(name)
        if option is not None and option.many:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise AlbertFastError(f"{name} is given twice; remove one", kind="option", option=name)
        else:
            found[name] = _number_in(value, option)
    return found


def _number_in(text: str, option: Option | None) -> Any:
    """Returns the number that `text` stands for if the option is one. The check of the option refuses other text."""
    try:
        return text if option is None or option.kind not in {int, float} else option.kind(text)
    except ValueError:
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, Stage):
        return value.given()
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


T = TypeVar("T", bound="typing.Callable[..., Any] | type")


def documented(*stages: type[Stage]) -> typing.Callable[[T], T]:
    """Replaces the line `{options}` of a docstring with the descriptions of the options of `stages`.

    Flags in the text, such as --ngram, become names.
    """
    lines: dict[str, str] = {}
    for stage in stages:
        for name, known in options_of(stage).items():
            words = known.default_words if known.shown else None
            text = f"{known.help} Default: {words}." if words else known.help
            lines.setdefault(name, f"{name}: {_FLAG.sub(_as_name, text)}")

    def decorate(target: T) -> T:
        document = target.__doc__ or ""
        indent = " " * next(
            (len(line) - len(line.lstrip()) for line in document.splitlines() if line.strip() == "{options}"), 0
        )
        more = f"\n{indent}    "
        entries = [more.join(textwrap.wrap(line, 108, break_on_hyphens=False)) for line in lines.values()]
        target.__doc__ = document.replace("{options}", f"\n{indent}".join(entries))
        return target

    return decorate


_FLAG = re.compile(r"--([a-z][a-z-]*[a-z])")


def _as_name(found: re.Match[str]) -> str:
    return f"`{found[1].replace('-', '_')}`"
