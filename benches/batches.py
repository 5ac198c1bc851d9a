"""The rows of the benchmark on batches and masks."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import MIB, Row, run_child, say
from corpus import Corpus

READERS = str(Path(__file__).with_name("readers.py"))
SECONDS = "10"


def _rate(values: list[float], what: str) -> str:
    """Format median and range."""
    return f"{statistics.median(values):,.0f} {what}/s ({min(values):,.0f} to {max(values):,.0f})"


def _vocabulary(model: Path, path: Path) -> Path:
    """Write the pieces of a SentencePiece model as a WordPiece vocabulary.

    This is enough for masks, which need words made of pieces.
    """
    lines = model.with_suffix(".vocab").read_text(encoding="utf-8").split("\n")
    pieces = [line.split("\t")[0] for line in lines if line]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [piece[1:] if piece.startswith("\u2581") else f"##{piece}" for piece in pieces if piece not in special]
    path.write_text("\n".join(dict.fromkeys([*special, *filter(None, words)])) + "\n", encoding="utf-8")
    return path


def batch_rows(model: Path, corpus: Corpus, directory: Path, torch_python: str) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of InstanceStream, RecordReader and Masker.

    Masker is compared with transformers if `torch_python` has it.
    """
    say("batches: tokenizing, making records")
    output = directory / "batches"
    shutil.rmtree(output, ignore_errors=True)
    options = ["--dupe-factor", "1", "--max-predictions-per-seq", "77", "--keep-store"]
    command = ["make-records", str(corpus.path), "--tokenizer", str(model), "--output-dir", str(output), *options]
    subprocess.run([sys.executable, "-m", "albert_fast", *command], check=True, stdout=subprocess.DEVNULL)
    say("batches: InstanceStream")
    stream = run_child(READERS, ["stream", str(output / "tokens"), SECONDS])
    say("batches: RecordReader")
    records = run_child(READERS, ["records", str(output), SECONDS])
    two, plain, remasked = stream["2"], records["as_they_are"], records["remasked"]
    most = max(found["anonymous"] for found in (two, plain, remasked))
    made, read = statistics.median(two["rates"]), statistics.median(plain["rates"])
    rows = [
        Row(
            f"InstanceStream, seq 512 ({two['tokens']:.0f} tokens on average), new masks, 2 threads",
            f"{_rate(two['rates'], 'sequences')}; 1 thread {_rate(stream['1']['rates'], 'sequences')}",
            "30,000",
            "100,000",
            made >= 30_000,
            made >= 100_000,
            f"batches of 256 as NumPy arrays in Python, from a store of {stream['instances']:,} instances",
        ),
        Row(
            "RecordReader, seq 512, random order, 2 threads",
            f"{_rate(plain['rates'], 'records')}; with new masks {_rate(remasked['rates'], 'records')}",
            "100,000",
            "",
            read >= 100_000,
            None,
            f"{records['records']:,} records in the page cache, opened in {records['opened']:.2f} s",
        ),
        Row(
            "memory of these, without pages of mapped files",
            f"{most / MIB:.0f} MiB",
            "under 500 MiB",
            "",
            most < 500 * MIB,
            None,
            "the most that was seen between rounds; Python and NumPy included",
        ),
    ]
    figures = {"stream": stream, "records": records}
    say("batches: Masker")
    vocabulary = _vocabulary(model, directory / "vocab.txt")
    root = str(Path(__file__).parents[1])
    # Another Python finds the package and its extension in the checkout.
    environment = os.environ | {"PYTHONPATH": root, "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        [torch_python, READERS, "masks", str(vocabulary), str(corpus.path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    what = "Masker.mask_batch, rows of 512 tokens, labels included, 2 threads"
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        rows.append(Row(what, f"not measured: {reason}", "50x", "", None, None, "--torch-python"))
        return rows, figures
    masks = json.loads(done.stdout.splitlines()[-1])
    ratio = masks["ratio"]["2"]
    rows.append(
        Row(
            what,
            f"{ratio:,.0f}x; {_rate(masks['ours']['2'], 'rows')}; 1 thread {masks['ratio']['1']:,.0f}x",
            "50x",
            "",
            ratio >= 50,
            None,
            f"{masks['collator']}: {_rate(masks['theirs'], 'rows')}",
        )
    )
    return rows, figures | {"masks": masks}
