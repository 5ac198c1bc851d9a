"""What a run of pretraining is told, besides the model's shape and the data. Nothing here imports TensorFlow."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from trainer.errors import TrainerError

OPTIMIZERS = ("lamb", "adamw")
PRECISIONS = ("bf16", "float32", "tf32")
ATTENTIONS = ("plain", "autodiff", "cudnn")
"""Ways to compute attention: products with a gradient of our own; the same with TensorFlow's gradient, which keeps more
in memory; cuDNN's fused kernels, which need a GPU, bf16 and no attention dropout."""
MOST_WIDTHS = 8
"""Widths that a user may choose: each is compiled."""

CHANGES_THE_RESULT = (
    "optimizer",
    "batch_size",
    "learning_rate",
    "num_train_steps",
    "num_warmup_steps",
    "start_warmup_step",
    "poly_power",
    "weight_decay",
    "random_seed",
)
"""Options that decide what a run computes: another value is another run."""

CHANGES_THE_ROUNDING = (
    "micro_batch_size",
    "precision",
    "jit",
    "deterministic",
    "devices",
    "widths",
    "attention",
    "recompute",
)
"""Options, and the number of devices, that decide how a run computes it. One that goes on with another value of these
does not end with the same bits, and else as it would have."""


@dataclass(frozen=True)
class Options:
    """The options of a run, by the names of the command's flags; the defaults are the public ALBERT guide's.

    Raises:
        TrainerError: a field breaks its rule; the message is one line with the rule and the value.
    """

    optimizer: str = "lamb"
    """One of `OPTIMIZERS`."""
    batch_size: int = 4096
    """Sequences of a step, over all micro-batches, devices and machines."""
    micro_batch_size: int | None = None
    """Sequences that a device holds the activations of at a time; None for what suits the device."""
    learning_rate: float = 0.00176
    """Rate that the warm-up climbs to."""
    num_train_steps: int = 125_000
    """Steps of the run, at the end of which the rate is 0."""
    num_warmup_steps: int = 3_125
    """Steps of warm-up."""
    start_warmup_step: int = 0
    """Step that the warm-up counts from."""
    poly_power: float = 1.0
    """Exponent of the decay."""
    weight_decay: float = 0.01
    """Share of a weight that is added to its update; 0 for none."""
    random_seed: int = 12345
    """Decides the initial weights, the order, the masks and dropout."""
    precision: str | None = None
    """One of `PRECISIONS`: of matrix products and hidden states. None for bf16 where the device is fast in it. With
    "tf32" an NVIDIA GPU may round the factors of float32 products to 10 bits; "float32" keeps all 23."""
    widths: str = "auto"
    """Widths of micro-batches in tokens, separated by commas; "auto" for the few that suit the data."""
    attention: str = "plain"
    """One of `ATTENTIONS`."""
    recompute: bool = False
    """Whether the backward pass computes the activations of a block again instead of keeping them."""
    eval_batch_size: int = 64
    """Sequences of a step of evaluation, over all devices and machines. It does not change the figures."""
    save_checkpoints_steps: int = 5_000
    """Steps from one checkpoint, and evaluation, to the next."""
    keep_checkpoint_max: int = 5
    """Newest checkpoints that are kept, besides the best."""
    log_steps: int = 10
    """Steps that a line of metrics.jsonl is the mean of."""
    max_hours: float | None = None
    """Hours after which the run saves a checkpoint and ends, to go on another time. None for no limit."""
    jit: bool | None = None
    """Whether XLA compiles the micro-batch and the update. None for what suits the device."""
    deterministic: bool | None = None
    """Whether operations without an order of their own are given one. None: on processors, where it costs nothing."""
    peak_tflops: float | None = None
    """Dense peak rate of a device, in 10^12 operations a second, that MFU is a share of. None where it is known."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("optimizer", OPTIMIZERS),
            ("precision", (*PRECISIONS, None)),
            ("attention", ATTENTIONS),
        ):
            if getattr(self, name) not in choices:
                named = ", ".join(choice for choice in choices if choice)
                raise TrainerError(f"{name} must be one of {named}; it is {getattr(self, name)!r}")
        whole = {
            "batch_size": 1,
            "micro_batch_size": 1,
            "num_train_steps": 1,
            "num_warmup_steps": 0,
            "start_warmup_step": 0,
            "random_seed": 0,
            "eval_batch_size": 1,
            "save_checkpoints_steps": 1,
            "keep_checkpoint_max": 1,
            "log_steps": 1,
        }
        for name, least in whole.items():
            value = getattr(self, name)
            if value is None and name == "micro_batch_size":
                continue
            if type(value) is not int or value < least:
                raise TrainerError(f"{name} must be a whole number of at least {least}; it is {value!r}")
        if self.random_seed >= 2**31:
            raise TrainerError(f"random_seed must be below 2**31, for TensorFlow; it is {self.random_seed}")
        for name in ("learning_rate", "poly_power", "max_hours", "peak_tflops"):
            value = getattr(self, name)
            if value is None and name in {"max_hours", "peak_tflops"}:
                continue
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise TrainerError(f"{name} must be a number above 0; it is {value!r}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise TrainerError(f"weight_decay must be a number of at least 0; it is {self.weight_decay!r}")
        if self.start_warmup_step + self.num_warmup_steps > self.num_train_steps:
            raise TrainerError(
                f"num_warmup_steps must end within num_train_steps ({self.num_train_steps}); it ends at step "
                f"{self.start_warmup_step + self.num_warmup_steps}"
            )

        self.chosen_widths()  # refuses what it cannot read

    def chosen_widths(self) -> tuple[int, ...] | None:
        """The widths in tokens that the user has chosen; None for "auto".

        Raises:
            TrainerError: they are neither "auto" nor a few whole numbers.
        """
        if self.widths == "auto":
            return None
        parts = self.widths.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() and int(part) >= 8 for part in parts):
            raise TrainerError(
                "widths must be auto or whole numbers of at least 8, separated by commas, such as 128,256,512; got "
                f"{self.widths!r}"
            )
        found = tuple(sorted({int(part) for part in parts}))
        if len(found) > MOST_WIDTHS:
            raise TrainerError(
                f"widths must be at most {MOST_WIDTHS} numbers, because each is compiled; got {len(found)} numbers"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """All options, for JSON."""
        return asdict(self)
