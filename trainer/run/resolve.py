"""The options of a run that depend on its devices and its data, resolved. Nothing here imports TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast.errors import option_error
from albert_fast.text import quantity
from trainer.errors import TrainerError
from trainer.model import flops
from trainer.options import CHANGES_THE_ROUNDING, Options
from trainer.run import data, memory, packing
from trainer.run.packing import Width
from trainer.run.phases import in_phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from albert_fast import BatchSource
    from trainer.model.config import ModelConfig
    from trainer.run.hardware import Hardware
    from trainer.run.phases import Phase

TOKENS_AT_A_TIME = {"GPU": (8_192, 65_536), "CPU": (512, 512)}
"""Tokens of a micro-batch below which it is slower, and above which it is no faster."""

MICRO_BATCHES = 16
"""Minimum number of micro-batches in a device's part of a step, unless they become too small.

With fewer, most micro-batches have a long row, and devices get unequal work.
"""


LATER = "later"
"""The key of the options of the second and later phases in what a checkpoint keeps."""


class Resolved(NamedTuple):
    """The options that depend on the device, resolved."""

    micro_batch: int
    precision: str
    jit: bool
    deterministic: bool
    devices: int
    widths: tuple[Width, ...]
    attention: str
    recompute: bool


def resolve_phases(
    config: ModelConfig,
    options: Options,
    phases: Sequence[Phase],
    hardware: Hardware,
    before: Mapping[str, Any],
    warn: Callable[[str], None],
) -> tuple[Resolved, ...]:
    """Resolve the options of each phase; see `resolve`. They differ in micro-batches and widths only.

    Args:
        config: the model.
        options: the options as given.
        phases: the phases of the run.
        hardware: the devices.
        before: what `record` returned at an earlier start.
        warn: called with a line of warning, once for each.
    """
    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            said.add(line)
            warn(line)

    found = []
    earlier = [before, *before.get(LATER, [])]
    for number, phase in enumerate(phases):
        chosen, own = options, phase.micro_batch_size is not None
        if own:
            chosen = dataclasses.replace(options, micro_batch_size=phase.micro_batch_size)
        then = earlier[number] if number < len(earlier) else {}
        # What a phase has not set itself is the same in all phases, and so are its errors.
        with in_phase(number + 1 if own else None):
            found.append(resolve(config, chosen, phase.source, hardware, then, once, own=own))
    return tuple(found)


def record(resolved: Sequence[Resolved]) -> dict[str, Any]:
    """Return what a checkpoint keeps about the options of all phases."""
    first, *later = (one._asdict() for one in resolved)
    return {**first, LATER: later} if later else first


def resolve(
    config: ModelConfig,
    options: Options,
    source: BatchSource,
    hardware: Hardware,
    before: Mapping[str, Any],
    warn: Callable[[str], None],
    *,
    own: bool = False,
) -> Resolved:
    """Resolve the options that depend on the device. A run that resumes keeps them unless they are given.

    Args:
        config: the model.
        options: the options as given.
        source: all of the data.
        hardware: the devices.
        before: what was resolved at an earlier start, as `Resolved._asdict`.
        warn: called with a line of warning.
        own: whether `micro_batch_size` is that of a phase.

    Raises:
        AlbertFastError: the batch is not a multiple of micro-batch and devices, or a device has too little memory.
    """
    defaults = {
        "precision": "bf16" if hardware.bf16 else "float32",
        "jit": True,
        "deterministic": hardware.kind == "CPU",
    }
    chosen = {}
    for name, default in defaults.items():
        given = getattr(options, name)
        chosen[name] = given if given is not None else before.get(name, default)
    _check_attention(config, options, hardware, chosen["precision"], jit=chosen["jit"])
    if chosen["precision"] == "tf32" and hardware.kind != "GPU":
        warn("precision='tf32' is float32 on a CPU")
    if chosen["precision"] == "bf16" and not chosen["jit"]:
        warn(
            "without XLA, TensorFlow sums bfloat16 values in bfloat16, and gradients can be wrong by up to half; "
            "remove jit=False, or pass precision='float32'"
        )
    rows, rest = divmod(options.batch_size, hardware.replicas)
    if rest:
        rule = f"a multiple of the number of devices ({hardware.replicas})"
        raise option_error("batch_size", rule, options.batch_size)
    shape = (source.max_seq_length, source.max_predictions, chosen["precision"])
    room = hardware.memory_bytes
    least, most = TOKENS_AT_A_TIME[hardware.kind]
    tokens = max(least, min(most, rows * source.max_seq_length // MICRO_BATCHES))
    best = memory.fitting_micro_batch(config, rows, *shape, room, tokens, **memory_options(options, hardware))
    micro = options.micro_batch_size
    if micro is None:
        micro = before.get("micro_batch", best)
        needed = memory.estimate(config, micro, *shape, **memory_options(options, hardware))
        # The device may have less memory than the one at the start.
        if rows % micro or (room is not None and needed > room):
            micro = best
    elif rows % micro:
        if own:
            share = "the instances of a device in a step" if hardware.replicas > 1 else "the batch size"
            best = next(size for size in range(min(micro, rows), 0, -1) if rows % size == 0)
            rule = f"a divisor of {share} ({rows:,})"
            raise option_error("micro_batch_size", rule, micro, f"give the phase a micro_batch_size of {best:,}")
        times = f" times the number of devices ({hardware.replicas})" if hardware.replicas > 1 else ""
        raise option_error("batch_size", f"a multiple of micro_batch_size ({micro}){times}", options.batch_size)
    needed = memory.estimate(config, micro, *shape, **memory_options(options, hardware))
    if room is not None and needed > room:
        what = (
            f"a step needs about {quantity(needed, 'bytes')} with micro-batches of {micro} x {shape[0]} tokens in "
            f"{shape[2]}, but {hardware.name} has {quantity(room, 'bytes')}"
        )
        if options.micro_batch_size is None:
            raise TrainerError(
                f"{what}; use a smaller model or shorter instances, or pass micro_batch_size={micro} to try anyway"
            )
        # Only a warning: it is an estimate, and the user chose the value.
        less = f"give the phase a micro_batch_size of {best:,}" if own else f"pass micro_batch_size={best}"
        warn(f"{what}; {less}, which fits" if best < micro else what)
    widths = _widths(config, options, source, hardware, micro, before)
    resolved = Resolved(
        micro,
        chosen["precision"],
        chosen["jit"],
        chosen["deterministic"],
        hardware.replicas,
        widths,
        options.attention,
        options.recompute,
    )
    for name in CHANGES_THE_ROUNDING:
        key = "micro_batch" if name == "micro_batch_size" else name
        now = [list(width) for width in widths] if name == "widths" else getattr(resolved, key)
        # Widths follow from the micro-batch, which has its own line.
        if key in before and before[key] != now and (name != "widths" or before["micro_batch"] == micro):
            was = _named(before[key]) if name == "widths" else before[key]
            is_now = _named(now) if name == "widths" else now
            label = "the number of devices" if name == "devices" else f"`{name}`"
            warn(f"{label} was {was} and is now {is_now}; the run resumes, but the last bits of its results change")
    return resolved


def _named(widths: Sequence[Sequence[int]]) -> str:
    return ", ".join(str(Width(*width)) for width in widths)


def memory_options(options: Options, hardware: Hardware) -> dict[str, Any]:
    """Return what decides the memory of a step, apart from its shape."""
    return {"recompute": options.recompute, "attention": options.attention, "kind": hardware.kind}


def _check_attention(config: ModelConfig, options: Options, hardware: Hardware, precision: str, *, jit: bool) -> None:
    """Raise a TrainerError if cuDNN's attention does not support the device, the options or the model."""
    if options.attention != "cudnn":
        return
    for met, rule in (
        (hardware.kind == "GPU", f"an NVIDIA GPU, got {hardware.name}"),
        (precision == "bf16", f"precision='bf16', got {precision}"),
        (jit, "jit=True, got jit=False"),
        (
            config.attention_probs_dropout_prob == 0,
            f"a model with attention_probs_dropout_prob 0, got {config.attention_probs_dropout_prob}",
        ),
    ):
        if not met:
            message = f"attention='cudnn' needs {rule}; pass attention='plain'"
            raise TrainerError(message, kind="option", option="attention", rule=rule, value="cudnn")


def _widths(
    config: ModelConfig,
    options: Options,
    source: BatchSource,
    hardware: Hardware,
    micro: int,
    before: Mapping[str, Any],
) -> tuple[Width, ...]:
    """Return the shapes of micro-batches. A run that resumes keeps its shapes if possible."""
    given = options.chosen_widths()
    shape = source.max_seq_length, source.max_predictions, micro
    if (
        given is None
        and "widths" in before
        and (before["micro_batch"], before["devices"]) == (micro, hardware.replicas)
    ):
        return tuple(Width(*width) for width in before["widths"])
    found, per_device = data.row_sizes(source), options.batch_size // hardware.replicas
    if given is not None:
        return packing.explicit(given, *shape, found, per_device)
    return packing.choose(found, *shape, per_device, lambda *row: flops.training_flops(config, *row))
