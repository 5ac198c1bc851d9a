"""Phases of a run: consecutive steps that are trained on other data than the rest."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from albert_fast.errors import AlbertFastError
from albert_fast.options.base import REQUIRED, Stage, option
from albert_fast.options.instances import INSTANCES, MASKS, StreamOptions, fractions
from albert_fast.options.mixtures import Weighted, mixture, real

DATA = "Data"

MOST_STEPS = 10**9
"""The maximum number of steps of a run. They take years, and 64 bits can count their instances."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase(Stage):
    """A phase. What it does not set is as in the rest of the run."""

    steps: int = option(REQUIRED, "Number of steps.", DATA, low=1, high=MOST_STEPS)
    tokens: tuple[str, ...] = option((), "Token stores to train on.", DATA, metavar="STORE[=WEIGHT]", pairs=True)
    mixture_temperature: float | None = option(
        None, "Temperature of the mixture, if its stores have no weights.", DATA, low=0, above=True
    )
    max_seq_length: int | None = option(None, "Length of each instance in tokens.", INSTANCES, low=8, high=65_536)
    max_predictions_per_seq: int | None = option(
        None, "Maximum number of masked tokens in an instance.", MASKS, low=1, high=65_536
    )
    masked_lm_prob: float | str | None = option(
        None, "Fraction of the tokens to mask. FIRST:LAST falls within the phase.", MASKS, low=0, high=1, falls=True
    )
    micro_batch_size: int | None = option(None, "Number of instances that a device computes at a time.", DATA, low=1)


class Plan(NamedTuple):
    """A phase of a run, with everything that it does not set taken from the run."""

    steps: int | None
    """Number of steps. None for a run without phases, whose only phase has all steps."""
    stores: list[Weighted]
    temperature: float | None
    """The temperature of the mixture. None if the stores have weights, or there is only one."""
    instances: StreamOptions
    micro_batch_size: int | None


def plans(run: Any) -> list[Plan]:
    """Returns the phases of a run with a token store, in their order.

    Args:
        run: the options of `pretrain`.

    Raises:
        AlbertFastError: a phase contradicts itself or the run. The message says which phase.
    """
    shared = run.as_dict()
    if shared["max_seq_length"] is None:
        del shared["max_seq_length"]
    if not run.phase:
        found = [_plan(None, run.tokens, run.mixture_temperature, shared, None)]
    else:
        found = []
        for number, phase in enumerate(run.phase, 1):
            tokens = phase.tokens or run.tokens
            try:
                found.append(_of_phase(phase, tokens, run.mixture_temperature, shared))
            except AlbertFastError as error:
                raise AlbertFastError(f"in phase {number}, {error}", kind=error.kind, option="phase") from None
    if run.mixture_temperature is not None and all(plan.temperature is None for plan in found):
        message = "`mixture_temperature` has no effect without several stores that have no weights; remove it"
        raise AlbertFastError(message, kind="option", option="mixture_temperature", value=run.mixture_temperature)
    if run.tokens and run.phase and all(phase.tokens for phase in run.phase):
        message = (
            "`tokens` has no effect, because every phase has its own tokens; remove it, or remove the tokens of a phase"
        )
        raise AlbertFastError(message, kind="option", option="tokens", value=run.tokens)
    return _spelled_alike(found)


def _spelled_alike(found: list[Plan]) -> list[Plan]:
    """Returns the phases with one spelling of each store, the first: `store`, `./store` and a link to it are one."""
    names: dict[str, str] = {}
    return [
        plan._replace(stores=[Weighted(names.setdefault(real(store), store), weight) for store, weight in plan.stores])
        for plan in found
    ]


def _of_phase(phase: Phase, tokens: tuple[str, ...], temperature: float | None, shared: dict[str, Any]) -> Plan:
    if not tokens:
        raise AlbertFastError("there must be tokens, because the run has no `tokens`", kind="option")
    if phase.mixture_temperature is not None and len(tokens) == 1:
        raise AlbertFastError("mixture_temperature has no effect with one store; remove it", kind="option")
    own = phase.mixture_temperature
    if own is None and temperature is not None and all(weight is None for _, weight in mixture(tokens, None)):
        # The temperature of the run is for the phases whose stores have no weights.
        own = temperature
    names = ("max_seq_length", "max_predictions_per_seq", "masked_lm_prob")
    chosen = {name: value for name in names if (value := getattr(phase, name)) is not None}
    instances = {**shared, **chosen}
    most, length = instances["max_predictions_per_seq"], instances.get("max_seq_length", StreamOptions.max_seq_length)
    if most is not None and most > length:
        # The option of the run would change all phases.
        fitting = max(1, round(fractions(instances["masked_lm_prob"])[0] * length))
        raise AlbertFastError(
            f"max_predictions_per_seq must be at most max_seq_length ({length:,}), got {most}; give the phase a "
            f"max_predictions_per_seq of {fitting:,}",
            kind="option",
        )
    return _plan(phase.steps, tokens, own, instances, phase.micro_batch_size)


def _plan(
    steps: int | None,
    tokens: tuple[str, ...],
    temperature: float | None,
    instances: dict[str, Any],
    micro_batch_size: int | None,
) -> Plan:
    stores = mixture(tokens, temperature)
    by_size = len(stores) > 1 and stores[0].weight is None
    temperature = (1.0 if temperature is None else temperature) if by_size else None
    return Plan(steps, stores, temperature, StreamOptions.pick(instances), micro_batch_size)
