"""Checks that a run can resume: everything that decides the result must be as it was at the start.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from albert_fast.options.base import is_fall, options_of
from albert_fast.options.phases import Phase
from albert_fast.options.training import TrainingOptions, decay_steps
from albert_fast.paths import is_remote
from albert_fast.text import number
from albert_fast.tokenizers import match as tokenizer_match
from trainer.errors import TrainerError
from trainer.options import CHANGES_THE_RESULT
from trainer.run.phases import digests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.model.checkpoints import Checkpoint
    from trainer.model.config import ModelConfig
    from trainer.options import Options
    from trainer.run.data import Data

OTHERWISE = "overwrite=True to start over, or another `output_dir`"
"""What else to pass if a run cannot resume."""

STORES = "stores"
"""What the stores are called, by their digests. It only explains a difference, and may differ itself."""

FOUND = frozenset({"kind", "digest", "names", "instances", "max_predictions"})
"""Properties that identify data and that no option sets."""

DECAY = frozenset({"num_train_steps", "decay_fraction", "final_learning_rate_fraction"})
"""Options that change nothing before the decay of the schedule wsd."""


def facts(config: ModelConfig, options: Options, training: Data, init_checkpoint: Path | None) -> dict[str, Any]:
    """Return what decides what a run computes, which is equal in all its starts, and the names of its stores."""
    given = options.as_dict()
    if options.budget_hours is not None:
        given["num_train_steps"] = None  # not known at the start
    return {
        "model": json.loads(config.to_json()),
        "data": training.identity,
        "options": {name: given[name] for name in CHANGES_THE_RESULT},
        "init_checkpoint": None if init_checkpoint is None else str(init_checkpoint),
        "tokenizer": dict(training.tokenizer),
        STORES: digests(training.phases),
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
    names = {**before.get(STORES, {}), **now.get(STORES, {})}
    # The data come last, because a different seed already changes the number of instances.
    for part in ("model", "options", "data"):
        then_all, now_all = before.get(part, {}), now[part]
        # Without phases, what is in each of them is beside them.
        first = ["phases"] if "phases" in then_all or "phases" in now_all else []
        for name in dict.fromkeys([*first, *then_all, *now_all]):
            if then_all.get(name) == now_all.get(name):
                continue
            if part == "options" and name in DECAY and decided is not None:
                if step <= decided:
                    continue
                message = _end(name, then_all, now_all, decided)
            elif part == "options" and name == "num_train_steps" and _phases_differ(before, now):
                # The number of steps follows from the phases.
                message = _phases(run, before.get("data", {}), now["data"], names)
            elif part == "data":
                message = _data(run, name, then_all, now_all, names)
            else:
                message = (_model if part == "model" else _option)(run, name, then_all, now_all)
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
        return (
            f"started with {name}={was}, not {is_now}; pass {was} to resume. For more steps, {_from_its_weights(run)}: "
            f"the learning rate falls until step {was:,}. Pass overwrite=True to start over"
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


def _phases_differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return bool(before.get("data", {}).get("phases") != now["data"].get("phases"))


def _phases(run: Path, then: Mapping[str, Any], now: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return how the phases differ, and what to pass."""
    was, is_now = then.get("phases"), now.get("phases")
    if was is None:
        return f"started without phases, not with them; remove `phase` to resume, or pass {OTHERWISE}"
    same = f"pass the same `phase` to resume, {OTHERWISE}"
    if is_now is None:
        return f"started with phases, not without them; {same}"
    before, after = (sum(phase["steps"] for phase in phases) for phases in (was, is_now))
    if after > before:
        # As in `_option`: with more steps, all steps would be different.
        same = (
            f"pass the same `phase` to resume. For more steps, {_from_its_weights(run)}: the learning rate falls until "
            f"step {before:,}. Pass overwrite=True to start over"
        )
    if len(was) != len(is_now):
        return f"started with {number(len(was), 'phase')}, not {len(is_now)}; {same}"
    for index, (one, other) in enumerate(zip(was, is_now, strict=True), 1):
        for name in dict.fromkeys([*one, *other]):
            if one.get(name) == other.get(name):
                continue
            if name in FOUND or name == "shares":
                stores, advice = _stores(one, other, names)
                advice = f"{advice} there" if after <= before else "pass the same `phase`"
                return f"started with {stores} in phase {index}; {advice} to resume, {OTHERWISE}"
            if name not in options_of(Phase):
                return _option(run, name, one, other)
            values = [_shown(phase.get(name)) for phase in (one, other)]
            if values[0] is None:
                return f"started without {name} in phase {index}, not with {values[1]}; {same}"
            return f"started with {name} {values[0]} in phase {index}, not {values[1] or 'without it'}; {same}"
    raise AssertionError("equal phases do not differ")


def _stores(then: Mapping[str, Any], now: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """Return how the stores differ, after "started with", and what to pass."""
    mixtures = []
    for one in (then, now):
        digests = one.get("digest")
        found = [digests] if isinstance(digests, str) else digests
        if found is None or not all(digest in names for digest in found):
            return "other data", "pass the same `tokens` or `records`"
        shares = one.get("shares") or [1]
        mixtures.append({digest: share / sum(shares) for digest, share in zip(found, shares, strict=True)})
    was, is_now = mixtures
    before, after = ([names[digest] for digest in one] for one in mixtures)
    if was == is_now and before != after:
        # Equal dicts may have other orders.
        told = f"the stores in the order {', '.join(before)}, not {', '.join(after)}"
        return told, "pass `tokens` in the first order"
    if was.keys() == is_now.keys() and was != is_now:
        parts = [" and ".join(f"{100 * one[digest]:.5g}% from {names[digest]}" for digest in was) for one in mixtures]
        return f"{parts[0]}, not {parts[1]}", "pass the same `tokens` with the same weights"
    if was.keys() != is_now.keys() and before == after:
        changed = [names[digest] for digest in is_now if digest not in was]
        return f"other text in {' and '.join(changed)}", "pass the same `tokens`"
    if was.keys() != is_now.keys():
        return f"{' and '.join(before)}, not {' and '.join(after)}", "pass the same `tokens`"
    return "other data", "pass the same `tokens` or `records`"


def _from_its_weights(run: Path) -> str:
    """Return how to start a new run from the weights of a run."""
    if is_remote(run):
        return f"copy {run} to this machine, and pass it as `init_checkpoint` with another `output_dir`"
    return f"pass init_checkpoint={str(run)!r} and another `output_dir`"


def _data(run: Path, name: str, then: Mapping[str, Any], now: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if name == "phases":
        return _phases(run, then, now, names)
    if name in {"digest", "shares"} and then.get("kind") == now.get("kind") == "tokens":
        stores, advice = _stores(then, now, names)
        return f"started with {stores}; {advice} to resume, {OTHERWISE}"
    if name in FOUND or name == "shares" or (name == "max_seq_length" and now.get("kind") == "records"):
        return f"started with other data; pass the same `tokens` or `records` to resume, {OTHERWISE}"
    return _option(run, name, then, now)
