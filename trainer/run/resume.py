"""Checks that a run can resume: everything that decides the result must be as it was at the start.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from albert_fast.options.base import is_fall, options_of
from albert_fast.options.training import TrainingOptions, decay_steps
from albert_fast.paths import is_remote
from albert_fast.text import number
from albert_fast.tokenizers import match as tokenizer_match
from trainer.errors import TrainerError
from trainer.options import CHANGES_THE_RESULT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.model.checkpoints import Checkpoint
    from trainer.model.config import ModelConfig
    from trainer.options import Options
    from trainer.run.data import Data

OTHERWISE = "overwrite=True to start over, or another `output_dir`"
"""What else to pass if a run cannot resume."""

FOUND = frozenset({"kind", "digest", "names", "instances", "max_predictions"})
"""Properties that identify data and that no option sets."""

DECAY = frozenset({"num_train_steps", "decay_fraction", "final_learning_rate_fraction"})
"""Options that change nothing before the decay of the schedule wsd."""


def facts(config: ModelConfig, options: Options, training: Data, init_checkpoint: Path | None) -> dict[str, Any]:
    """Return everything that decides what a run computes. It is equal in all starts of one run."""
    given = options.as_dict()
    if options.budget_hours is not None:
        given["num_train_steps"] = None  # not known at the start
    return {
        "model": json.loads(config.to_json()),
        "data": training.identity,
        "options": {name: given[name] for name in CHANGES_THE_RESULT},
        "init_checkpoint": None if init_checkpoint is None else str(init_checkpoint),
        "tokenizer": dict(training.tokenizer),
    }


def check(found: Checkpoint, now: Mapping[str, Any]) -> None:
    """Refuse to resume a run that was started with anything else.

    Raises:
        TrainerError: something differs. The message names the first difference and what to pass.
    """
    check_facts(found.path.parent.parent, found.facts, now, found.step)


def check_facts(run: Path, before: Mapping[str, Any], now: Mapping[str, Any], step: int) -> None:
    """Refuse to resume the run in `run` unless what it was started with, `before`, is what it is started with now.

    With the schedule wsd, the end of the run may differ as long as neither end has begun at `step`, the number of
    steps done.

    Raises:
        TrainerError: something differs. The message names the first difference and what to pass.
    """
    _check_vocabulary(run, before, now)
    before = {**before, "options": _complete(before.get("options", {}))}
    decided = _decay_begins(before, now)
    # The data come last, because a different seed already changes the number of instances.
    for part, explain in (("model", _model), ("options", _option), ("data", _data)):
        then_all, now_all = before.get(part, {}), now[part]
        # Without phases, what is in each of them is beside them.
        first = ["phases"] if "phases" in then_all or "phases" in now_all else []
        for name in dict.fromkeys([*first, *then_all, *now_all]):
            if then_all.get(name) == now_all.get(name):
                continue
            message = explain(run, name, then_all, now_all)
            if part == "options" and name in DECAY and decided is not None:
                if step <= decided:
                    continue
                message = _end(name, then_all, now_all, decided)
            raise _error(run, message, "model" if part == "model" else None if name in FOUND else name)
    then, other = before.get("tokenizer", {}), now["tokenizer"]
    if tokenizer_match.compare_descriptions(then, other) == "other":
        raise _error(
            run,
            f"started with {tokenizer_match.name(then)}, not {tokenizer_match.name(other)}, and "
            f"{tokenizer_match.reason(then, other)}; pass data made with the first to resume, {OTHERWISE}",
        )


def end(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a line that says how the end of the run changes from a checkpoint's facts to those of now, or ""."""
    then, new = _complete(before.get("options", {})), now["options"]
    changed = [f"{name}={new[name]} instead of {then[name]}" for name in sorted(DECAY) if then[name] != new[name]]
    return f"resuming with {' and '.join(changed)}: the decay of the learning rate has not begun" if changed else ""


def _complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run, with the defaults of those that did not exist when it was started."""
    known = options_of(TrainingOptions)
    return {name: options.get(name, known[name].default) for name in CHANGES_THE_RESULT} | dict(options)


def _decay_begins(*runs: Mapping[str, Any]) -> int | None:
    """Return the number of first steps that are the same in runs with these facts, which differ only in `DECAY`.

    It is None if another end changes all steps, as it does if the learning rate or the masks fall from the start. It
    also is with phases, which say themselves how many steps there are.
    """
    begins = []
    for facts in runs:
        options, total = facts["options"], facts["options"]["num_train_steps"]
        if options["learning_rate_schedule"] != "wsd" or total is None:
            return None
        if is_fall(facts.get("data", {}).get("masked_lm_prob")) or "phases" in facts.get("data", {}):
            return None
        begins.append(int(total) - decay_steps(SimpleNamespace(**options), total))
    return min(begins)


def _error(run: Path, message: str, option: str | None = None) -> TrainerError:
    return TrainerError(f"{run}: {message}", kind="exists", path=run, option=option)


def _check_vocabulary(run: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise a TrainerError if the data's tokenizer has another size than the run's model.

    Passing another configuration would not help: only the size of the data's tokenizer is accepted.
    """
    size, tokenizer = then.get("model", {}).get("vocab_size"), now["tokenizer"]
    if size is not None and tokenizer.get("vocab_size") not in {None, size}:
        raise _error(
            run,
            f"started with {tokenizer_match.name(then.get('tokenizer', {}))} of {size:,} pieces, not "
            f"{tokenizer_match.name(tokenizer)} of {tokenizer['vocab_size']:,}; pass data made with the first to "
            f"resume, {OTHERWISE}",
        )


def _model(run: Path, name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return (
        f"started with a model of {name} {then.get(name)}, not {now.get(name)}; pass "
        f"model={str(run / 'albert_config.json')!r} to resume, {OTHERWISE}"
    )


def _option(run: Path, name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    was, is_now = _shown(then.get(name)), _shown(now.get(name))
    if name == "num_train_steps":
        # The rate is 0 at the end of the schedule. With more steps, all steps would be different from the first one.
        start = f"pass init_checkpoint={str(run)!r} and another `output_dir`"
        if is_remote(run):
            start = f"copy {run} to this machine, and pass it as `init_checkpoint` with another `output_dir`"
        return (
            f"started with {name}={was}, not {is_now}; pass {was} to resume. For more steps, {start}: the learning "
            f"rate falls to 0 by step {was}. Pass overwrite=True to start over"
        )
    if isinstance(was, bool) and isinstance(is_now, bool):
        # Each with its name, because the command line has no value for it.
        return f"started with {name}={was}, not {name}={is_now}; pass {name}={was} to resume, {OTHERWISE}"
    if was is None:
        return f"started without `{name}`, not with {is_now}; remove it to resume, or pass {OTHERWISE}"
    if is_now is None:
        return f"started with {name}={was}, not without it; pass it to resume, {OTHERWISE}"
    return f"started with {name}={was}, not {is_now}; pass {was} to resume, {OTHERWISE}"


def _end(name: str, then: Mapping[str, Any], now: Mapping[str, Any], decided: int) -> str:
    was, is_now = _shown(then[name]), _shown(now[name])
    return (
        f"started with {name}={was}, not {is_now}; pass {was} to resume. Another value is possible only before the "
        f"learning rate begins to fall, after step {decided:,}: in a copy of the run without its later checkpoints. "
        "Pass overwrite=True to start over"
    )


def _shown(value: Any) -> Any:
    """Return a value as a message shows it: on the command line, 2 and 2.0 are the same."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else value


def _phases(then: list[dict[str, Any]] | None, now: list[dict[str, Any]] | None) -> str:
    """Return how the phases differ."""
    if then is None or now is None:
        return "started without phases, not with them" if then is None else "started with phases, not without them"
    if len(then) != len(now):
        return f"started with {number(len(then), 'phase')}, not {len(now)}"
    for index, (one, other) in enumerate(zip(then, now, strict=True), 1):
        for name in dict.fromkeys([*one, *other]):
            if one.get(name) == other.get(name):
                continue
            if name in FOUND or name == "shares":
                return f"started with other stores or weights in phase {index}"
            return f"started with {name} {_shown(one.get(name))} in phase {index}, not {_shown(other.get(name))}"
    raise AssertionError("equal phases do not differ")


def _data(run: Path, name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name == "phases":
        return f"{_phases(then.get(name), now.get(name))}; pass the same `phase` to resume, {OTHERWISE}"
    if name == "shares":
        return f"started with other weights; pass the same `tokens` with the same weights to resume, {OTHERWISE}"
    if name in FOUND or (name == "max_seq_length" and now.get("kind") == "records"):
        return f"started with other data; pass the same `tokens` or `records` to resume, {OTHERWISE}"
    return _option(run, name, then, now)
