"""`albert-fast make-records`."""

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from albert_fast import _native
from albert_fast.cli import options
from albert_fast.cli.common import (
    UsageError,
    check_output_dir,
    info,
    interruptible,
    positional,
    warn,
    warn_of_replaced,
    write_config,
)
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_changes import warn_of_changes_for
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.cli.tokenizer_file import open_tokenizer, warn_of_boundary
from albert_fast.text import duration
from albert_fast.tokenizers.files import is_store

REFERENCE: dict[str, Any] = {
    "word_boundary": "albert",
    "single_segment": "random",
    "cross_segment_words": True,
    "replace_with_special": True,
}
"""What `--rng reference` means for the options that have a better default."""

BETTER: dict[str, Any] = {
    "word_boundary": "unicode",
    "single_segment": "split",
    "cross_segment_words": False,
    "replace_with_special": False,
}
"""The defaults of those options otherwise."""

AS_RNG = "[default: {}; {} with --rng reference]"


def flag(name: str, value: Any) -> str:
    """An option as it is typed: `--word-boundary albert`, `--no-cross-segment-words`."""
    kebab = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{kebab}" if value else f"--no-{kebab}"
    return f"--{kebab} {value}"


def resolve_corrections(rng: str, given: dict[str, Any]) -> dict[str, Any]:
    """The four options whose default depends on `rng`.

    Args:
        rng: ``fast`` or ``reference``.
        given: their values as given; None where left open.

    Raises:
        UsageError: one of them contradicts `--rng reference`.
    """
    if rng != "reference":
        return {name: BETTER[name] if value is None else value for name, value in given.items()}
    for name, value in given.items():
        if value is not None and value != REFERENCE[name]:
            raise UsageError(
                f"--rng reference means {flag(name, REFERENCE[name])}, as the reference does: leave out "
                f"{flag(name, value)}, or --rng reference"
            )
    return dict(REFERENCE)


def cap_warning(max_seq_length: int, max_predictions_per_seq: int, masked_lm_prob: float) -> str | None:
    """A warning where `max_predictions_per_seq` keeps full sequences from `masked_lm_prob`, with both shares."""
    share = max_predictions_per_seq / max_seq_length
    wanted = max(1, round(max_seq_length * masked_lm_prob))
    if masked_lm_prob == 0 or max_predictions_per_seq >= wanted:
        return None
    return (
        f"--max-predictions-per-seq {max_predictions_per_seq} of --max-seq-length {max_seq_length} masks "
        f"{100 * share:.1f} % of a full sequence, not the {100 * masked_lm_prob:g} % of --masked-lm-prob; "
        f"{wanted} would reach it"
    )


def make_records(
    context: typer.Context,
    output_dir: options.OutputDir,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Text (files, globs, folders, or - for standard input; plain, gzip, bzip2, xz or zstd; one sentence a "
            "line, a blank line between documents), or one token store.",
            show_default=False,
        ),
    ] = None,
    tokenizer: options.TokenizerFile = None,
    vocab_file: options.VocabFile = None,
    max_seq_length: Annotated[
        int,
        typer.Option(
            min=8, max=65_536, help="Tokens of an instance, padding included.", rich_help_panel=options.INSTANCES
        ),
    ] = 512,
    max_predictions_per_seq: Annotated[
        int, typer.Option(min=1, max=65_536, help="Most masked tokens of an instance.", rich_help_panel=options.MASKS)
    ] = 20,
    masked_lm_prob: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of tokens to mask.", rich_help_panel=options.MASKS)
    ] = 0.15,
    short_seq_prob: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of documents cut to a random shorter length.",
            rich_help_panel=options.INSTANCES,
        ),
    ] = 0.2,
    dupe_factor: Annotated[
        int,
        typer.Option(
            min=1,
            max=100_000,
            help="Passes over the text, each with other cuts and masks.",
            rich_help_panel=options.INSTANCES,
        ),
    ] = 2,
    random_seed: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="Seed of everything random.", rich_help_panel=options.INSTANCES)
    ] = 12345,
    ngram: Annotated[
        int, typer.Option(min=1, max=64, help="Longest n-gram, in words, masked as one.", rich_help_panel=options.MASKS)
    ] = 3,
    favor_shorter_ngram: Annotated[
        bool,
        typer.Option(
            "--favor-shorter-ngram/--no-favor-shorter-ngram",
            help="Draw an n-gram of n words with weight 1/n; else the other way round.",
            rich_help_panel=options.MASKS,
        ),
    ] = True,
    do_whole_word_mask: Annotated[
        bool,
        typer.Option(
            "--do-whole-word-mask/--no-do-whole-word-mask",
            help="Mask the tokens of a word together.",
            rich_help_panel=options.MASKS,
        ),
    ] = True,
    do_permutation: Annotated[
        bool,
        typer.Option(
            "--do-permutation/--no-do-permutation",
            help="Let as many further tokens change places; doubles the masked_lm_* features.",
            rich_help_panel=options.MASKS,
        ),
    ] = False,
    random_next_sentence: Annotated[
        bool,
        typer.Option(
            "--random-next-sentence/--no-random-next-sentence",
            help="For label 1, take B from another document instead of swapping A and B. Needs two documents.",
            rich_help_panel=options.INSTANCES,
        ),
    ] = False,
    single_segment: Annotated[
        options.SingleSegment | None,
        typer.Option(
            help="A chunk of one segment is split at a word start, given a random document as its second, or dropped.  "
            + AS_RNG.format("split", "random"),
            show_default=False,
            rich_help_panel=options.INSTANCES,
        ),
    ] = None,
    word_boundary: Annotated[
        options.WordBoundary | None,
        typer.Option(
            help="What begins a word: ▁, punctuation and each character of scripts without spaces; or the reference's "
            "rule, which takes most non-English pieces for whole words.  " + AS_RNG.format("unicode", "albert"),
            show_default=False,
            rich_help_panel=options.MASKS,
        ),
    ] = None,
    cross_segment_words: Annotated[
        bool | None,
        typer.Option(
            "--cross-segment-words/--no-cross-segment-words",
            help="Let words and n-grams run across [SEP].  " + AS_RNG.format("no", "yes"),
            show_default=False,
            rich_help_panel=options.MASKS,
        ),
    ] = None,
    replace_with_special: Annotated[
        bool | None,
        typer.Option(
            "--replace-with-special/--no-replace-with-special",
            help="Let random replacements be [CLS], <pad> and the like.  " + AS_RNG.format("no", "yes"),
            show_default=False,
            rich_help_panel=options.MASKS,
        ),
    ] = None,
    rng: Annotated[
        options.RngKind,
        typer.Option(
            help="fast: any number of threads, bounded memory. reference: google-research/ALBERT's records to the "
            "byte, one thread, the text in memory.",
            rich_help_panel=options.INSTANCES,
        ),
    ] = options.RngKind.fast,
    do_lower_case: options.DoLowerCase = None,
    keep_accents: options.KeepAccents = None,
    input_format: options.InputFormat = options.TextFormat.auto,
    on_bad_utf8: options.Bad = options.OnBadUtf8.error,
    num_shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=99_999,
            help="Record files.  [default: as many as keep a file at a handy size]",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    compression: Annotated[
        options.Compression, typer.Option(help="Compression of the record files.", rich_help_panel=options.OUTPUT)
    ] = options.Compression.none,
    num_threads: options.NumThreads = None,
    keep_store: Annotated[
        bool,
        typer.Option(
            "--keep-store/--no-keep-store",
            help="Keep the token store that is made beside the records.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    config: options.Config = None,
) -> None:
    """Turn text into shuffled, masked ALBERT pretraining records (TFRecord files of tf.train.Example).

    A run that was stopped goes on where it was when the same command is given again.

    Example: albert-fast make-records corpus/*.txt --tokenizer tokenizer/spiece.model --output-dir records
    --max-predictions-per-seq 77 --dupe-factor 10
    """
    if max_predictions_per_seq > max_seq_length:
        raise UsageError(
            f"--max-predictions-per-seq {max_predictions_per_seq} must not be larger than "
            f"--max-seq-length {max_seq_length}"
        )
    corrections = resolve_corrections(
        rng.value,
        {
            "word_boundary": word_boundary.value if word_boundary else None,
            "single_segment": single_segment.value if single_segment else None,
            "cross_segment_words": cross_segment_words,
            "replace_with_special": replace_with_special,
        },
    )
    run(
        positional(context, "inputs", inputs),
        output_dir,
        {
            "max_seq_length": max_seq_length,
            "max_predictions_per_seq": max_predictions_per_seq,
            "masked_lm_prob": masked_lm_prob,
            "short_seq_prob": short_seq_prob,
            "dupe_factor": dupe_factor,
            "random_seed": random_seed,
            "ngram": ngram,
            "favor_shorter_ngram": favor_shorter_ngram,
            "do_whole_word_mask": do_whole_word_mask,
            "do_permutation": do_permutation,
            "random_next_sentence": random_next_sentence,
            "rng": rng.value,
            **corrections,
        },
        tokenizer=tokenizer,
        vocab_file=vocab_file,
        do_lower_case=do_lower_case,
        keep_accents=keep_accents,
        on_bad_utf8=on_bad_utf8.value,
        input_format=input_format.value,
        num_shards=num_shards,
        compression=compression.value,
        num_threads=num_threads,
        keep_store=keep_store,
        overwrite=overwrite,
    )


def run(
    inputs: list[str],
    output_dir: Path,
    instance_options: dict[str, Any],
    *,
    tokenizer: Path | None = None,
    vocab_file: Path | None = None,
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    on_bad_utf8: str = "error",
    input_format: str = "auto",
    num_shards: int | None = None,
    compression: str = "none",
    num_threads: int | None = None,
    keep_store: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Makes the records, writes the resolved configuration beside them, says so; returns what `dataset.json` holds."""
    check_output_dir(output_dir)
    opened = open_tokenizer(
        tokenizer,
        vocab_file,
        do_lower_case=do_lower_case,
        keep_accents=keep_accents,
        inputs=inputs,
        reference=instance_options["rng"] == "reference",
    )
    warning = cap_warning(
        *(instance_options[key] for key in ("max_seq_length", "max_predictions_per_seq", "masked_lm_prob"))
    )
    if warning:
        warn(warning)
    warn_of_boundary(opened, instance_options["word_boundary"])
    from_store = len(inputs) == 1 and is_store(Path(inputs[0]))
    with (
        interruptible(
            "what is finished is kept: run the same command again to go on, or with --overwrite to start afresh"
        ),
        contextlib.nullcontext() if from_store else own_data_named(),
        Progress() as progress,
    ):
        result = _native.make_records(
            inputs,
            str(output_dir),
            opened,
            json.dumps(instance_options),
            num_shards=num_shards,
            compression=compression,
            num_threads=num_threads,
            on_bad_utf8=on_bad_utf8,
            format=input_format,
            keep_store=keep_store,
            overwrite=overwrite,
            progress=progress,
        )
    resolved = {
        "inputs": inputs,
        "output_dir": output_dir,
        "tokenizer": tokenizer,
        "vocab_file": vocab_file,
        "do_lower_case": opened.lower_case,
        "keep_accents": opened.keep_accents,
        **instance_options,
        "on_bad_utf8": on_bad_utf8,
        "input_format": input_format,
        "num_shards": num_shards,
        "compression": compression,
        "num_threads": num_threads,
        "keep_store": keep_store,
    }
    # Only now: a run that was refused must leave the folder as it found it.
    if not result.get("already_complete") or not describes(output_dir, instance_options):
        write_config(output_dir, "make-records", resolved)
    for message in result.get("warnings", []):
        # The native part sees the same cap; it was said before the work began.
        if not (warning and "max_predictions_per_seq" in message):
            warn(message)
    warn_of_replaced(result)
    if not result.get("already_complete") and not from_store:
        given = {"lower_case": do_lower_case, "keep_accents": keep_accents}
        warn_of_changes_for(
            inputs,
            opened,
            [name for name, value in given.items() if value is not None],
            reference=instance_options["rng"] == "reference",
        )
    report(result, output_dir)
    if keep_store and result.get("store"):
        info(f"the token store is kept: {result['store']}")
    elif "tokenize" in result.get("seconds", {}) and instance_options["rng"] == "fast":
        info(f"the token store on the way, {output_dir / '.tokens'}, is removed again (--keep-store keeps it)")
    return result


def describes(output_dir: Path, instance_options: dict[str, Any]) -> bool:
    """Whether the configuration beside the records has these options: one of an older run, killed since, has not."""
    try:
        content = json.loads((output_dir / "make-records.config.json").read_text(encoding="utf-8"))
        found = content["make-records"]
        return all(found[name] == value for name, value in instance_options.items())
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def report(result: dict[str, Any], output_dir: Path) -> None:
    """Says what was made, in a line or two."""
    if result.get("already_complete"):
        info(f"the records are complete already, with these options: {output_dir} (--overwrite starts afresh)")
        return
    totals = result.get("totals", {})
    instances = totals.get("instances", 0)
    counts = [f"{instances:,} instances, {totals.get('tokens', 0):,} tokens, {len(result.get('shards', []))} shards"]
    if instances and "labels" in totals:
        counts.append(f"label 1 {100 * totals['labels']['swapped_or_random'] / instances:.1f} %")
    if "masked_share" in totals:
        counts.append(f"masked {100 * totals['masked_share']:.2f} %")
    if totals.get("documents_too_short"):
        counts.append(f"{totals['documents_too_short']:,} of {totals['documents']:,} documents too short to use")
    truncated = totals.get("truncated_tokens", 0)
    if truncated:
        share = truncated / (truncated + totals["tokens"])
        counts.append(f"{truncated:,} tokens cut off ({100 * share:.1f} %)")
        if share > 0.1:
            warn(
                f"{100 * share:.0f} % of the tokens were cut off: segments are longer than an instance holds; "
                "is the text one sentence a line?"
            )
    seconds = result.get("seconds")
    if isinstance(seconds, dict) and seconds:
        counts.append(", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items()))
    info(f"{'; '.join(counts)}: {output_dir}")
