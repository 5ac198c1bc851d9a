"""`albert-fast tokenize`."""

from typing import Any

from albert_fast import Tokenizer, _native
from albert_fast.cli.build import command
from albert_fast.cli.common import check_output_dir, info, interruptible, warn, warn_of_replaced, write_config
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_changes import warn_of_changes_for
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.cli.tokenizer_file import check_inputs, open_tokenizer
from albert_fast.options import Tokenize
from albert_fast.text import number


@command(Tokenize)
def tokenize(options: Tokenize, given: frozenset[str]) -> None:
    """Tokenize a corpus once, for pretrain or make-records. The output is a token store: a directory with the ids.

        albert-fast tokenize corpus/*.txt.gz --tokenizer tokenizer --output-dir store

    If it is interrupted, run the same command again to resume.
    """
    check_output_dir(options.output_dir)
    if options.tokenizer is None and options.vocab_file is None:
        check_inputs(options.inputs)
    opened = open_tokenizer(
        options.tokenizer,
        options.vocab_file,
        do_lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
    )
    run(options, opened)
    warn_of_changes_for(options.inputs, opened, given)


def run(options: Tokenize, opened: Tokenizer) -> dict[str, Any]:
    """Makes the store, writes the resolved configuration next to it, and reports it.

    Returns:
        What `_native.tokenize` returns.
    """
    check_output_dir(options.output_dir)
    with interruptible("run the same command again to resume"), own_data_named(), Progress() as progress:
        result = _native.tokenize(
            [*options.inputs],
            str(options.output_dir),
            opened,
            num_threads=options.num_threads,
            on_bad_utf8=options.on_bad_utf8,
            format=options.input_format,
            overwrite=options.overwrite,
            progress=progress,
        )
    write_config(
        options.output_dir,
        "tokenize",
        options,
        resolved={"do_lower_case": opened.lower_case, "keep_accents": opened.keep_accents},
    )
    for message in result.get("warnings", []):
        warn(message)
    warn_of_replaced(result)
    counts = ", ".join(number(result[f"{what}s"], what) for what in ("document", "sentence", "token"))
    if result["already_complete"]:
        info(f"{options.output_dir}: this store is already complete, with {counts} (--overwrite starts over)")
    else:
        info(f"wrote {options.output_dir}: {counts}")
    return result
