"""`albert-fast fill-mask`."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert_fast.cli import model_tokenizer, options
from albert_fast.cli.common import CommandError, UsageError, warn
from albert_fast.cli.training import require_tensorflow, start_tensorflow, trainer_errors
from albert_fast.text import one_line

if TYPE_CHECKING:
    from trainer.exchange.fill_mask import Filler, Word

AUTO = "auto"


def fill_mask(
    context: typer.Context,
    model_dir: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL_DIR",
            help="The output folder of a run, one of its checkpoints, a Hugging Face folder, or a TF1 checkpoint.",
            show_default=False,
        ),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT...",
            help="Texts with one [MASK] or more; - for those on standard input, one a line.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, help="Words for each [MASK].")] = 5,
    masks_per_word: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Pieces of a word at most; 1 for single pieces, as transformers has it. auto: as many as are of use, "
            "up to 5. Words of several are sorted by the mean log-probability of a piece.",
        ),
    ] = AUTO,
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The model's tokenizer.  [default: the one beside it]", show_default=False),
    ] = None,
    allow_other_tokenizer: options.AllowOtherTokenizer = False,
    do_lower_case: options.DoLowerCase = None,
    keep_accents: options.KeepAccents = None,
    as_json: Annotated[
        bool, typer.Option("--json/--no-json", help="Print a JSON object for each text, one a line.")
    ] = False,
    config: options.Config = None,
) -> None:
    """Find the best words for the [MASK]s of texts.

    Example: albert-fast fill-mask run "Berlin is the [MASK] of Germany."
    """
    given = texts or (context.default_map or {}).get("texts")
    if not given:
        raise UsageError(f"missing argument TEXT... (see `{context.command_path} --help`)")
    most = _most(masks_per_word)
    require_tensorflow("fill-mask")
    with trainer_errors():
        filler = open_filler(
            model_dir, tokenizer, do_lower_case, keep_accents, allow_other_tokenizer=allow_other_tokenizer
        )
        for text in _lines(given):
            found = filler.fill(text, top_k, most)
            if as_json:
                print(json.dumps({"text": text, "masks": [[_described(word) for word in words] for words in found]}))
            else:
                show(text, found)


def open_filler(
    model_dir: Path,
    tokenizer: Path | None = None,
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    *,
    allow_other_tokenizer: bool = False,
) -> "Filler":
    """The model in a folder, with its tokenizer.

    Raises:
        TrainerError, CommandError, AlbertFastError: either is missing, is damaged, or does not fit the other.
    """
    start_tensorflow()
    from trainer.exchange import fill_mask as filling
    from trainer.exchange import initial
    from trainer.exchange.export import check_vocabulary

    start = initial.initial(model_dir)
    size = None if start.path is not None or start.config is None else start.config.vocab_size
    opened, _, path = model_tokenizer.choose(
        tokenizer,
        model_tokenizer.folders(model_dir, start.path),
        do_lower_case,
        keep_accents,
        size,
        allow_other=allow_other_tokenizer,
        facts=start.facts,
    )
    if opened is None:
        raise CommandError(f"{model_dir} holds no tokenizer: pass the one it was trained with as --tokenizer")
    model, remarks = filling.load(start)
    check_vocabulary(opened, model.config, path)
    for remark in remarks:
        warn(remark)
    return filling.Filler(model, opened)


def show(text: str, found: "list[list[Word]]") -> None:
    """Prints the words for each [MASK] of a text: their probability a piece, and of several pieces which and how."""
    print(one_line(text))
    for number, words in enumerate(found, 1):
        if len(found) > 1:
            print(f"  [MASK] {number}")
        for word in words:
            several = f"  ({' '.join(word.pieces)}, together {word.probability:.4f})" if len(word.pieces) > 1 else ""
            print(f"  {math.exp(word.score):.4f}  {word.word}{several}")


def _described(word: "Word") -> dict[str, Any]:
    return {
        "word": word.word,
        "probability": word.probability,
        "probability_per_piece": math.exp(word.score),
        "pieces": list(word.pieces),
        "text": word.text,
    }


def _most(value: str) -> int | None:
    if value == AUTO:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 64:
        raise UsageError(f"--masks-per-word must be auto, or a number from 1 to 64; it is {value}")
    return int(value)


def _lines(texts: list[str]) -> Iterator[str]:
    """The texts, those of standard input in place of -; blank lines there are passed over."""
    for text in texts:
        if text != "-":
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise CommandError(f"not UTF-8: {one_line(text.encode(errors='backslashreplace').decode())}")
            yield text
            continue
        for number, line in enumerate(sys.stdin.buffer, 1):
            try:
                decoded = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise CommandError(f"standard input, line {number}: not UTF-8 at byte {error.start + 1}") from None
            if decoded.strip():
                yield decoded
