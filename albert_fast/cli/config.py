"""`--config FILE`: options of any command from YAML or JSON. Flags take precedence.

The keys of the file are option names, in snake case or kebab case. Three more kinds of key are read:

- the name of a command, with options for that command only. They take precedence over those at the top level.
- ``albert_config``, the model's configuration in the public ALBERT guide. Its ``vocab_size`` is the default of
  ``train-tokenizer``, and it is the model of ``pretrain``. The guide's run keys are next to it. Those of other commands
  than the running one are ignored.
- ``albert_fast_version``, which the configurations written next to every output contain.
"""

import difflib
import json
import re
import typing
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from albert_fast import json_text
from albert_fast.cli.commands import STAGES
from albert_fast.cli.common import UsageError, warn
from albert_fast.errors import AlbertFastError
from albert_fast.options.base import Option, Stage, is_fall, options_of
from albert_fast.paths import as_path

ALBERT_CONFIG_KEYS = frozenset(
    [
        "attention_probs_dropout_prob",
        "classifier_dropout_prob",
        "down_scale_factor",
        "embedding_size",
        "gap_size",
        "hidden_act",
        "hidden_dropout_prob",
        "hidden_size",
        "initializer_range",
        "inner_group_num",
        "intermediate_size",
        "layers_to_keep",
        "ln_type",
        "max_position_embeddings",
        "model_type",
        "net_structure_type",
        "num_attention_heads",
        "num_hidden_groups",
        "num_hidden_layers",
        "num_memory_blocks",
        "square_mapping",
        "type_vocab_size",
        "vocab_size",
    ]
)
"""The keys of the model's configuration: the reference's `albert_config.json` and the guide's."""

RUN_KEYS = frozenset(["do_eval", "do_train", "max_eval_steps"])
"""The guide's run keys that have no meaning here: `evaluate` is a command, and takes all records."""

ALIASES = {"albert_config_file": "model", "input_file": "records", "train_batch_size": "batch_size"}
"""The guide's names for options of `pretrain`."""

SPELLINGS = {"as_json": "json", "text_column": "text_field"}
"""Options that have two names, by the second name."""

MOST_VALUES = 1_000_000
"""The maximum number of values in a YAML file. Aliases of aliases can stand for more than fits in any memory."""


def parameters(stage: type[Stage]) -> dict[str, Option]:
    """Returns the options and arguments of a command, without `--config` itself."""
    return {name: option for name, option in options_of(stage).items() if name != "config"}


def read(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML or JSON file.

    Raises:
        UsageError: the file cannot be read, is not YAML, or contains something other than a mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}, byte {error.start + 1}: a configuration must be UTF-8") from error
    try:
        # JSON is read as JSON, because YAML would read its tabs and some of its numbers as something else.
        content, repeated = (json_text.parse if path.suffix.lower() == ".json" else _parse_yaml)(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except _TooManyValuesError as error:
        raise UsageError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(f"{path}{place}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a YAML or JSON file: {error}") from error
    try:
        json.dumps(content, default=str, skipkeys=True)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: a value must not contain itself, nor be nested thousands of levels deep") from error
    for remark in json_text.remark(repeated):
        _warn_once(f"{path}: {remark}", text)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: must be a mapping of option names to values, got {_a_type(content)}")
    return content


def _parse_yaml(text: str) -> tuple[Any, list[str]]:
    """Returns the value of a YAML text, and the keys that a mapping in it repeats, of which the last value counts."""
    import yaml

    repeated: dict[str, None] = {}

    class Loader(yaml.SafeLoader):
        """PyYAML's loader with the numbers of YAML 1.2: 1e-12 without a point, and 1.5e3 without a sign."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            if isinstance(node, yaml.MappingNode):
                # Count before the keys of `<<`, which a mapping may replace, are among them.
                names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
                repeated.update(dict.fromkeys(name for name, count in names.items() if count > 1 and name != "<<"))
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, []
        if _size(node, {}) > MOST_VALUES:
            raise _TooManyValuesError(f"must have at most {MOST_VALUES:,} values, counting an alias each time")
        return loader.construct_document(node), [*repeated]
    finally:
        loader.dispose()


class _TooManyValuesError(Exception):
    pass


def _size(node: Any, known: dict[int, int]) -> int:
    """Returns the number of values in a node. Aliases count each time. `known` has the counts by node id."""
    if id(node) not in known:
        known[id(node)] = 1  # for a node that contains itself, which is refused later
        if isinstance(node.value, list):
            children = (each for entry in node.value for each in (entry if isinstance(entry, tuple) else (entry,)))
            known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]


_WARNED: set[tuple[str, str]] = set()


def _warn_once(line: str, text: str) -> None:
    """Warns, but only once for the same text, because a file with options and a model is read twice."""
    if (line, text) not in _WARNED:
        _WARNED.add((line, text))
        warn(line)


def options_for(path: Path, command: str) -> dict[str, Any]:
    """Returns the options that the configuration `path` sets for `command`, checked and converted.

    Raises:
        UsageError: a key is unknown (the message names the nearest known one), or a value has the wrong type or is
            outside its range.
    """
    by_command = {name: parameters(stage) for name, stage in STAGES.items()}
    known = {key for found in by_command.values() for key in found} | RUN_KEYS | ALIASES.keys()
    shared: dict[str, Any] = {}
    own: dict[str, Any] = {}
    vocab_size: Any = None
    has_model = False
    for key, value in _normalized(path, "", read(path)).items():
        section = key.replace("_", "-")
        if section in by_command:
            content = _normalized(path, f"{section}.", _mapping(path, section, value))
            _refuse_unknown(path, f"{section}.", content, by_command[section])
            if section == command:
                own = {name: (f"{section}.{name}", item) for name, item in content.items()}
        elif key == "albert_config":
            content = _normalized(path, "albert_config.", _mapping(path, key, value))
            _refuse_misspelled(path, content)
            vocab_size = content.get("vocab_size")
            has_model = True
        elif key != "albert_fast_version":
            _refuse_unknown(path, "", {key: value}, known | {"albert_config", *by_command}, by_command[command])
            name = ALIASES.get(key, key)
            if key == "input_file" and isinstance(value, str):
                value = value.split(",")  # noqa: PLW2901 - as the reference reads it
            if name in shared:
                raise UsageError(f"{path}: {name} is given twice, as {key} and as {shared[name][0]}; remove one")
            shared[name] = (key, value)
    mine = by_command[command]
    if vocab_size is not None and "vocab_size" in mine:
        shared.setdefault("vocab_size", ("albert_config.vocab_size", vocab_size))
    if has_model and "model" in mine:
        # The command reads this file again, for the model in it.
        shared.setdefault("model", ("albert_config", str(path)))
    merged = {**shared, **own}
    return {
        name: _convert(path, key, value, mine[name])
        for name, (key, value) in merged.items()
        if name in mine and value is not None
    }


def _normalized(path: Path, prefix: str, content: Mapping[Any, Any]) -> dict[str, Any]:
    normalized: dict[str, Any] = {}
    for key, value in content.items():
        if not isinstance(key, str):
            raise UsageError(f"{path}: a key must be an option's name, got {prefix}{key} ({_type_name(key)})")
        snake = key.replace("-", "_")
        name = SPELLINGS.get(snake, snake)
        if name in normalized:
            how = "in snake case and in kebab case" if name == snake else f"once as {snake}"
            raise UsageError(f"{path}: {prefix}{name} is given twice, {how}; remove one")
        normalized[name] = value
    return normalized


def _mapping(path: Path, key: str, value: Any) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {key} must be a mapping, got {_a_type(value)}")
    return value


def _refuse_misspelled(path: Path, content: Mapping[str, Any]) -> None:
    """Refuses misspelled keys of a model. The model's own reader warns about other unknown keys."""
    from trainer.model.config_keys import EQUAL, FIXED, FORKS, HARMLESS, meant

    known = ALBERT_CONFIG_KEYS | HARMLESS | FIXED.keys() | FORKS.keys() | EQUAL.keys()
    for key in content:
        if key not in known and (found := meant(key, content, sorted(ALBERT_CONFIG_KEYS))):
            raise UsageError(f"{path}: unknown key albert_config.{key}; did you mean albert_config.{found}?")


def _refuse_unknown(
    path: Path, prefix: str, content: Mapping[str, Any], known: typing.Iterable[str], first: typing.Iterable[str] = ()
) -> None:
    """Refuses keys that are not `known`, and names the nearest key of `first`, otherwise of `known`."""
    known = set(known)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(first), n=1) or difflib.get_close_matches(
                key, sorted(known), n=1
            )
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            raise UsageError(f"{path}: unknown key {prefix}{key}{hint}")


def _convert(path: Path, key: str, value: Any, option: Option) -> Any:
    if option.is_group:
        return _convert_groups(path, key, value, option)
    if option.pairs and isinstance(value, dict):
        try:
            return list(option.check(value))
        except AlbertFastError as error:
            raise _wrong(path, key, error.rule or option.rule, value) from None
    if option.many:
        items = value if isinstance(value, list) else [value]
        return [_convert_one(path, key, item, option) for item in items]
    return _convert_one(path, key, value, option)


def _convert_groups(path: Path, key: str, value: Any, option: Option) -> list[str]:
    """Returns each group of options as JSON, because click makes a string of everything else."""
    try:
        groups = option.check(value)
    except AlbertFastError as error:
        raise UsageError(f"{path}: {error}") from None
    return [json.dumps(group.given()) for group in groups]


def _convert_one(path: Path, key: str, value: Any, option: Option) -> Any:
    falls = option.falls and is_fall(value)
    wanted = _number(value) if option.kind in {int, float} and not falls else value
    if option.kind is int and isinstance(wanted, float) and wanted == int(wanted):
        wanted = int(wanted)
    try:
        if wanted is None:
            raise option.error(value)  # an option that may be open is not open because of a value that is no number
        found = option.check(wanted)
    except AlbertFastError as error:
        raise _wrong(path, key, error.rule or option.rule, value) from None
    if option.many:
        (found,) = found
    return str(found) if isinstance(found, Path) else found


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3, which has no point, as a string.
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int):
        return value
    return value if isinstance(value, float) and value - value == 0 else None


def _wrong(path: Path, key: str, wanted: str, value: Any) -> UsageError:
    return UsageError(f"{path}: {key} must be {wanted}, got {json.dumps(value, default=str)} ({_type_name(value)})")


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "mapping"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _a_type(value: Any) -> str:
    return "null" if value is None else f"a {_type_name(value)}"


def callback(context: typer.Context, value: Path | None) -> Path | None:
    """Makes the values of the `--config` file the defaults of the command's parameters."""
    if value is not None and not context.resilient_parsing:
        context.default_map = {**(context.default_map or {}), **options_for(as_path(value), str(context.info_name))}
    return value
