"""Measures batches and masks, each in a separate process. Results are a line of JSON on standard output.

readers.py stream STORE SECONDS        Report sequences/s of an InstanceStream with new masks, on 1 and 2 threads.
readers.py records DIRECTORY SECONDS   Report records/s of a RecordReader, with the files' masks and with new ones.
readers.py masks VOCABULARY TEXT       Compare Masker.mask_batch with transformers' whole-word collator on equal rows.

The last command needs PyTorch and transformers in the Python that runs it.
"""

import json
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from albert_fast import BatchSource, InstanceStream, Masker, RecordReader, TokenStore

LENGTH = 512
BATCH = 256
ROUNDS = 5
ROWS = 512


def memory(field: str) -> int:
    """Return a value of this process's memory in bytes: VmHWM (the peak) or RssAnon (what is not pages of files)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def rates(source: BatchSource, seconds: float, threads: int) -> dict[str, Any]:
    """Return rows per second in rounds of `seconds` / `ROUNDS`, prepared ahead; the mean number of tokens; memory."""
    found, tokens, anonymous = [], 0.0, 0
    batches = source.batches(num_threads=threads)
    first = next(batches)  # one-time work is not measured
    tokens = float(first["input_mask"].sum(axis=1).mean())
    for _ in range(ROUNDS):
        rows, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds / ROUNDS:
            rows += len(next(batches)["input_ids"])
        found.append(rows / spent)
        anonymous = max(anonymous, memory("RssAnon"))
    return {"rates": found, "tokens": tokens, "anonymous": anonymous, "peak": memory("VmHWM")}


def stream(directory: str, seconds: float) -> dict[str, Any]:
    """Measure an `InstanceStream` on 1 and 2 threads."""
    source = InstanceStream(TokenStore(directory), BATCH, LENGTH)
    return {str(threads): rates(source, seconds, threads) for threads in (1, 2)} | {"instances": len(source)}


def records(directory: str, seconds: float) -> dict[str, Any]:
    """Measure a `RecordReader` in random order on 2 threads, with the files read once before, and with new masks."""
    files = sorted(Path(directory).glob("*.tfrecord"))
    for file in files:
        file.read_bytes()
    start = time.perf_counter()
    source = RecordReader(files, BATCH)
    opened = time.perf_counter() - start
    masker = Masker(TokenStore(Path(directory) / "tokens").tokenizer())
    remasked = RecordReader(files, BATCH, remask=True, masker=masker)
    return {
        "opened": opened,
        "records": len(source),
        "as_they_are": rates(source, seconds, 2),
        "remasked": rates(remasked, seconds, 2),
    }


def masks(vocabulary: str, text: str) -> dict[str, Any]:
    """Time `Masker.mask_batch` and transformers' whole-word collator in turn, on the same rows of WordPieces."""
    import tokenizers
    import torch
    import transformers

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    words = tokenizers.Tokenizer(tokenizers.models.WordPiece.from_file(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special_tokens = {name: f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, **{f"{name}_token": token for name, token in special_tokens.items()}
    )
    tokens: list[int] = []
    lines = Path(text).read_text(encoding="utf-8").split("\n")
    for line in lines:
        tokens += tokenizer(line, add_special_tokens=False)["input_ids"]
        if len(tokens) >= ROWS * (LENGTH - 2):
            break
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    width = LENGTH - 2
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = [[cls, *tokens[row * width : (row + 1) * width], sep] for row in range(len(tokens) // width)]
    starts = np.array([not piece.startswith("##") for piece in pieces])
    if hasattr(transformers, "DataCollatorForWholeWordMask"):
        collator: Any = transformers.DataCollatorForWholeWordMask(tokenizer)
        examples = [{"input_ids": row} for row in ids]
    else:
        collator = transformers.DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)
        # The collator recognizes words by their offsets in the text: a piece within a word begins at the end of the
        # previous one.
        examples = []
        for row in ids:
            ends = np.cumsum(np.where(starts[row], 2, 1))
            offsets = [(int(end) - 1, int(end)) for end in ends]
            offsets[0] = offsets[-1] = (0, 0)
            no_masks = [1, *[0] * width, 1]
            examples.append({"input_ids": row, "special_tokens_mask": no_masks, "offset_mapping": offsets})
    special_ids = [tokenizer.unk_token_id]
    special = {"pad_id": tokenizer.pad_token_id, "cls_id": cls, "sep_id": sep, "mask_id": tokenizer.mask_token_id}
    array = np.array(ids, dtype=np.int32)
    theirs: list[float] = []
    ours: dict[int, list[float]] = {1: [], 2: []}
    makers = {
        threads: Masker.from_vocab(len(pieces), starts, **special, special_ids=special_ids, num_threads=threads)
        for threads in ours
    }
    fraction = 0.0
    for turn in range(ROUNDS):
        part = examples[turn * 64 : (turn + 1) * 64]
        start = time.perf_counter()
        collator(part)
        theirs.append(len(part) / (time.perf_counter() - start))
        for threads, maker in makers.items():
            start = time.perf_counter()
            for again in range(20):
                made = maker.mask_batch(array, None, again, labels=True)
            ours[threads].append(20 * len(array) / (time.perf_counter() - start))
            fraction = float((made["labels"] != -100).mean())
    return {
        "theirs": theirs,
        "ours": ours,
        "fraction": fraction,
        "ratio": {threads: statistics.median(found) / statistics.median(theirs) for threads, found in ours.items()},
        "collator": f"{type(collator).__name__} of transformers {transformers.__version__}, torch {torch.__version__}",
    }


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["stream", directory, seconds]:
            print(json.dumps(stream(directory, float(seconds))))
        case ["records", directory, seconds]:
            print(json.dumps(records(directory, float(seconds))))
        case ["masks", vocabulary, text]:
            print(json.dumps(masks(vocabulary, text)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
