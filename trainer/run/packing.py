"""Which rows of a batch share a micro-batch, and how wide that micro-batch is.

Rows of a corpus differ in length: at 512 tokens some 40 % of a batch is padding. So the rows of a step are sorted by
length and dealt into micro-batches, each cut to the smallest of a few widths that holds its longest row. A narrow
micro-batch has more rows, so that all of them have about the same number of tokens. A width's shape is fixed, because
each shape is compiled once; places that no row fills hold empty rows, which count nothing.

None of this changes what a step computes: a row's attention never sees padding, the losses' denominators are those of
the whole step, and dropout is keyed by the row's number in the step (see `trainer.model.dropout`).

Nothing here imports TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainer.model.features import LABELS, PER_PREDICTION, PER_TOKEN, ROW_NUMBERS, ROW_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from albert_fast import Batch

MOST_WIDTHS = 5
"""Widths that `choose` picks at most: each costs a compilation."""
WORTH_A_WIDTH = 0.01
"""Fraction of a step's work that another width must save to be picked."""
CANDIDATES = 64
"""Widths that `choose` picks from: this many fractions of the longest row, rounded up to multiples of 8."""

TIMES = 3
"""Micro-batches of a width that a batch fills, if that leaves them as many rows as the widest's: where there are fewer,
much of them is empty."""


class Width(NamedTuple):
    """The shape of a micro-batch."""

    tokens: int
    """Tokens of a row, S."""
    predictions: int
    """Masked positions of a row, P."""
    rows: int
    """Rows, B."""

    def __str__(self) -> str:
        return f"{self.rows} x {self.tokens}"


class MicroBatch(NamedTuple):
    """Some rows of a batch, and the shape they are cut to."""

    width: Width
    rows: NDArray[np.int64]
    """[at most width.rows]: which of the batch's."""


class Sizes(NamedTuple):
    """What each row of a batch needs: int64 [B] each."""

    tokens: NDArray[np.int64]
    """Places up to and including the last token, or the last prediction that counts."""
    predictions: NDArray[np.int64]
    """Masked positions up to and including the last one that counts."""
    real: NDArray[np.int64]
    """Tokens."""


def sizes(batch: Batch | Mapping[str, NDArray[Any]]) -> Sizes:
    """The sizes of a batch's rows.

    A row without a single token attends to all of its places, so that it keeps them all.
    """
    mask = batch["input_mask"] > 0
    counts = batch["masked_lm_weights"] != 0  # NaN counts too: the step must see it
    asked = np.where(counts, batch["masked_lm_positions"] + 1, 0).max(axis=1, initial=0)
    last = np.where(mask.any(axis=1), _last(mask), mask.shape[1])
    return Sizes(
        np.maximum(last, asked).astype(np.int64),
        np.maximum(_last(counts), 1),
        mask.sum(axis=1, dtype=np.int64),
    )


def _last(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One more than the place of the last true of each row, 0 where there is none: [B, n] -> int64 [B]."""
    places = np.where(flags, np.arange(1, flags.shape[1] + 1), 0)
    found: NDArray[np.int64] = places.max(axis=1, initial=0).astype(np.int64)
    return found


def full(tokens: int, predictions: int, rows: int) -> tuple[Width]:
    """The one width of micro-batches that are not cut."""
    return (Width(tokens, predictions, rows),)


def explicit(
    tokens: Iterable[int], longest: int, predictions: int, micro_batch: int, found: Sizes, share: int
) -> tuple[Width, ...]:
    """Widths of the user's choice, the longest row's among them in any case.

    Args:
        tokens: widths in tokens; those over `longest` are of no use and are left out.
        longest: tokens of a row of the data, padding included.
        predictions: masked positions of a row of the data.
        micro_batch: rows of the widest micro-batch.
        found: a sample's row sizes, to tell how many masked positions a narrow row has.
        share: rows of a batch that a device gets.
    """
    chosen = sorted({size for size in tokens if size < longest} | {longest})
    return _filled(_widths(chosen, longest, predictions, micro_batch, found), found, share)


def choose(
    found: Sizes,
    longest: int,
    predictions: int,
    micro_batch: int,
    share: int,
    cost: Callable[[int, int], float],
    most: int = MOST_WIDTHS,
) -> tuple[Width, ...]:
    """The widths, at most `most`, that need the least work for rows of these sizes, narrowest first.

    Args:
        found: a sample's row sizes.
        longest: tokens of a row of the data, padding included: always one of the widths.
        predictions: masked positions of a row of the data.
        micro_batch: rows of the widest micro-batch.
        share: rows of a batch that a device gets.
        cost: the work of a row of so many tokens and masked positions, in any unit.
        most: how many.
    """
    step = max(8, -(-longest // CANDIDATES) + 7 & ~7)
    widths = _widths([*range(step, longest, step), longest], longest, predictions, micro_batch, found)
    need = _needs(found, widths)
    counts = np.bincount(need, minlength=len(widths))
    costs = np.array([cost(width.tokens, width.predictions) for width in widths])
    cumulated = np.concatenate([[0], np.cumsum(counts)])
    # best[k][j]: the least work of all rows that fit candidate j, where j is the widest of k + 1 widths.
    best = [cumulated[1:] * costs]
    before: list[NDArray[np.int64]] = []
    for _ in range(1, min(most, len(widths))):
        last, now, chosen = best[-1], np.full(len(widths), np.inf), np.full(len(widths), -1)
        for j in range(1, len(widths)):
            work = last[:j] + (cumulated[j + 1] - cumulated[1 : j + 1]) * costs[j]
            chosen[j] = int(np.argmin(work))
            now[j] = work[chosen[j]]
        best.append(now)
        before.append(chosen)
    count = 0
    while count + 1 < len(best) and best[count + 1][-1] < best[count][-1] - WORTH_A_WIDTH * best[0][-1]:
        count += 1
    picked, j = [len(widths) - 1], len(widths) - 1
    for k in range(count, 0, -1):
        j = int(before[k - 1][j])
        picked.append(j)
    return _filled([widths[j] for j in reversed(picked)], found, share)


def _widths(tokens: Sequence[int], longest: int, predictions: int, micro_batch: int, found: Sizes) -> tuple[Width, ...]:
    """Widths of so many tokens, in ascending order, each with the masked positions that a row of that size needs."""
    made: list[Width] = []
    for size in tokens:
        fits = found.predictions[found.tokens <= size]
        # A row with more predictions than the sample's goes into a wider micro-batch.
        most = int(fits.max()) if len(fits) else -(-predictions * size // longest)
        most = predictions if size == longest else max(1, min(predictions, most))
        least = made[-1].predictions if made else 1
        made.append(Width(size, max(least, most), micro_batch * longest // size))
    return tuple(made)


def _filled(widths: Sequence[Width], found: Sizes, share: int) -> tuple[Width, ...]:
    """The widths with no more rows than a batch fills: of the rows that belong into a width, `TIMES` micro-batches."""
    belong = np.bincount(_needs(found, widths), minlength=len(widths)) * share / max(1, len(found.tokens))
    least = widths[-1].rows
    return tuple(
        width._replace(rows=min(width.rows, max(least, int(rows / TIMES))))
        for width, rows in zip(widths, belong.tolist(), strict=True)
    )


def _needs(found: Sizes, widths: Sequence[Width]) -> NDArray[np.int64]:
    """The number of the narrowest width that holds each row.

    Raises:
        ValueError: a row does not fit the widest.
    """
    tokens = np.array([width.tokens for width in widths])
    predictions = np.array([width.predictions for width in widths])
    need = np.maximum(np.searchsorted(tokens, found.tokens), np.searchsorted(predictions, found.predictions))
    if len(need) and need.max() >= len(widths):
        raise ValueError(
            f"every row must fit the widest micro-batch ({widths[-1].tokens} tokens, {widths[-1].predictions} masked "
            f"positions), not {found.tokens.max()} tokens and {found.predictions.max()} masked positions"
        )
    return need


def plan(
    found: Sizes,
    widths: Sequence[Width],
    devices: int = 1,
    cost: Callable[[int, int], float] | None = None,
    overhead: float = 0.0,
) -> list[list[MicroBatch]]:
    """The micro-batches of a batch, a list for each device: the least work in all, dealt evenly.

    Every row is in exactly one. Which one depends on the sizes, the widths and the number of devices alone.

    Args:
        found: the rows' sizes.
        widths: narrowest first.
        devices: that share the work.
        cost: the work of a row of so many tokens and masked positions; its tokens by default.
        overhead: the work of a micro-batch besides, whatever its shape.
    """
    need = _needs(found, widths)
    rows = np.lexsort((np.arange(len(need)), -found.tokens, -need))
    costs = [
        overhead + width.rows * (cost(width.tokens, width.predictions) if cost else width.tokens) for width in widths
    ]
    # Longest first: micro-batch after micro-batch takes the next rows, and shorter rows fill a wide one up.
    count = len(rows)
    least, choice = [0.0] * (count + 1), [0] * (count + 1)
    needed = need[rows].tolist()
    for start in range(count - 1, -1, -1):
        options = [
            (costs[number] + least[min(count, start + widths[number].rows)], number)
            for number in range(needed[start], len(widths))
        ]
        least[start], choice[start] = min(options)
    made: list[tuple[float, MicroBatch]] = []
    start = 0
    while start < count:
        number = choice[start]
        end = min(count, start + widths[number].rows)
        made.append((costs[number], MicroBatch(widths[number], rows[start:end])))
        start = end
    return _deal(made, devices)


def _deal(made: list[tuple[float, MicroBatch]], devices: int) -> list[list[MicroBatch]]:
    """Gives each micro-batch, the costliest first, to the device with the least work so far."""
    dealt: list[list[MicroBatch]] = [[] for _ in range(devices)]
    loads = [0.0] * devices
    for cost, micro_batch in sorted(made, key=lambda item: -item[0]):
        device = min(range(devices), key=loads.__getitem__)
        loads[device] += cost
        dealt[device].append(micro_batch)
    return dealt


def cut(
    batch: Mapping[str, NDArray[Any]],
    micro_batch: MicroBatch,
    numbers: NDArray[np.int32],
    weights: NDArray[np.float32] | None = None,
) -> dict[str, NDArray[Any]]:
    """The arrays of a micro-batch: `FEATURES`, `ROW_NUMBERS` and `ROW_WEIGHTS`, in the shape of its width.

    Args:
        batch: the whole batch; see `FEATURES`.
        micro_batch: which rows, and the shape.
        numbers: [B], each row's number in the step.
        weights: [B], what each row counts; 1 by default.
    """
    width, rows = micro_batch
    missing = width.rows - len(rows)

    def taken(array: NDArray[Any], size: int | None = None) -> NDArray[Any]:
        part = array[rows] if size is None else array[rows, :size]
        return np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part

    found = {name: taken(batch[name], width.tokens) for name in PER_TOKEN}
    found |= {name: taken(batch[name], width.predictions) for name in PER_PREDICTION}
    # Positions that do not count may be anywhere; within the row they harm nobody.
    found["masked_lm_positions"] = np.minimum(found["masked_lm_positions"], width.tokens - 1)
    found[LABELS] = taken(batch[LABELS])
    found[ROW_NUMBERS] = taken(numbers)
    found[ROW_WEIGHTS] = taken(np.ones(len(numbers), np.float32) if weights is None else weights)
    return found


class Balance(NamedTuple):
    """How much work a plan does, and how evenly."""

    real: int
    """Tokens."""
    computed: int
    """Tokens and padding."""
    busiest: float
    """Work of the device with the most, by the mean of all: 1 where the shares are equal."""


def balance(dealt: Sequence[Sequence[MicroBatch]], found: Sizes) -> Balance:
    """What a plan of `plan` amounts to."""
    loads = [sum(m.width.rows * m.width.tokens for m in part) for part in dealt]
    total = sum(loads)
    return Balance(int(found.real.sum()), total, max(loads) * len(loads) / total if total else 1.0)
