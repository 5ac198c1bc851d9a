"""Which rows of a batch share a micro-batch, and how wide that micro-batch is.

Rows differ in length: at 512 tokens, about 40% of a batch is padding. So the rows of a step are sorted by length and
divided into micro-batches, each cut to the smallest of a few widths that holds its longest row. A narrow micro-batch
has more rows, so that all of them have about the same number of tokens. The shape of a width is fixed, because each
shape is compiled once. Unused rows are empty and have weight 0.

None of this changes what a step computes. A row's attention never sees padding, the denominators of the losses are
those of the whole step, and dropout is keyed by the row's number in the step (see `trainer.model.dropout`).

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
"""Maximum number of widths that `choose` picks. Each one costs a compilation."""
WORTH_A_WIDTH = 0.01
"""Fraction of a step's work that one more width must save to be picked."""
CANDIDATES = 64
"""Number of widths that `choose` picks from: as many fractions of the longest row, rounded up to multiples of 8."""

TIMES = 3
"""Number of micro-batches of a width that a batch should fill, if they then have as many rows as the widest.

With fewer, a large part of them is empty.
"""


class Width(NamedTuple):
    """The shape of a micro-batch."""

    tokens: int
    """S, the tokens per row."""
    predictions: int
    """P, the masked positions per row."""
    rows: int
    """B, the number of rows."""

    def __str__(self) -> str:
        return f"{self.rows} x {self.tokens}"


class MicroBatch(NamedTuple):
    """Some rows of a batch, and the shape that they are cut to."""

    width: Width
    rows: NDArray[np.int64]
    """[at most width.rows]: the indices of these rows in the batch."""


class Sizes(NamedTuple):
    """What each row of a batch needs; each field is int64 [B]."""

    tokens: NDArray[np.int64]
    """Number of positions up to and including the last token or masked position that counts."""
    predictions: NDArray[np.int64]
    """Number of masked positions up to and including the last one that counts."""
    real: NDArray[np.int64]
    """Number of tokens."""


def sizes(batch: Batch | Mapping[str, NDArray[Any]]) -> Sizes:
    """Return the sizes of the rows of a batch.

    A row without tokens attends to all of its positions, so it keeps them all.
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
    """Return one more than the position of the last true value per row, 0 if there is none: [B, n] -> int64 [B]."""
    places = np.where(flags, np.arange(1, flags.shape[1] + 1), 0)
    found: NDArray[np.int64] = places.max(axis=1, initial=0).astype(np.int64)
    return found


def full(tokens: int, predictions: int, rows: int) -> tuple[Width]:
    """Return the only width of micro-batches that are not cut."""
    return (Width(tokens, predictions, rows),)


def explicit(
    tokens: Iterable[int], longest: int, predictions: int, micro_batch: int, found: Sizes, per_device: int
) -> tuple[Width, ...]:
    """Return the widths that the user chose. That of the longest row is always included.

    Args:
        tokens: widths in tokens. Those above `longest` are useless and are dropped.
        longest: tokens per row of the data, padding included.
        predictions: masked positions per row of the data.
        micro_batch: number of rows of the widest micro-batch.
        found: row sizes of a sample, which tell how many masked positions a narrow row has.
        per_device: number of rows of a batch that a device gets.
    """
    chosen = sorted({size for size in tokens if size < longest} | {longest})
    return _filled(_widths(chosen, longest, predictions, micro_batch, found), found, per_device)


def choose(
    found: Sizes,
    longest: int,
    predictions: int,
    micro_batch: int,
    per_device: int,
    cost: Callable[[int, int], float],
    most: int = MOST_WIDTHS,
) -> tuple[Width, ...]:
    """Return the widths, at most `most`, that need the least work for rows of these sizes, narrowest first.

    Args:
        found: row sizes of a sample.
        longest: tokens per row of the data, padding included. This is always one of the widths.
        predictions: masked positions per row of the data.
        micro_batch: number of rows of the widest micro-batch.
        per_device: number of rows of a batch that a device gets.
        cost: returns the work of a row from its tokens and masked positions, in any unit.
        most: largest number of widths.
    """
    step = max(8, -(-longest // CANDIDATES) + 7 & ~7)
    widths = _widths([*range(step, longest, step), longest], longest, predictions, micro_batch, found)
    need = _needs(found, widths)
    counts = np.bincount(need, minlength=len(widths))
    costs = np.array([cost(width.tokens, width.predictions) for width in widths])
    cumulative = np.concatenate([[0], np.cumsum(counts)])
    # best[k][j]: the least work of all rows that fit candidate j, if j is the widest of k + 1 widths.
    best = [cumulative[1:] * costs]
    before: list[NDArray[np.int64]] = []
    for _ in range(1, min(most, len(widths))):
        last, now, chosen = best[-1], np.full(len(widths), np.inf), np.full(len(widths), -1)
        for j in range(1, len(widths)):
            work = last[:j] + (cumulative[j + 1] - cumulative[1 : j + 1]) * costs[j]
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
    return _filled([widths[j] for j in reversed(picked)], found, per_device)


def _widths(tokens: Sequence[int], longest: int, predictions: int, micro_batch: int, found: Sizes) -> tuple[Width, ...]:
    """Return widths with these tokens in ascending order, with the masked positions that a row of each size needs."""
    made: list[Width] = []
    for size in tokens:
        fits = found.predictions[found.tokens <= size]
        # A row with more masked positions than those of the sample goes into a wider micro-batch.
        most = int(fits.max()) if len(fits) else -(-predictions * size // longest)
        most = predictions if size == longest else max(1, min(predictions, most))
        least = made[-1].predictions if made else 1
        made.append(Width(size, max(least, most), micro_batch * longest // size))
    return tuple(made)


def _filled(widths: Sequence[Width], found: Sizes, per_device: int) -> tuple[Width, ...]:
    """Return the widths, with fewer rows if the rows that belong to a width do not fill `TIMES` micro-batches."""
    belong = np.bincount(_needs(found, widths), minlength=len(widths)) * per_device / max(1, len(found.tokens))
    least = widths[-1].rows
    return tuple(
        width._replace(rows=min(width.rows, max(least, int(rows / TIMES))))
        for width, rows in zip(widths, belong.tolist(), strict=True)
    )


def _needs(found: Sizes, widths: Sequence[Width]) -> NDArray[np.int64]:
    """Return, for each row, the index of the narrowest width that holds it.

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
    """Return the micro-batches of a batch, a list per device, with the least total work and divided evenly.

    Every row is in exactly one micro-batch. Which one depends only on the sizes, the widths and the number of devices.

    Args:
        found: the sizes of the rows.
        widths: the widths, narrowest first.
        devices: number of devices.
        cost: returns the work of a row from its tokens and masked positions; by default, its tokens.
        overhead: the fixed work of a micro-batch, whatever its shape.
    """
    need = _needs(found, widths)
    rows = np.lexsort((np.arange(len(need)), -found.tokens, -need))
    costs = [
        overhead + width.rows * (cost(width.tokens, width.predictions) if cost else width.tokens) for width in widths
    ]
    # Longest rows first: each micro-batch takes the next rows, so shorter rows fill up a wide one.
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
    """Give each micro-batch, the most expensive first, to the device with the least work so far."""
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
    """Return the arrays of a micro-batch: `FEATURES`, `ROW_NUMBERS` and `ROW_WEIGHTS`, in the shape of its width.

    Args:
        batch: the whole batch; see `FEATURES`.
        micro_batch: its rows and its shape.
        numbers: [B], each row's number in the step.
        weights: [B], how much each row counts; 1 by default.
    """
    width, rows = micro_batch
    missing = width.rows - len(rows)

    def take(array: NDArray[Any], size: int | None = None) -> NDArray[Any]:
        part = array[rows] if size is None else array[rows, :size]
        return np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part

    found = {name: take(batch[name], width.tokens) for name in PER_TOKEN}
    found |= {name: take(batch[name], width.predictions) for name in PER_PREDICTION}
    # Positions that do not count may have any value; within the row they do no harm.
    found["masked_lm_positions"] = np.minimum(found["masked_lm_positions"], width.tokens - 1)
    found[LABELS] = take(batch[LABELS])
    found[ROW_NUMBERS] = take(numbers)
    found[ROW_WEIGHTS] = take(np.ones(len(numbers), np.float32) if weights is None else weights)
    return found


class Balance(NamedTuple):
    """How much work a plan does, and how evenly."""

    real: int
    """Number of tokens."""
    computed: int
    """Number of tokens and padding."""
    busiest: float
    """Work of the busiest device divided by the mean over all devices; 1 if they have equal work."""


def balance(dealt: Sequence[Sequence[MicroBatch]], found: Sizes) -> Balance:
    """Return the work of a plan and how evenly it is divided."""
    loads = [sum(m.width.rows * m.width.tokens for m in part) for part in dealt]
    total = sum(loads)
    return Balance(int(found.real.sum()), total, max(loads) * len(loads) / total if total else 1.0)
