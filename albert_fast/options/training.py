"""Options of `pretrain` and `evaluate`. The defaults are those of the public ALBERT guide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import REQUIRED, Stage, is_fall, option, options_of
from albert_fast.options.instances import INSTANCES, MASKS, StreamOptions
from albert_fast.options.phases import MOST_STEPS, Phase, Plan, plans
from albert_fast.options.shared import (
    INPUT,
    OUTPUT,
    TOKENIZER,
    BatchThreads,
    CacheOptions,
    ConfigFile,
    OtherTokenizer,
    OutputDir,
    Overwrite,
)

DATA = "Data"
MODEL = "Model"
TRAINING = "Training"
DEVICE = "Device"
CHECKPOINTS = "Checkpoints and metrics"

Tracker = Literal["wandb", "mlflow", "trackio", "tensorboard"]
Optimizer = Literal["lamb", "adamw"]
LearningRateSchedule = Literal["polynomial", "wsd", "cosine"]
"""Ways for the learning rate to fall after warmup. "polynomial" is the reference's, "wsd" is warmup-stable-decay."""
Precision = Literal["bf16", "float32", "tf32"]
Attention = Literal["plain", "autodiff", "cudnn"]
"""Ways to compute attention. "plain" is matrix products with our own gradient. "autodiff" is the same products with
TensorFlow's gradient, which keeps more in memory. "cudnn" is cuDNN's fused kernels, which need a GPU, bf16 and no
attention dropout."""

LEAST_MEASURED = 10
"""The minimum number of steps of warmup, in which a run with `budget_hours` measures its speed."""

MOST_WIDTHS = 8
"""The maximum number of widths that a user may choose, because each is compiled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(Stage):
    """The options of a run, apart from the shape of the model and the data."""

    optimizer: Optimizer = option(
        "lamb", "Optimizer. Both compute what google-research/ALBERT does, without bias correction.", TRAINING
    )
    batch_size: int = option(4096, "Number of instances per step, on all devices together.", TRAINING, low=1)
    learning_rate: float = option(
        0.00176, "Peak learning rate, reached at the end of warmup.", TRAINING, metavar="RATE", low=0, above=True
    )
    num_train_steps: int = option(
        125_000, "Number of steps. The learning rate falls until the last one.", TRAINING, low=1, high=MOST_STEPS
    )
    budget_hours: float | None = option(
        None,
        "Train for about this many hours, restarts included, instead of --num-train-steps. The number of steps follows "
        "from the speed that the run measures during warmup.",
        TRAINING,
        metavar="HOURS",
        low=0,
        above=True,
        shown="no budget",
    )
    num_warmup_steps: int = option(
        3_125, "Number of steps over which the learning rate rises to its peak.", TRAINING, low=0, high=MOST_STEPS
    )
    start_warmup_step: int = option(
        0, "Step at which warmup starts. The learning rate is 0 before.", TRAINING, low=0, high=MOST_STEPS
    )
    learning_rate_schedule: LearningRateSchedule = option(
        "polynomial",
        "How the learning rate falls after warmup. polynomial is the schedule of google-research/ALBERT. wsd "
        "(warmup-stable-decay) keeps the peak until the last --decay-fraction of the steps. cosine is half a wave.",
        TRAINING,
    )
    poly_power: float = option(
        1.0,
        "Exponent of the decay of the learning rate with polynomial. 1 means a straight line.",
        TRAINING,
        low=0,
        above=True,
    )
    decay_fraction: float = option(
        0.1,
        "Fraction of the steps, at the end, in which the learning rate falls with wsd.",
        TRAINING,
        metavar="FRACTION",
        low=0,
        above=True,
        high=1,
    )
    final_learning_rate_fraction: float = option(
        0.0,
        "Fraction of the peak that the learning rate falls to.",
        TRAINING,
        metavar="FRACTION",
        low=0,
        high=1,
        below=True,
    )
    weight_decay: float = option(
        0.01, "Weight decay: this multiple of each weight is added to its update.", TRAINING, low=0
    )
    random_seed: int = option(
        12345,
        "Random seed of the initial weights, the order of the instances, the masks and dropout.",
        TRAINING,
        low=0,
        high=2**31 - 1,
    )
    micro_batch_size: int | None = option(
        None,
        "Number of instances that a device computes at a time. Gradients add up over the batch, so this changes "
        "speed and memory, not what the model learns.",
        DEVICE,
        low=1,
        shown="chosen for the device and the batch",
    )
    precision: Precision | None = option(
        None,
        "Precision of matrix products and hidden states. Weights, softmax, LayerNorm and losses are always "
        "float32. With tf32, an NVIDIA GPU rounds the factors of each product to 10 bits.",
        DEVICE,
        shown="bf16 on GPUs that support it, otherwise float32",
    )
    jit: bool | None = option(None, "Compile with XLA.", DEVICE, shown="on")
    deterministic: bool | None = option(
        None,
        "Make runs with the same options equal to the last bit. This slows down GPUs.",
        DEVICE,
        shown="on for CPUs, off for GPUs",
    )
    peak_tflops: float | None = option(
        None,
        "Peak rate of one device for dense products, in TFLOP/s. pretrain reports the fraction of it that training "
        "reaches (MFU).",
        DEVICE,
        metavar="TFLOPS",
        low=0,
        above=True,
        shown="known for common NVIDIA GPUs since the A100, in bf16",
    )
    widths: str = option(
        "auto",
        "Save padding: cut each micro-batch to the narrowest of these widths, in tokens, that holds its longest "
        "instance. Give up to 8 widths of at least 8 tokens. auto picks up to 5.",
        DEVICE,
        metavar="auto|N,N,...",
    )
    attention: Attention = option(
        "plain",
        "How to compute attention. plain uses matrix products. autodiff does too, but takes TensorFlow's gradient, "
        "which needs more memory. cudnn uses the fused kernels of cuDNN. It needs an NVIDIA GPU, bf16 and a model "
        "without attention dropout. It was fastest on an H100, but has not been run through TensorFlow there.",
        DEVICE,
    )
    recompute: bool = option(
        False,
        "Save memory: compute the activations of each block again in the backward pass instead of keeping them. "
        "This takes about a third more work and gives the same result.",
        DEVICE,
    )
    save_checkpoints_steps: int = option(5_000, "Number of steps from one checkpoint to the next.", CHECKPOINTS, low=1)
    keep_checkpoint_max: int = option(
        5,
        "Number of newest checkpoints to keep. The one with the best masked-LM accuracy on --eval-records is kept too.",
        CHECKPOINTS,
        low=1,
    )
    eval_batch_size: int = option(
        64, "Number of instances per evaluation batch. It does not change the results.", CHECKPOINTS, low=1
    )
    log_steps: int = option(10, "Number of steps per line of metrics. A line shows their averages.", CHECKPOINTS, low=1)
    max_hours: float | None = option(
        None,
        "Save a checkpoint and stop within this many hours. The same command resumes the run.",
        CHECKPOINTS,
        metavar="HOURS",
        low=0,
        above=True,
        shown="no limit",
    )

    def validate(self) -> None:
        for name, schedule in (("poly_power", "polynomial"), ("decay_fraction", "wsd")):
            # The default is in every configuration that a run writes.
            default = options_of(TrainingOptions)[name].default
            if self.learning_rate_schedule != schedule and getattr(self, name) != default:
                rule = f"{default:g} unless learning_rate_schedule is {schedule}"
                raise option_error(name, rule, getattr(self, name))
        if self.budget_hours is None:
            check_warmup(self, self.num_train_steps)
        elif self.num_warmup_steps < LEAST_MEASURED:
            rule = f"at least {LEAST_MEASURED} with budget_hours, because the run measures its speed during warmup"
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


def decay_steps(options: Any, num_train_steps: int) -> int:
    """Returns the number of steps, at the end, in which wsd's learning rate falls, at least 1.

    Args:
        options: anything with `decay_fraction`.
        num_train_steps: the number of all steps.
    """
    return max(1, round(float(options.decay_fraction) * num_train_steps))


def check_warmup(options: Any, num_train_steps: int) -> None:
    """Refuses a warmup that does not end before the run, or with wsd before the decay.

    Args:
        options: anything with the fields of a schedule.
        num_train_steps: the number of all steps.

    Raises:
        AlbertFastError: the warmup is too long.
    """
    end, total = options.start_warmup_step + options.num_warmup_steps, num_train_steps
    rule = "at most {left}, so that warmup ends within num_train_steps ({total})"
    if options.learning_rate_schedule == "wsd":
        total -= decay_steps(options, num_train_steps)
        rule = "at most {left}, so that warmup ends before the decay, which begins at step {total}"
    if end > total:
        rule = rule.format(left=f"{total - options.start_warmup_step:,}", total=f"{total:,}")
        raise option_error("num_warmup_steps", rule, options.num_warmup_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrain(
    ConfigFile, Overwrite, BatchThreads, OutputDir, TrainingOptions, OtherTokenizer, CacheOptions, StreamOptions
):
    """`pretrain`."""

    PANELS: ClassVar[Mapping[str, str]] = {
        INSTANCES: "Instances, with --tokens",
        MASKS: "Masks, with --tokens",
        TOKENIZER: DATA,
        INPUT: DATA,
    }
    NEEDS: ClassVar[Mapping[str, str | tuple[str, ...]]] = {
        **dict.fromkeys(
            [name for name in options_of(StreamOptions) if name not in {"max_seq_length", "max_predictions_per_seq"}],
            ("tokens", "phase"),
        ),
        **dict.fromkeys(["shuffle_blocks", "mixture_temperature"], ("tokens", "phase")),
        **dict.fromkeys(["tracker_project", "tracker_name"], "tracker"),
        **dict.fromkeys(["shuffle", "index_dir", "tokenizer"], "records"),
    }

    tokens: tuple[str, ...] = option(
        (),
        "Token store to train on, from tokenize or make-records --keep-store. Every epoch has new masks. A remote "
        "store is first copied to --cache-dir. Give the option again, with a weight for each store, to mix several: "
        "the weight is the fraction of the instances. Give this or --records.",
        DATA,
        metavar="STORE[=WEIGHT]",
        pairs=True,
    )
    mixture_temperature: float | None = option(
        None,
        "With several --tokens without weights: give each the weight tokens ** (1 / T). A large T gives all stores "
        "about the same weight.",
        DATA,
        metavar="T",
        low=0,
        above=True,
        shown="1: sizes decide",
    )
    phase: tuple[Phase, ...] = option(
        (),
        "Steps that are trained on other data than the rest. Give the option again for the next steps. The names are "
        "steps, which must be given, tokens, mixture_temperature, max_seq_length, max_predictions_per_seq, "
        "masked_lm_prob and micro_batch_size. Without them, the options of the run hold. The sum of all steps is "
        "--num-train-steps.",
        DATA,
        metavar="NAME=VALUE,...",
        shown="one phase",
    )
    records: tuple[str, ...] = option(
        (),
        "TFRecord files to train on, from any tool: a file, glob or directory. Give the option again for more. The "
        "masks stay the same in every epoch. Remote files are first copied to --cache-dir.",
        DATA,
        metavar="GLOB",
    )
    eval_records: tuple[str, ...] = option(
        (),
        "Held-out records to evaluate at each checkpoint: a file, glob or directory. Give the option again for more.",
        DATA,
        metavar="GLOB",
    )
    tokenizer: Path | None = option(
        None,
        "With --records: the spiece.model or vocab.txt that the records were made with. It is stored with the model.",
        DATA,
        metavar="FILE",
        shown="none is stored",
    )
    shuffle: bool = option(
        True, "With --records: shuffle the records again in each epoch. Otherwise, keep the order of the files.", DATA
    )
    shuffle_blocks: bool = option(
        False,
        "With --tokens: shuffle blocks of the store, and then the instances of some blocks at a time, instead of all "
        "instances. For a store that is larger than the memory.",
        DATA,
    )
    index_dir: Path | None = option(
        None,
        "With --records: directory for the indexes of the record files, and for decompressed files. They make the "
        "next start faster.",
        DATA,
        metavar="DIR",
    )
    model: str | None = option(
        None,
        "Shape of the model, which must be given: base, large, xlarge or xxlarge (ALBERT version 2, without "
        "dropout), tiny, or the path of an albert_config.json.",
        MODEL,
        metavar="NAME",
    )
    init_checkpoint: Path | None = option(
        None,
        "Weights to start from: a run or checkpoint of pretrain, a Hugging Face directory, or a TF1 ALBERT checkpoint.",
        MODEL,
        metavar="PATH",
    )
    max_seq_length: int | None = option(  # type: ignore[assignment]
        None,
        "Length of each instance in tokens, including padding.",
        INSTANCES,
        low=8,
        high=65_536,
        shown="512; with --records, that of the records",
    )
    mirror_dir: Path | None = option(
        None,
        "Copy the run to this directory, local or remote (s3://, gs://, az://), at each checkpoint. If its newest "
        "checkpoint is newer than that of --output-dir, resume from there.",
        CHECKPOINTS,
        metavar="DIR",
    )
    tracker: tuple[Tracker, ...] = option(
        (),
        "Show the run in this experiment tracker too, whose Python package must be installed. Give the option again "
        "for more. Events for tensorboard are written for every run.",
        CHECKPOINTS,
    )
    tracker_project: str | None = option(
        None,
        "Project of the run in the trackers. For MLflow, the experiment.",
        CHECKPOINTS,
        metavar="NAME",
        shown="that of the tracker's environment variables, otherwise albert-fast",
    )
    tracker_name: str | None = option(
        None,
        "Name of the run in the trackers.",
        CHECKPOINTS,
        metavar="NAME",
        shown="the name of the output directory",
    )
    compile_cache: str | None = option(
        None,
        "Directory for compiled programs, so that a restart need not compile again. none stores no programs.",
        DEVICE,
        metavar="DIR|none",
        shown="compiled in the output directory",
    )

    def validate(self) -> None:
        TrainingOptions.validate(self)
        for name in ("tracker_project", "tracker_name"):
            if getattr(self, name) == "":
                raise option_error(name, "a name", "")
        if is_fall(self.masked_lm_prob) and self.budget_hours is not None:
            advice = "a fraction that falls needs the number of steps from the start: pass num_train_steps instead"
            raise option_error("masked_lm_prob", "one number with budget_hours", self.masked_lm_prob, advice)
        if self.phase and self.budget_hours is not None:
            message = "phases need the number of steps from the start; pass `num_train_steps` instead of `budget_hours`"
            raise AlbertFastError(message, kind="option", option="phase")
        if self.phase_steps is not None and self.phase_steps > MOST_STEPS:
            message = f"the phases must have at most {MOST_STEPS:,} steps together, got {self.phase_steps:,}"
            raise AlbertFastError(message, kind="option", option="phase")
        if self.phase and self.records:
            message = "`phase` needs `tokens`: the instances of records cannot change"
            raise AlbertFastError(message, kind="option", option="phase")
        if self.max_seq_length is not None and not self.phase:
            StreamOptions.validate(self)
        if self.tokens or self.phase:
            plans(self)  # raises if they contradict each other

    def stream_options(self) -> StreamOptions:
        """Returns the options of the instances to make from a token store, apart from those of phases."""
        values = self.as_dict()
        if values["max_seq_length"] is None:
            del values["max_seq_length"]
        return StreamOptions.pick(values)

    @property
    def phase_steps(self) -> int | None:
        """The sum of the steps of all phases. None without phases."""
        return sum(phase.steps for phase in self.phase) if self.phase else None

    def plans(self) -> list[Plan]:
        """Returns the phases of a run with token stores; a run without phases is one."""
        return plans(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(ConfigFile, BatchThreads, OtherTokenizer, CacheOptions):
    """`evaluate`."""

    checkpoint: Path = option(
        REQUIRED,
        "Model to evaluate: a run of pretrain (its newest checkpoint), one of its checkpoints, a Hugging Face "
        "directory, or a TF1 checkpoint.",
        INPUT,
        metavar="DIR",
    )
    records: tuple[str, ...] = option(
        REQUIRED,
        "Held-out TFRecord files from any tool: a file, glob or directory. Give the option again for more.",
        INPUT,
        metavar="GLOB",
    )
    eval_batch_size: int = option(64, "Number of instances per batch. It does not change the results.", DEVICE, low=1)
    precision: Precision = option("float32", "Precision of matrix products and hidden states.", DEVICE)
    jit: bool = option(True, "Compile with XLA.", DEVICE)
    output: Path | None = option(None, "Write the results to this file too, as JSON.", OUTPUT, metavar="FILE")
    overwrite: bool = option(False, "Replace the file --output, if an earlier evaluate wrote it.", OUTPUT)
