"""`albert-fast make-records`."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from albert_fast._native import Tokenizer, masking_warning
from albert_fast.cli.build import command
from albert_fast.cli.common import (
    check_output_dir,
    config_file,
    info,
    interruptible,
    warn,
    warn_of_replaced,
)
from albert_fast.cli.progress import Progress
from albert_fast.cli.tasks import report_task
from albert_fast.cli.text_changes import warn_of_changes_for
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.cli.tokenizer_file import open_tokenizer, warn_of_boundary
from albert_fast.files import write_apart, write_atomic
from albert_fast.options import InstanceOptions, MakeRecords
from albert_fast.options.mixtures import Weighted
from albert_fast.paths import as_path
from albert_fast.records import make, stores
from albert_fast.tasks import of_task
from albert_fast.text import duration, number


@command(MakeRecords)
def make_records(options: MakeRecords, given: frozenset[str]) -> None:
    r"""Turn a corpus into masked, shuffled training records. They are TFRecord files of tf.train.Example messages.

        albert-fast make-records corpus/*.txt --tokenizer tokenizer --output-dir records \
            --max-predictions-per-seq 77 --dupe-factor 10

    Each record is an instance: two consecutive segments of a document, [CLS] A [SEP] B [SEP], with masked tokens. In
    half of the instances, A and B are swapped, and their label is 1.

    If it is interrupted, run the same command again to resume.

    Mix several token stores, here 7 to 3:

        albert-fast make-records wikipedia=7 clinical=3 --output-dir records

    With --num-tasks and --task-id, the command makes some of the records of token stores. Other tasks make the rest.
    """
    run(options, given)


def run(options: MakeRecords, given: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Makes the records, writes the resolved configuration next to them, and reports them.

    Args:
        options: the options of the command.
        given: names of the options that the user gave. There is no warning about what these change.

    Returns:
        The content of `dataset.json`.
    """
    opened, warning = open_for(options)
    reference = options.rng == "reference"
    given_stores = stores(options)
    from_store = bool(given_stores)
    with (
        interruptible(
            "what is finished is kept: run the same command again to resume, or with --overwrite to start over"
        ),
        contextlib.nullcontext() if from_store else own_data_named(),
        Progress() as progress,
    ):
        result = make(options, opened, progress)
    task = of_task(result["task"]) if "task" in result else None
    keep_config(options, opened, already_complete=bool(result.get("already_complete")), is_task=task is not None)
    for message in result.get("warnings", []):
        if message != warning:  # which was shown before the work began
            warn(message)
    if task is not None:
        report_task(task, options, "shard")
        if "totals" not in result:
            return result
    for line in drawn(result, given_stores):
        info(line)
    warn_of_replaced(result)
    if not result.get("already_complete") and not from_store:
        warn_of_changes_for(options.inputs, opened, given, reference=reference)
    report(result, options.output_dir)
    if options.keep_store and result.get("store"):
        info(f"kept the token store {as_path(result['store'])}")
    elif "tokenize" in result.get("seconds", {}) and not reference:
        info("removed the temporary token store (--keep-store keeps it)")
    return result


def open_for(options: MakeRecords) -> tuple[Tokenizer, str | None]:
    """Checks the options, and warns about what will surprise. Returns the tokenizer, and the warning about the masks.

    Raises:
        CommandError, UsageError, AlbertFastError: those of `check_output_dir` and `open_tokenizer`.
    """
    instances = options.instance_options()
    given = [store for store, _ in stores(options)]
    check_output_dir(options.output_dir)
    opened = open_tokenizer(
        options.tokenizer,
        options.vocab_file,
        do_lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
        inputs=given[:1] or options.inputs,
        reference=options.rng == "reference",
    )
    warning = masking_warning(instances.to_json())
    if warning:
        warn(warning)
    warn_of_boundary(opened, instances.word_boundary)
    return opened, warning


def drawn(result: dict[str, Any], given: Sequence[Weighted]) -> list[str]:
    """Returns a line for each store of a mixture: how many instances are from it."""
    found: list[dict[str, Any]] = result.get("drawn", [])
    total = sum(one["instances"] for one in found)
    return [
        f"from {store}: {number(one['instances'], 'instance')} ({_few(100 * one['instances'] / total, 1)}%), "
        f"{_few(one['passes'], 2)} passes over it"
        for (store, _), one in zip(given, found, strict=False)
    ]


def _few(value: float, digits: int) -> str:
    """Returns a number with `digits` decimals, or with two digits if it is too small."""
    return f"{value:,.{digits}f}" if value >= 10**-digits else f"{value:.2g}"


def keep_config(options: MakeRecords, opened: Tokenizer, *, already_complete: bool, is_task: bool) -> None:
    """Writes the resolved options next to the records that were made with them.

    It is called at the end, because a command that was refused must leave the directory unchanged. All tasks write the
    same.
    """
    instances = options.instance_options()
    if (already_complete or is_task) and describes(options.output_dir, instances):
        return
    rules: dict[str, Any] = {"do_lower_case": opened.lower_case, "keep_accents": opened.keep_accents}
    resolved = {**instances.as_dict(), **rules}
    path, content = config_file(options.output_dir, "make-records", options, resolved=resolved)
    (write_apart if is_task else write_atomic)(path, content)


def describes(output_dir: Path, instances: InstanceOptions) -> bool:
    """Returns whether the configuration next to the records has these options. One of a killed command may not."""
    try:
        content = json.loads((output_dir / "make-records.config.json").read_text(encoding="utf-8"))
        found = content["make-records"]
        return all(found[name] == value for name, value in instances.as_dict().items())
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def report(result: dict[str, Any], output_dir: Path) -> None:
    """Reports what was made, in a line or two."""
    if result.get("already_complete"):
        again = "" if "task" in result else " (--overwrite starts over)"
        info(f"{output_dir}: these records are already complete{again}")
        return
    totals = result.get("totals", {})
    instances, tokens = totals.get("instances", 0), totals.get("tokens", 0)
    shards = len(result.get("shards", []))
    counts = [number(shards, "shard")]
    if "masked_share" in totals:
        counts.append(f"{100 * totals['masked_share']:.2f}% masked")
    if instances and "labels" in totals:
        counts.append(f"{100 * totals['labels']['swapped_or_random'] / instances:.1f}% with label 1")
    truncated = totals.get("truncated_tokens", 0)
    fraction = truncated / (truncated + tokens) if truncated else 0.0
    if truncated:
        counts.append(f"{number(truncated, 'token')} ({100 * fraction:.1f}%) truncated")
    if totals.get("documents_too_short"):
        counts.append(
            f"{totals['documents_too_short']:,} of {number(totals['documents'], 'document')} too short to use"
        )
    info(f"wrote {number(instances, 'instance')} ({number(tokens, 'token')}) to {output_dir}: {', '.join(counts)}")
    seconds = result.get("seconds")
    if isinstance(seconds, dict) and seconds:
        info("time: " + ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items()))
    if fraction > 0.1:
        warn(
            f"{100 * fraction:.0f}% of the tokens were truncated: many sentences are long for --max-seq-length. Pass "
            "a larger one, and check that the corpus has one sentence per line"
        )
