"""The rows of the benchmark on raw text: prepare-text against plain sentence splitters.

As a script, `PYTHON sentences.py NAME FILE SECONDS` measures one of these splitters for that number of seconds.
"""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

SECONDS = 3.0
"""Seconds of every turn of a splitter."""
SPLITTERS = (("punkt", 5.0), ("pysbd", 5.0), ("sentencex", 0.5))
"""The splitters that prepare-text is compared with, each with the ratio that it must reach.

prepare-text runs from file to file on one thread.
"""


def splitter(name: str, paragraphs: list[str]) -> Callable[[str], Sequence[Any]]:
    """Return a splitter of English sentences."""
    if name == "punkt":
        from nltk.tokenize import punkt

        trainer = punkt.PunktTrainer()
        trainer.train("\n".join(paragraphs[:5000]))
        tokenize: Callable[[str], Sequence[Any]] = punkt.PunktSentenceTokenizer(trainer.get_params()).tokenize
        return tokenize
    if name == "pysbd":
        import pysbd

        segment: Callable[[str], Sequence[Any]] = pysbd.Segmenter(language="en", clean=False).segment
        return segment
    import sentencex

    return lambda text: list(sentencex.segment("en", text))


def child(name: str, path: Path, seconds: float) -> dict[str, float]:
    """Return the bytes per second of a splitter on the paragraphs of a JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        paragraphs = [line for record in file for line in json.loads(record)["text"].split("\n")]
    split = splitter(name, paragraphs)
    done, started = 0, time.perf_counter()
    turns: Iterator[str] = itertools.cycle(paragraphs)
    while (elapsed := time.perf_counter() - started) < seconds:
        for text in itertools.islice(turns, 20):
            split(text)
            done += len(text.encode())
    return {"rate": done / elapsed}


def sentence_rows(directory: Path, python: str, rounds: int, megabytes: int) -> tuple[list[Any], dict[str, Any]]:
    """Compare prepare-text and the splitters in turn on docstrings. What `python` lacks is skipped and named."""
    from common import MB, Row, say

    from albert_fast import prepare_text
    from albert_fast.demo_corpus import collect

    raw, _ = collect(megabytes * MB)
    directory.mkdir(parents=True, exist_ok=True)
    path, output = directory / "raw.jsonl", directory / "corpus.txt"
    path.write_text(raw, encoding="utf-8")
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    for turn in range(rounds):
        say(f"sentences, round {turn + 1} of {rounds}")
        started = time.perf_counter()
        found = prepare_text([str(path)], str(output), language="en", num_threads=1, overwrite=True)
        ours.append(found["text_bytes"] / (time.perf_counter() - started))
        for name, _ in SPLITTERS:
            command = [python, __file__, name, str(path), str(SECONDS)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                missing[name] = (done.stderr.strip().splitlines() or ["no message"])[-1]
            else:
                theirs.setdefault(name, []).append(json.loads(done.stdout)["rate"])
    rows = []
    for name, must in SPLITTERS:
        what = f"prepare-text, file to file, one thread, against {name}"
        if name not in theirs:
            rows.append(Row(what, f"not run: {missing[name]}", f"{must:g}x", "", None, None, name))
            continue
        ratios = [mine / other for mine, other in zip(ours, theirs[name], strict=True)]
        middle = statistics.median(ratios)
        measured = f"{middle:.1f}x ({min(ratios):.1f} to {max(ratios):.1f}; {statistics.median(ours) / MB:.0f} MB/s)"
        against = f"{name}, {statistics.median(theirs[name]) / MB:.2f} MB/s"
        rows.append(Row(what, measured, f"{must:g}x", "", middle >= must, None, against))
    return rows, {"prepare_text_bytes_per_s": ours, "sentence_splitters_bytes_per_s": theirs}


if __name__ == "__main__":
    print(json.dumps(child(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))))
