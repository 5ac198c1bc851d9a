"""`albert-fast fill-mask`."""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from albert_fast.cli import model_tokenizer
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, warn
from albert_fast.cli.fetching import refuse_remote
from albert_fast.cli.training import require_tensorflow, start_tensorflow
from albert_fast.options import FillMask
from albert_fast.text import one_line

if TYPE_CHECKING:
    from trainer.exchange.fill_mask import Filler, Word


@command(FillMask)
def fill_mask(options: FillMask, given: frozenset[str]) -> None:
    """Find the best words for each [MASK] in a text.

    albert-fast fill-mask run "Berlin is the [MASK] of Germany."
    """
    refuse_remote(MODEL_DIR=options.model_dir)
    most = None if options.masks_per_word == "auto" else int(options.masks_per_word)
    require_tensorflow("fill-mask")
    filler = open_filler(options)
    for text in _lines(options.texts):
        found = filler.fill(text, options.top_k, most)
        if options.json:
            print(json.dumps({"text": text, "masks": [[_described(word) for word in words] for words in found]}))
        else:
            show(text, found)


def open_filler(options: FillMask) -> "Filler":
    """Opens the model in a directory, with its tokenizer.

    Raises:
        CommandError, AlbertFastError: one of them is missing, is damaged, or does not match the other.
    """
    start_tensorflow()
    from trainer.exchange import fill_mask as filling
    from trainer.exchange import initial
    from trainer.exchange.export import check_vocabulary

    start = initial.initial(options.model_dir)
    size = None if start.path is not None or start.config is None else start.config.vocab_size
    opened, _, path = model_tokenizer.choose(
        options.tokenizer,
        model_tokenizer.directories(options.model_dir, start.path),
        options.do_lower_case,
        options.keep_accents,
        size,
        allow_other=options.allow_other_tokenizer,
        facts=start.facts,
    )
    if opened is None:
        raise CommandError(
            f"{options.model_dir} holds no tokenizer; pass the one that it was trained with as --tokenizer"
        )
    model, remarks = filling.load(start)
    check_vocabulary(opened, model.config, path)
    for remark in remarks:
        warn(remark)
    return filling.Filler(model, opened)


def show(text: str, found: "list[list[Word]]") -> None:
    """Prints the words for each [MASK] of a text: the probability per piece and, for several pieces, which and how."""
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


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Yields the texts, and for - those of standard input, without blank lines."""
    for text in texts:
        if text != "-":
            if any("\ud800" <= character <= "\udfff" for character in text):
                shown = one_line(text.encode(errors="backslashreplace").decode())
                raise CommandError(f"the text must be UTF-8, got {shown}")
            yield text
            continue
        for number, line in enumerate(sys.stdin.buffer, 1):
            try:
                decoded = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                message = f"standard input, line {number}: the text must be UTF-8, but byte {error.start + 1} is not"
                raise CommandError(message) from None
            if decoded.strip():
                yield decoded
