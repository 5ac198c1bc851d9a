"""Options of `pretrain` and `evaluate`. The defaults are those of the public ALBERT guide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from albert_fast.errors import option_error
from albert_fast.options.base import REQUIRED, Stage, option, options_of
from albert_fast.options.instances import INSTANCES, MASKS, StreamOptions
from albert_fast.options.shared import (
    INPUT,
    OUTPUT,
    TOKENIZER,
    ConfigFile,
    OtherTokenizer,
    OutputDir,
    Overwrite,
    Threads,
)

DATA = "Data"
MODEL = "Model"
TRAINING = "Training"
DEVICE = "Device"
CHECKPOINTS = "Checkpoints and metrics"

Optimizer = Literal["lamb", "adamw"]
Precision = Literal["bf16", "float32", "tf32"]
Attention = Literal["plain", "autodiff", "cudnn"]
"""Ways to compute attention. "plain" is matrix products with our own gradient. "autodiff" is the same products with
TensorFlow's gradient, which keeps more in memory. "cudnn" is cuDNN's fused kernels, which need a GPU, bf16 and no
attention dropout."""

MOST_WIDTHS = 8
"""The maximum number of widths that a user may choose, because each is compiled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(Stage):
    """The options of a run, apart from the shape of the model and the data."""

    optimizer: Optimizer = option(
        "lamb", "Optimizer. Both are those of the reference, without bias correction.", TRAINING
    )
    batch_size: int = option(4096, "Instances per step, on all devices together.", TRAINING, low=1)
    learning_rate: float = option(
        0.00176, "Peak learning rate, reached at the end of warmup.", TRAINING, metavar="RATE", low=0, above=True
    )
    num_train_steps: int = option(
        125_000, "Number of steps. The learning rate is 0 after the last one.", TRAINING, low=1
    )
    num_warmup_steps: int = option(3_125, "Steps of warmup.", TRAINING, low=0)
    start_warmup_step: int = option(0, "Step at which warmup starts.", TRAINING, low=0)
    poly_power: float = option(
        1.0, "Exponent of the polynomial decay of the learning rate.", TRAINING, low=0, above=True
    )
    weight_decay: float = option(0.01, "Fraction of each weight that is added to its update.", TRAINING, low=0)
    random_seed: int = option(
        12345,
        "Random seed of the initial weights, the order, the masks and dropout.",
        TRAINING,
        low=0,
        high=2**31 - 1,
    )
    micro_batch_size: int | None = option(
        None,
        "Instances that a device computes at a time. Their gradients are summed over the batch.",
        DEVICE,
        low=1,
        shown="what suits the device",
    )
    precision: Precision | None = option(
        None,
        "Precision of matrix products and hidden states. Weights, softmax, LayerNorm and losses are float32. tf32 is "
        "float32 whose products an NVIDIA GPU rounds to 10 bits.",
        DEVICE,
        shown="bf16 on GPUs that support it, otherwise float32",
    )
    jit: bool | None = option(None, "Compile with XLA.", DEVICE, shown="on")
    deterministic: bool | None = option(
        None,
        "Make two runs equal to the last bit. It slows GPUs down.",
        DEVICE,
        shown="on for CPUs, off for GPUs",
    )
    peak_tflops: float | None = option(
        None,
        "Dense peak rate of a device in TFLOP/s. MFU is a fraction of it.",
        DEVICE,
        metavar="TFLOPS",
        low=0,
        above=True,
        shown="known for NVIDIA GPUs from the A100 on, in bf16",
    )
    widths: str = option(
        "auto",
        "Cut each micro-batch to the narrowest of these widths that holds its longest instance: up to 8 widths, in "
        "tokens, each at least 8. auto picks up to 5.",
        DEVICE,
        metavar="auto|N,N,...",
    )
    attention: Attention = option(
        "plain",
        "How to compute attention: with matrix products (plain), with the gradient of TensorFlow, which takes more "
        "memory (autodiff), or with the fused kernels of cuDNN (cudnn: NVIDIA GPU, bf16, no attention dropout; not yet "
        "run on a GPU).",
        DEVICE,
    )
    recompute: bool = option(
        False,
        "Compute the activations of each block again in the backward pass instead of keeping them. This takes less "
        "memory and about a third more work, and gives the same result.",
        DEVICE,
    )
    save_checkpoints_steps: int = option(5_000, "Steps between two checkpoints.", CHECKPOINTS, low=1)
    keep_checkpoint_max: int = option(
        5,
        "Newest checkpoints to keep, besides the best by masked-LM accuracy on --eval-records.",
        CHECKPOINTS,
        low=1,
    )
    eval_batch_size: int = option(
        64, "Instances per batch of evaluation. It does not change the figures.", CHECKPOINTS, low=1
    )
    log_steps: int = option(10, "Steps per metrics line, which averages over them.", CHECKPOINTS, low=1)
    max_hours: float | None = option(
        None,
        "Save a checkpoint and stop after this many hours. The same command resumes.",
        CHECKPOINTS,
        metavar="HOURS",
        low=0,
        above=True,
        shown="no limit",
    )

    def validate(self) -> None:
        end = self.start_warmup_step + self.num_warmup_steps
        if end > self.num_train_steps:
            left = self.num_train_steps - self.start_warmup_step
            rule = f"at most {left}, so that warmup ends within num_train_steps ({self.num_train_steps})"
            raise option_error("num_warmup_steps", rule, self.num_warmup_steps)
        self.chosen_widths()  # raises if it cannot read them

    def chosen_widths(self) -> tuple[int, ...] | None:
        """Returns the widths in tokens that the user chose, in ascending order, or None for "auto".

        Raises:
            AlbertFastError: they are neither "auto" nor a few whole numbers.
        """
        if self.widths == "auto":
            return None
        parts = self.widths.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() and int(part) >= 8 for part in parts):
            rule = "auto or whole numbers of at least 8, separated by commas, such as 128,256,512"
            raise option_error("widths", rule, self.widths)
        found = tuple(sorted({int(part) for part in parts}))
        if len(found) > MOST_WIDTHS:
            raise option_error("widths", f"at most {MOST_WIDTHS} numbers, because each is compiled", len(found))
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrain(ConfigFile, Overwrite, Threads, OutputDir, TrainingOptions, OtherTokenizer, StreamOptions):
    """`pretrain`."""

    PANELS: ClassVar[Mapping[str, str]] = {
        INSTANCES: "Instances, with --tokens",
        MASKS: "Masks, with --tokens",
        TOKENIZER: DATA,
    }
    NEEDS: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            [name for name in options_of(StreamOptions) if name not in {"max_seq_length", "max_predictions_per_seq"}],
            "tokens",
        ),
        **dict.fromkeys(["shuffle", "index_dir", "tokenizer"], "records"),
    }

    tokens: Path | None = option(
        None,
        "Token store to train on, from tokenize or make-records --keep-store. Every epoch has new masks.",
        DATA,
        metavar="STORE",
    )
    records: tuple[str, ...] = option(
        (),
        "TFRecord files to train on, from any tool: a file, glob or directory. Give the option again for more.",
        DATA,
        metavar="GLOB",
    )
    eval_records: tuple[str, ...] = option(
        (), "Held-out records. All of them are evaluated at each checkpoint.", DATA, metavar="GLOB"
    )
    tokenizer: Path | None = option(
        None,
        "With --records: the spiece.model or vocab.txt that they were made with, to keep with the model.",
        DATA,
        metavar="FILE",
        shown="none is kept",
    )
    shuffle: bool = option(
        True, "With --records: use a new order in each epoch. Otherwise, keep the order of the files.", DATA
    )
    index_dir: Path | None = option(
        None,
        "With --records: directory for the indexes of record files, and for decompressed files, to start faster next "
        "time.",
        DATA,
        metavar="DIR",
    )
    model: str | None = option(
        None,
        "base, large, xlarge or xxlarge (version 2, without dropout), tiny, or an albert_config.json.",
        MODEL,
        metavar="NAME",
    )
    init_checkpoint: Path | None = option(
        None,
        "Weights to start from: a TF1 ALBERT checkpoint, a run or checkpoint of pretrain, or a Hugging Face directory.",
        MODEL,
        metavar="PATH",
    )
    max_seq_length: int | None = option(  # type: ignore[assignment]
        None,
        "Length of an instance in tokens, including padding.",
        INSTANCES,
        low=8,
        high=65_536,
        shown="512, or that of the records",
    )
    compile_cache: str | None = option(
        None,
        "Directory for compiled programs, so that a restart does not compile again. none keeps no programs.",
        DEVICE,
        metavar="DIR|none",
        shown="compiled, in the output directory",
    )

    def validate(self) -> None:
        TrainingOptions.validate(self)
        if self.max_seq_length is not None:
            StreamOptions.validate(self)

    def stream_options(self) -> StreamOptions:
        """Returns the options of the instances to make from a token store."""
        values = self.as_dict()
        if values["max_seq_length"] is None:
            del values["max_seq_length"]
        return StreamOptions.pick(values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(ConfigFile, Threads, OtherTokenizer):
    """`evaluate`."""

    checkpoint: Path = option(
        REQUIRED,
        "A run of pretrain, for its newest checkpoint; one of its checkpoints; a Hugging Face directory; or a TF1 "
        "checkpoint.",
        INPUT,
        metavar="DIR",
    )
    records: tuple[str, ...] = option(
        REQUIRED,
        "Held-out TFRecord files, from any tool: a file, glob or directory. Give the option again for more.",
        INPUT,
        metavar="GLOB",
    )
    eval_batch_size: int = option(64, "Instances per batch. It does not change the figures.", DEVICE, low=1)
    precision: Precision = option("float32", "Precision of matrix products and hidden states.", DEVICE)
    jit: bool = option(True, "Compile with XLA.", DEVICE)
    output: Path | None = option(None, "Write the figures to this file too, as JSON.", OUTPUT, metavar="FILE")
    overwrite: bool = option(False, "Replace the file of --output if evaluate wrote it.", OUTPUT)
