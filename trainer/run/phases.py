"""Phases of a run: consecutive steps with batches of one kind. Most runs are one phase, with all of their steps.

A phase has its own mixture of token stores, length of the instances, masks and micro-batches. Batch k of the run is
batch k - `first` of its phase, so it still depends on the seed and k only. Nothing is stored: a run that resumes makes
the same phases again from its options, which `trainer.run.resume` compares.

The instances of a store continue from phase to phase, as long as their length is the same: none is drawn again before
its epoch ends. With another length they are other instances, of which the first epoch begins.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import AlbertFastError, InstanceStream, TokenStore
from albert_fast.options.base import is_fall
from albert_fast.options.instances import fraction_at
from albert_fast.paths import as_path, is_remote
from albert_fast.text import number as number_of
from albert_fast.text import percentages
from albert_fast.tokenizers import match as tokenizer_match
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from albert_fast import BatchSource
    from albert_fast.options.phases import Plan


class Phase(NamedTuple):
    """Consecutive steps with batches of one kind."""

    source: BatchSource
    """The data of these steps, in batches of this worker's size. Its batch 0 is that of step `first`."""
    first: int = 0
    """Number of steps before it."""
    steps: int | None = None
    """Number of steps; None for all that the run has."""
    names: tuple[str, ...] = ()
    """What the stores are called, as the user named them; empty for records."""
    masked: float | str | None = None
    """`masked_lm_prob`; None for records."""
    micro_batch_size: int | None = None
    """Number of instances that a device computes at a time; None for that of the run's options."""

    def end(self, total: int) -> int:
        """Return the number of steps up to its end, in a run of `total` steps."""
        return total if self.steps is None else min(total, self.first + self.steps)

    def fractions(self) -> dict[str, float]:
        """Return the fraction of the instances that is from each store."""
        assert isinstance(self.source, InstanceStream)
        shares = self.source.shares
        return {name: share / sum(shares) for name, share in zip(self.names, shares, strict=True)}

    def drawn(self, start: int, end: int, workers: int) -> dict[str, int]:
        """Return how many instances of steps `start` to `end` - 1 of the run are from each store.

        Only those of this phase count.

        Args:
            start: the first step.
            end: one more than the last step.
            workers: the number of workers, each of which has batches of this phase's size.
        """
        if not isinstance(self.source, InstanceStream):
            return {}
        last = end if self.steps is None else min(end, self.first + self.steps)
        begin = max(start, self.first)
        if begin >= last:
            return {}
        found = self.source.drawn((last - self.first) * workers, (begin - self.first) * workers)
        return dict(zip(self.names, found, strict=True))


class Steps(NamedTuple):
    """The phases of a run, and its steps."""

    phases: Sequence[Phase]
    total: int
    """Number of steps of the run."""

    def number(self, step: int) -> int:
        """Return the index of the phase of a step, counted from 0."""
        return max(index for index, phase in enumerate(self.phases) if phase.first <= step or index == 0)

    def masked(self, step: int) -> float | None:
        """Return the fraction of the tokens that is masked in a step; None if it is the same in all steps."""
        if len({phase.masked for phase in self.phases}) == 1 and not is_fall(self.phases[0].masked):
            return None
        phase = self.phases[self.number(step)]
        if phase.masked is None:
            return None
        return fraction_at(phase.masked, step - phase.first, phase.end(self.total) - phase.first)

    def drawn(self, start: int, end: int, workers: int) -> dict[str, int]:
        """Return how many instances of steps `start` to `end` - 1 are from each store.

        It is empty for records, and if the run has only one store.
        """
        if len({name for phase in self.phases for name in phase.names}) < 2:
            return {}
        found: dict[str, int] = {}
        for phase in self.phases:
            for name, count in phase.drawn(start, end, workers).items():
                found[name] = found.get(name, 0) + count
        return found

    @property
    def divided(self) -> bool:
        """Whether the user gave at least one phase."""
        return self.phases[0].steps is not None

    @property
    def borders(self) -> frozenset[int]:
        """The numbers of steps after which a phase ends, and another one begins."""
        return frozenset(phase.first for phase in self.phases if phase.first)


class Opened(NamedTuple):
    """The phases of a run, and the stores that they draw from."""

    phases: tuple[Phase, ...]
    stores: dict[str, TokenStore]
    """The stores by what they are called, in the order in which they are first drawn from."""
    identity: dict[str, Any]
    """What must be the same when a run resumes."""


def open_phases(
    plans: Sequence[Plan],
    batch_size: int,
    workers: int,
    num_steps: int,
    seed: int,
    order: Mapping[str, Any],
    open_store: Callable[[str], TokenStore],
    **how: Any,
) -> Opened:
    """Open the stores of all phases, and check that they fit together.

    Args:
        plans: the phases; `albert_fast.options.phases.plans`.
        batch_size: rows per batch of this worker.
        workers: the number of workers.
        num_steps: the number of steps of the run.
        seed: random seed of splits, order and masks.
        order: how `InstanceStream` shuffles.
        open_store: opens a store that the user named.
        how: the options of `InstanceStream` that do not affect the instances.

    Raises:
        AlbertFastError: as `InstanceStream`. With phases, the message says which one.
        TrainerError: two stores have different tokenizers, or the phases have not as many steps as the run.
    """
    check_steps(plans, num_steps)
    stores: dict[str, TokenStore] = {}
    for name in (store for plan in plans for store, _ in plan.stores):
        if name not in stores:
            stores[name] = open_store(name)
            _check_tokenizer(name, stores)
    phases: list[Phase] = []
    identities: list[dict[str, Any]] = []
    drawn: dict[tuple[str, int], int] = {}
    first = 0
    for plan in plans:
        names = [store for store, _ in plan.stores]
        opened = [stores[name] for name in names]
        # All of them have a weight, or none has.
        weights = [weight for _, weight in plan.stores if weight is not None]
        # The instances of a store are the same ones as long as only weights and masks differ.
        keys = [(store.digest, plan.instances.max_seq_length) for store in opened]
        steps = num_steps if plan.steps is None else plan.steps
        instances = {**plan.instances.as_dict(), **order}
        with in_phase(None if plan.steps is None else len(phases) + 1):
            source = InstanceStream(
                dict(zip(opened, weights, strict=True)) if weights else opened,
                batch_size,
                mixture_temperature=plan.temperature,
                starts=[drawn.get(key, 0) for key in keys],
                seed=seed,
                num_steps=steps,
                **instances,
                **how,
            )
        masked = plan.instances.masked_lm_prob
        phases.append(Phase(source, first, plan.steps, tuple(names), masked, plan.micro_batch_size))
        identities.append(_identity(source, instances))
        first += steps
        for key, count in zip(keys, source.drawn(steps * workers), strict=True):
            drawn[key] = drawn.get(key, 0) + count
    if len(plans) == 1 and plans[0].steps is None:
        return Opened(tuple(phases), stores, {"kind": "tokens", **identities[0]})
    parts = [{"steps": phase.steps, **identity} for phase, identity in zip(phases, identities, strict=True)]
    return Opened(tuple(phases), stores, {"kind": "tokens", "phases": parts})


def _identity(source: InstanceStream, instances: Mapping[str, Any]) -> dict[str, Any]:
    digests = [store.digest for store in source.stores]
    shape = {
        "instances": len(source),
        "max_seq_length": source.max_seq_length,
        "max_predictions": source.max_predictions,
    }
    if len(digests) == 1:
        return {"digest": digests[0], **instances, **shape}
    return {"digest": digests, "shares": source.shares, **instances, **shape}


@contextlib.contextmanager
def in_phase(number: int | None) -> Iterator[None]:
    """Let errors begin with the number of the phase, unless it is None."""
    try:
        yield
    except AlbertFastError as error:
        if number is None:
            raise
        message = f"in phase {number}, {error}"
        raise AlbertFastError(message, kind=error.kind, path=error.path, option="phase") from None


def digests(phases: Sequence[Phase]) -> dict[str, str]:
    """Return what the stores of all phases are called, by their digests."""
    return {
        store.digest: name
        for phase in phases
        if isinstance(phase.source, InstanceStream)
        for name, store in zip(phase.names, phase.source.stores, strict=True)
    }


def check_steps(plans: Sequence[Plan], num_steps: int) -> None:
    """Raise a TrainerError if the phases have not as many steps as the run."""
    if any(plan.steps is None for plan in plans):
        return
    total = sum(plan.steps or 0 for plan in plans)
    if total != num_steps:
        raise TrainerError(
            f"the phases must have as many steps as the run, {num_steps:,}, got {total:,}; change the steps of a "
            f"phase, or pass num_train_steps={total}",
            kind="option",
            option="num_train_steps",
            rule=f"{total}, the sum of the steps of all phases",
            value=num_steps,
        )


def _check_tokenizer(name: str, stores: Mapping[str, TokenStore]) -> None:
    """Raise a TrainerError if a store was made with another tokenizer than the first one."""
    first = next(iter(stores))
    if stores[name].tokenizer_digest == stores[first].tokenizer_digest:
        return
    one, other = (tokenizer_match.described(stores[store].tokenizer()) for store in (name, first))
    names = f"({tokenizer_match.name(one)} and {tokenizer_match.name(other)})"
    raise TrainerError(
        f"{name} and {first} were made with different tokenizers {names}; make all stores with one tokenizer",
        kind="tokenizer",
        path=None if is_remote(name) else as_path(name),
        option="tokens",
    )


def batches(steps: Steps, start: int, part: Callable[[BatchSource], BatchSource]) -> Iterator[tuple[int, Any]]:
    """Yield the index of the phase and the batch of each step from `start` to the last one.

    Args:
        steps: the phases.
        start: the first step.
        part: returns this worker's part of a source.
    """
    for index, phase in enumerate(steps.phases):
        begin, end = max(start, phase.first), phase.end(steps.total)
        if begin < end:
            for batch in part(phase.source).batches(begin - phase.first, end - phase.first):
                yield index, batch


def described(steps: Steps, workers: int, *, pending: bool = False) -> dict[str, Any]:
    """Return what run.json says about stores and phases. It is empty for a run without phases on one store.

    Args:
        steps: the phases.
        workers: the number of workers.
        pending: whether the number of steps will be decided later.
    """
    found: dict[str, Any] = {}
    for one in _planned(steps, workers, pending=pending):
        found[f"phase {one.number}" if steps.divided else "mixture"] = {
            "steps": None if pending else one.end - one.phase.first,
            "max_seq_length": one.phase.source.max_seq_length,
            "masked_lm_prob": one.phase.masked,
            "stores": {
                name: f"{100 * fraction:.4g}%" + (f", {one.counts[name]}" if one.counts else "")
                for name, fraction in one.phase.fractions().items()
            },
        }
    return found


def lines(steps: Steps, workers: int, *, pending: bool = False) -> list[str]:
    """Return a line for each phase that says what it is trained on; one line for a mixture without phases.

    There is none for a run without phases on one store.

    Args:
        steps: the phases.
        workers: the number of workers.
        pending: whether the number of steps will be decided later.
    """
    found = []
    for number, phase, end, counts in _planned(steps, workers, pending=pending):
        told = {name: f" ({counts[name]})" if counts else "" for name in phase.names}
        parts = [f"{100 * fraction:.3g}% from {name}{told[name]}" for name, fraction in phase.fractions().items()]
        what = ", ".join(parts) if len(parts) > 1 else f"all from {phase.names[0]}{told[phase.names[0]]}"
        if not steps.divided:
            found.append(f"mixture: {what}")
            continue
        which = f"steps {phase.first + 1:,} to {end:,}" if end - phase.first > 1 else f"step {end:,}"
        found.append(
            f"phase {number}, {which}: up to {phase.source.max_seq_length} tokens, {percentages(phase.masked)} of them "
            f"masked, {what}"
        )
    return found


class _Planned(NamedTuple):
    """A phase with what is known of it before the run."""

    number: int
    """From 1."""
    phase: Phase
    end: int
    """The step after its last one."""
    counts: Mapping[str, str]
    """How many instances are from each store, with the noun; empty if the number of steps is not known."""


def _planned(steps: Steps, workers: int, *, pending: bool) -> Iterator[_Planned]:
    """Yield the phases, or the only mixture. There is none for a run without phases on one store."""
    if not steps.divided and len(steps.phases[0].names) < 2:
        return
    for number, phase in enumerate(steps.phases, 1):
        end = phase.end(steps.total)
        drawn = {} if pending else phase.drawn(phase.first, end, workers)
        counts = {name: number_of(count, "instance") for name, count in drawn.items()}
        yield _Planned(number, phase, end, counts)
