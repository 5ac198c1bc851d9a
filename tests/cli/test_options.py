"""Options: each is defined once, and everything else is made from that definition."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert_fast import _native, options
from albert_fast.cli.build import stage_of
from albert_fast.cli.commands import COMMANDS
from albert_fast.cli.help import text
from albert_fast.errors import AlbertFastError
from albert_fast.options import REQUIRED, options_of
from albert_fast.tokenizers.training import ONLY_PYTHON as ONLY_PYTHON_TRAINING

if TYPE_CHECKING:
    from conftest import Command

STAGES = {
    "prepare": options.PrepareOptions,
    "tokenizer": options.TokenizerTrainingOptions,
    "tokenize": options.TokenizeOptions,
    "instances": options.InstanceOptions,
    "masks": options.MaskOptions,
    "records": options.RecordsOptions,
}
"""The stages that the core has too."""

ONLY_PYTHON = {
    # The core's default of the last one is SentencePiece's.
    "tokenizer": ONLY_PYTHON_TRAINING | {"user_defined_symbols"},
    "tokenize": {"num_threads"},
    "records": {"num_threads"},
    # The core takes it with the tokenizer.
    "masks": {"word_boundary"},
}


@pytest.mark.parametrize("name", STAGES)
def test_the_core_has_the_same_options_and_defaults(name: str) -> None:
    left_out = ONLY_PYTHON.get(name, set())
    core = {option: value for option, value in _native.defaults()[name].items() if option not in left_out}
    ours = {
        option.name: list(option.default) if isinstance(option.default, tuple) else option.default
        for option in options_of(STAGES[name]).values()
        if option.name not in left_out
    }
    assert ours == core


def test_every_option_is_described() -> None:
    for function in COMMANDS.values():
        for option in options_of(stage_of(function)).values():
            assert option.help[0].isupper() or option.help.split()[0] in {"auto", "fast", "base,"}, option
            assert option.help.endswith("."), option
            assert option.kind is bool or option.metavar, option


@pytest.mark.parametrize("width", [60, 80, 110, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_texts_keep_names_whole(name: str, width: int) -> None:
    stage = stage_of(COMMANDS[name])
    lines = text(f"albert-fast {name}", stage, COMMANDS[name].__doc__ or "", width).splitlines()
    assert all(not line.rstrip().endswith("-") or line.rstrip().endswith(" -") for line in lines)
    words = {word.strip(",.;:()[]") for line in lines for word in line.split()}
    for option in options_of(stage).values():
        names = {option.metavar, f"{option.metavar}..."} if option.argument else {option.flag}
        # Without its brackets, a switch begins with --[no-].
        assert names & words or f"--[no-]{option.flag.removeprefix('--')}" in words, option.name
    required = [line for line in lines if "[required]" in line]
    assert len(required) == sum(option.default is REQUIRED for option in options_of(stage).values())


def a_value(option: options.Option) -> st.SearchStrategy[Any]:
    """Values within the rule of an option that takes one."""
    if option.choices:
        return st.sampled_from(option.choices)
    if option.kind is bool:
        return st.booleans()
    low, high = option.low, option.high
    if option.kind is int:
        return st.integers(*(None if limit is None else int(limit) for limit in (low, high)))
    if option.kind is float:
        return st.floats(
            low, high, allow_nan=False, allow_infinity=False, exclude_min=option.above, exclude_max=option.below
        )
    return st.just("x")


ALL = sorted(
    {
        (stage.__name__, name)
        for stage in map(stage_of, COMMANDS.values())
        for name, option in options_of(stage).items()
        if not option.many and option.kind is not Path
    }
)


@given(st.data())
def test_a_value_within_the_rule_is_kept(data: st.DataObject) -> None:
    stage, name = data.draw(st.sampled_from(ALL))
    option = options_of(getattr(options, stage))[name]
    value = data.draw(a_value(option))
    found = option.check(value)
    assert found == value
    assert type(found) is option.kind
    if option.kind in {int, float} and abs(value) < 2**31:
        assert option.check(np.array([value])[0]) == value


@given(st.data())
def test_a_value_outside_the_rule_is_an_error(data: st.DataObject) -> None:
    stage, name = data.draw(st.sampled_from(ALL))
    option = options_of(getattr(options, stage))[name]
    wrong: list[Any] = [object(), 1j, [], b"x"]
    if option.kind is not bool:
        wrong += [True, np.True_]
    if option.kind is not str:
        wrong += ["1", "abc"]
    if option.kind in {int, float}:
        wrong += [math.nan, math.inf, -math.inf]
        wrong += [option.low - 1] if option.low is not None else []
        wrong += [option.low] if option.above else []
        wrong += [option.high + 1] if option.high is not None else []
        wrong += [option.high] if option.below else []
    if option.kind is int:
        wrong += [1.5]
    if option.choices:
        wrong += ["no such choice"]
    if not option.optional:
        wrong += [None]
    value = data.draw(st.sampled_from(wrong))
    with pytest.raises(AlbertFastError) as caught:
        option.check(value)
    assert str(caught.value).startswith(f"{name} must be ")
    assert (caught.value.kind, caught.value.option) == ("option", name)
    assert caught.value.value is value


def test_stages_are_frozen_and_go_through_json() -> None:
    chosen = options.InstanceOptions(ngram=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.ngram = 3  # type: ignore[misc]
    assert options.InstanceOptions(**json.loads(chosen.to_json())) == chosen
    assert chosen.part(options.MaskRules).ngram == 2


def test_an_option_without_effect_is_an_error(command: Command) -> None:
    for flags, needed in (
        (["--records", "r", "--short-seq-prob", 0.5], "--short-seq-prob has no effect without --tokens"),
        (["--tokens", "t", "--no-shuffle"], "--shuffle has no effect without --records"),
        (["--tokens", "t", "--tokenizer", "x"], "--tokenizer has no effect without --records"),
    ):
        result = command("pretrain", "--output-dir", "run", "--model", "tiny", *flags)
        assert (result.code, result.error) == (2, f"{needed}; remove it")


def test_a_range_error_names_the_flag(command: Command) -> None:
    flags = ["--output-dir", "o", "--tokenizer", "x"]
    result = command("make-records", "a.txt", *flags, "--max-predictions-per-seq", 600)
    assert result.code == 2
    rule = "--max-predictions-per-seq must be at most --max-seq-length (512), got 600"
    assert result.error == f"{rule}; pass --max-predictions-per-seq 77"
    result = command("prepare-text", "a.txt", "--output", "b", "--eval-fraction", 5)
    assert result.code == 2
    assert result.error == "--eval-fraction must be a number of at least 0 and below 1, got 5"
