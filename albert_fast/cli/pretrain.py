"""`albert-fast pretrain`."""

import contextlib
import enum
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert_fast import TokenStore
from albert_fast.cli import options, run_folder
from albert_fast.cli.common import Stopped, UsageError, check_output_dir, info, warn
from albert_fast.cli.model_tokenizer import check_data
from albert_fast.cli.tokenizer_file import warn_of_boundary
from albert_fast.cli.training import model_config, quiet_start, require_tensorflow, trainer_errors
from trainer.folder import CHECKPOINTS, COMPILED, empty
from trainer.run.compile_cache import NONE, CompileCache, clear, open_cache, without_noise

if TYPE_CHECKING:
    from trainer.exchange.initial import Initial
    from trainer.model.config import ModelConfig
    from trainer.options import Options
    from trainer.run.data import Data
    from trainer.run.loop import Outcome

MODEL, STEPS, SPEED = "Model and data", "Training", "Device"
OUTPUT = "Output"
INSTANCES = "Instances, with --tokens"


class OptimizerKind(enum.Enum):
    """How gradients become updates."""

    lamb = "lamb"
    adamw = "adamw"


class Precision(enum.Enum):
    """Of matrix products and hidden states."""

    bf16 = "bf16"
    float32 = "float32"
    tf32 = "tf32"


class Attention(enum.Enum):
    """How attention is computed."""

    plain = "plain"
    autodiff = "autodiff"
    cudnn = "cudnn"


def pretrain(
    output_dir: options.OutputDir,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Token store (of tokenize, or make-records --keep-store) to train on, masked anew each epoch.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    records: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="TFRecord files to train on, ours or anyone's: a file, a glob, a folder; can be given again.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="base, large, xlarge, xxlarge (version 2, without dropout), tiny, or an albert_config.json.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    eval_records: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Held-out records: evaluated, all of them, at each checkpoint.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    init_checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Weights to start from: a TF1 ALBERT checkpoint, a checkpoint or run of ours, a Hugging Face folder.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --records: the spiece.model or WordPiece vocab.txt that they were made with, to keep with the "
            "model.  [default: not kept]",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    allow_other_tokenizer: options.AllowOtherTokenizer = False,
    shuffle: Annotated[
        bool,
        typer.Option(
            "--shuffle/--no-shuffle",
            help="Take records in an order of each epoch's own; else in that of the files.",
            rich_help_panel=MODEL,
        ),
    ] = True,
    index_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that keeps the indexes of record files, and decompressed ones, for the next start.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    optimizer: Annotated[
        OptimizerKind, typer.Option(help="As in the reference, without bias correction.", rich_help_panel=STEPS)
    ] = OptimizerKind.lamb,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Sequences of a step, on all devices together.", rich_help_panel=STEPS)
    ] = 4096,
    learning_rate: Annotated[float, typer.Option(help="Rate that the warm-up climbs to.", rich_help_panel=STEPS)] = (
        0.00176
    ),
    num_train_steps: Annotated[
        int, typer.Option(min=1, help="Steps, at the end of which the rate is 0.", rich_help_panel=STEPS)
    ] = 125_000,
    num_warmup_steps: Annotated[int, typer.Option(min=0, help="Steps of warm-up.", rich_help_panel=STEPS)] = 3_125,
    start_warmup_step: Annotated[
        int, typer.Option(min=0, help="Step that the warm-up counts from.", rich_help_panel=STEPS)
    ] = 0,
    poly_power: Annotated[float, typer.Option(help="Exponent of the rate's decay.", rich_help_panel=STEPS)] = 1.0,
    weight_decay: Annotated[
        float, typer.Option(min=0.0, help="Share of a weight added to its update.", rich_help_panel=STEPS)
    ] = 0.01,
    random_seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random.", rich_help_panel=STEPS)
    ] = 12345,
    max_seq_length: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=65_536,
            help="Tokens of an instance, padding included.  [default: 512; that of the records]",
            show_default=False,
            rich_help_panel=INSTANCES,
        ),
    ] = None,
    max_predictions_per_seq: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_536,
            help="Most masked tokens of an instance.  [default: --masked-lm-prob of --max-seq-length]",
            show_default=False,
            rich_help_panel=INSTANCES,
        ),
    ] = None,
    masked_lm_prob: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of tokens to mask.", rich_help_panel=INSTANCES)
    ] = 0.15,
    short_seq_prob: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of documents cut to a shorter length.", rich_help_panel=INSTANCES),
    ] = 0.2,
    ngram: Annotated[
        int, typer.Option(min=1, max=64, help="Longest n-gram masked as one, in words.", rich_help_panel=INSTANCES)
    ] = 3,
    favor_shorter_ngram: Annotated[
        bool,
        typer.Option(
            "--favor-shorter-ngram/--no-favor-shorter-ngram",
            help="Draw an n-gram of n words with weight 1/n; else the other way round.",
            rich_help_panel=INSTANCES,
        ),
    ] = True,
    do_whole_word_mask: Annotated[
        bool,
        typer.Option(
            "--do-whole-word-mask/--no-do-whole-word-mask",
            help="Mask the tokens of a word together.",
            rich_help_panel=INSTANCES,
        ),
    ] = True,
    random_next_sentence: Annotated[
        bool,
        typer.Option(
            "--random-next-sentence/--no-random-next-sentence",
            help="For label 1, take B from another document instead of swapping A and B. Needs two documents.",
            rich_help_panel=INSTANCES,
        ),
    ] = False,
    word_boundary: Annotated[
        options.WordBoundary, typer.Option(help="What begins a word; see make-records.", rich_help_panel=INSTANCES)
    ] = options.WordBoundary.unicode,
    single_segment: Annotated[
        options.SingleSegment,
        typer.Option(help="What becomes of a chunk of one segment; see make-records.", rich_help_panel=INSTANCES),
    ] = options.SingleSegment.split,
    micro_batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Sequences that a device takes at a time; their gradients are added up to the batch's.  [default: "
            "what suits the device]",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of matrix products and hidden states; weights, softmax, LayerNorm and losses are float32. tf32 is "
            "float32 whose products an NVIDIA GPU rounds to 10 bits.  [default: bf16 on GPUs that have it, else "
            "float32]",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    jit: Annotated[
        bool | None,
        typer.Option(
            "--jit/--no-jit", help="Compile with XLA.  [default: jit]", show_default=False, rich_help_panel=SPEED
        ),
    ] = None,
    deterministic: Annotated[
        bool | None,
        typer.Option(
            "--deterministic/--no-deterministic",
            help="Make runs equal to the last bit.  [default: on processors; it slows GPUs down]",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    peak_tflops: Annotated[
        float | None,
        typer.Option(
            help="A device's dense peak, in 10^12 operations a second, that MFU is a share of.  [default: known for "
            "NVIDIA's from A100 on, in bf16]",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    widths: Annotated[
        str,
        typer.Option(
            metavar="auto|N,N,...",
            help="Cut each micro-batch to the narrowest of these widths that holds its longest instance: up to 8 "
            "widths, in tokens, each at least 8. auto picks up to 5.",
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    attention: Annotated[
        Attention,
        typer.Option(
            help="Compute attention with matrix products (plain), with the same and TensorFlow's gradient, which takes "
            "more memory (autodiff), or with cuDNN's fused kernels (cudnn: NVIDIA GPU, bf16, no attention dropout; "
            "not yet run on a GPU).",
            rich_help_panel=SPEED,
        ),
    ] = Attention.plain,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute/--no-recompute",
            help="Compute each block's activations again in the backward pass instead of keeping them. This takes "
            "less memory and about a third more work, and gives the same result.",
            rich_help_panel=SPEED,
        ),
    ] = False,
    compile_cache: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|none",
            help="Keep compiled programs in DIR, so that a restart does not compile again; none keeps no programs.  "
            "[default: compiled, in the output directory]",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    num_threads: options.NumThreads = None,
    save_checkpoints_steps: Annotated[
        int, typer.Option(min=1, help="Steps from one checkpoint to the next.", rich_help_panel=OUTPUT)
    ] = 5_000,
    keep_checkpoint_max: Annotated[
        int,
        typer.Option(
            min=1,
            help="Newest checkpoints to keep, besides the best by masked-LM accuracy on --eval-records.",
            rich_help_panel=OUTPUT,
        ),
    ] = 5,
    eval_batch_size: Annotated[
        int, typer.Option(min=1, help="Sequences of a step of evaluation.", rich_help_panel=OUTPUT)
    ] = 64,
    log_steps: Annotated[
        int, typer.Option(min=1, help="Steps that a line of metrics.jsonl is the mean of.", rich_help_panel=OUTPUT)
    ] = 10,
    max_hours: Annotated[
        float | None,
        typer.Option(
            help="Save and end within this many hours; the same command resumes.  [default: no limit]",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    config: options.Config = None,
) -> None:
    """Train an ALBERT from a token store or from records, on GPUs or processors.

    The same command resumes from the newest checkpoint, however the last one ended. TF_CONFIG starts it on several
    machines.

    Example: albert-fast pretrain --tokens store --model base --output-dir run --eval-records held-out
    --batch-size 4096 --micro-batch-size 64
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    require_tensorflow("pretrain")
    if (tokens is None) == (records is None):
        raise UsageError("pass either --tokens STORE or --records GLOB to train on")
    if model is None:
        raise UsageError("pass --model base, large, xlarge, xxlarge, tiny or an albert_config.json")
    if tokens is not None and tokenizer is not None:
        raise UsageError("--tokenizer goes with --records: a token store holds its own")
    if tokens is not None and tokens.is_file():
        raise UsageError(
            f"--tokens must be a token store (a directory), got the file {tokens}; make a store of it with: "
            f"albert-fast tokenize {tokens} --tokenizer spiece.model --output-dir store"
        )
    run(given)


def defaults() -> dict[str, Any]:
    """The values of `pretrain`'s options where they are left open."""
    return {
        name: None if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in inspect.signature(pretrain).parameters.items()
        if name != "config"
    }


def run(given: Mapping[str, Any]) -> "Outcome":
    """Trains with the values of `pretrain`'s parameters; says how it ended.

    Raises:
        CommandError: something does not fit, or went wrong.
        Stopped: a signal ended it.
    """
    with trainer_errors():
        return _run({name: value.value if isinstance(value, enum.Enum) else value for name, value in given.items()})


def _run(given: Mapping[str, Any]) -> "Outcome":
    from trainer.errors import TrainerError
    from trainer.options import Options
    from trainer.run.cluster import cluster

    folder: Path = given["output_dir"]
    try:
        chosen = Options(**{name: given[name] for name in Options.__dataclass_fields__})
    except TrainerError as error:
        raise UsageError(str(error)) from None
    check_output_dir(folder)
    workers, worker = cluster()
    if chosen.batch_size % workers:
        raise UsageError(f"--batch-size {chosen.batch_size} must be a multiple of the {workers} workers of TF_CONFIG")
    run_folder.check(folder)
    if given["overwrite"] and given["init_checkpoint"] is not None:
        run_folder.check_kept(folder, given["init_checkpoint"])
    training = _training_data(given, chosen.batch_size // workers)
    name, model = model_config(given["model"], training.vocab_size)
    if training.vocab_size is None:
        warn(
            f"{training.path} does not say how many pieces its tokenizer has: {model.vocab_size:,} are taken, as "
            f"--model {name} has it (--tokenizer tells)"
        )
    held_out = _held_out(given, max(1, chosen.eval_batch_size // workers), model, training)
    training.check(model)
    # Records of unknown origin are checked as they are read; only now is it known against which vocabulary.
    if training.kind == "records" and training.vocab_size is None:
        training = _training_data(given, chosen.batch_size // workers, model.vocab_size)
    with run_folder.made(folder) if worker == 0 else contextlib.nullcontext():
        return _train(given, chosen, training, held_out, name, model, workers, worker)


def _train(
    given: Mapping[str, Any],
    chosen: "Options",
    training: "Data",
    held_out: "Data | None",
    name: str,
    model: "ModelConfig",
    workers: int,
    worker: int,
) -> "Outcome":
    """Trains in this process, whose worker has its data; the output directory is there."""
    folder: Path = given["output_dir"]
    cache = _compile_cache(folder, given)
    if workers > 1:
        # TensorFlow waits for them without a word, and for as long as it takes.
        info(f"worker {worker}: waiting until all {workers} workers of TF_CONFIG are there")
    with without_noise() if cache else contextlib.nullcontext():
        with quiet_start():
            from trainer.run import hardware
            from trainer.run.aside import working
            from trainer.run.pretrain import Job, pretrain
            from trainer.run.stops import StoppedTwiceError

            devices = hardware.find()

        def describe() -> None:
            if given["overwrite"]:
                empty(folder)
                clear(folder / COMPILED, cache)
            run_folder.describe(folder, given, model, training)

        again = f"run the same command again{', without --overwrite,' if given['overwrite'] else ''} to resume"
        job = Job(
            folder,
            name,
            model,
            chosen,
            training,
            held_out,
            given["init_checkpoint"],
            not given["overwrite"],
            describe,
            lambda: f"stopped; {_kept(folder, again)}",
            cache.divert if cache else lambda: False,
            lambda start: _check_start(given, start, training),
        )
        try:
            outcome = pretrain(job, devices, warn)
        except KeyboardInterrupt as error:
            at_once = isinstance(error, StoppedTwiceError) or working()
            raise Stopped(_kept(folder, again), at_once=at_once) from None
        if cache:
            cache.close()
    if outcome.finished:
        info(f"trained for {outcome.steps:,} steps: {folder} (report.html shows how it went)")
    elif outcome.stopped == "--max-hours":
        info(f"--max-hours is over, after step {outcome.steps:,}; {again}")
    elif outcome.steps == 0:
        raise Stopped("no step was done yet")
    else:
        raise Stopped(f"saved after step {outcome.steps:,}: {again}")
    return outcome


def _compile_cache(folder: Path, given: Mapping[str, Any]) -> CompileCache | None:
    """Where compiled programs are kept; None for nowhere."""
    chosen = given["compile_cache"]
    if chosen == NONE or given["jit"] is False:
        return None
    directory = folder / COMPILED if chosen is None else Path(chosen)
    found = open_cache(directory, f"deterministic {given['deterministic']}")
    if isinstance(found, str):
        warn(f"compiled programs are not kept, so each start compiles again: {found}; pass another --compile-cache")
        return None
    return found


def _check_start(given: Mapping[str, Any], start: "Initial", training: "Data") -> None:
    """Refuses weights to start from whose ids are other pieces than those of the data."""
    if not given["allow_other_tokenizer"]:
        check_data(given["init_checkpoint"], start, training.opened or training.tokenizer, training.path)


def _kept(folder: Path, again: str) -> str:
    """What a run that ends at once leaves behind."""
    from trainer.model import checkpoints

    found = checkpoints.listing(folder / CHECKPOINTS)
    return f"{found[0]} is kept: {again} from it" if found else "no checkpoint was written yet"


def _training_data(given: Mapping[str, Any], batch_size: int, vocab_size: int | None = None) -> "Data":
    from trainer.run import data

    seed, threads = given["random_seed"], given["num_threads"]
    if given["tokens"] is not None:
        instances = {
            name: given[name]
            for name in (
                "max_predictions_per_seq",
                "masked_lm_prob",
                "short_seq_prob",
                "ngram",
                "favor_shorter_ngram",
                "do_whole_word_mask",
                "random_next_sentence",
                "word_boundary",
                "single_segment",
            )
        }
        instances["max_seq_length"] = given["max_seq_length"] or 512
        if instances["word_boundary"] == "albert":
            warn_of_boundary(TokenStore(given["tokens"]).tokenizer(), "albert")
        return data.from_tokens(given["tokens"], batch_size, instances, seed, num_threads=threads)
    found = data.from_records(
        given["records"],
        batch_size,
        seed=seed,
        shuffle=given["shuffle"],
        vocab_size=vocab_size,
        tokenizer=given["tokenizer"],
        allow_other_tokenizer=given["allow_other_tokenizer"],
        warn=warn,
        index_dir=given["index_dir"],
        num_threads=threads,
    )
    for name, there in (
        ("max_seq_length", found.source.max_seq_length),
        ("max_predictions_per_seq", found.source.max_predictions),
    ):
        if given[name] not in {None, there}:
            raise UsageError(
                f"--{name.replace('_', '-')} is {given[name]}, and the records of {found.path} have {there}"
            )
    return found


def _held_out(given: Mapping[str, Any], batch_size: int, model: "ModelConfig", training: "Data") -> "Data | None":
    from trainer.run import data

    if given["eval_records"] is None:
        return None
    allow = given["allow_other_tokenizer"]
    described = data.describe_records(given["eval_records"], allow_other_tokenizer=allow)
    if note := data.check_tokenizers(training, described, allow_other_tokenizer=allow):
        warn(note)
    held_out = data.from_records(
        given["eval_records"],
        batch_size,
        vocab_size=model.vocab_size,
        allow_other_tokenizer=allow,
        index_dir=given["index_dir"],
        num_threads=given["num_threads"],
    )
    held_out.check(model)
    data.check_held_out(training, held_out)
    return held_out
