"""Measures `--dedup-near`: how many planted near-duplicates are found, what is dropped wrongly, CPU time and memory.

    python benches/near_duplicates.py CORPUS [--documents N] [--speed]

CORPUS is the output of prepare-text, in English. Copies of its documents are edited at known rates: a word is replaced
by a random word of the corpus, deleted, or followed by a random word. What is found is compared with the exact
similarity of the shingles.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from albert_fast import prepare_text

RATES = (1, 2, 5, 10, 20, 30)
"""The percentages of words that are edited."""
SHINGLE, BANDS, ROWS = 5, 14, 8
LEAST_WORDS = 100


def documents(path: Path, count: int, draw: random.Random) -> list[str]:
    """Returns documents with at least `LEAST_WORDS` words, each on one line."""
    found = [" ".join(text.split("\n")) for text in path.read_text(encoding="utf-8").split("\n\n")]
    found = [text for text in found if len(text.split()) >= LEAST_WORDS]
    return draw.sample(found, min(count, len(found)))


def edited(text: str, percent: int, vocabulary: list[str], draw: random.Random) -> str:
    """Returns `text` with this percentage of its words edited."""
    words: list[str] = []
    for word in text.split(" "):
        if draw.random() * 100 >= percent:
            words.append(word)
            continue
        kind = draw.randrange(3)
        words += [[draw.choice(vocabulary)], [], [word, draw.choice(vocabulary)]][kind]
    return " ".join(words)


def shingles(text: str) -> set[int]:
    """Returns hashes of the shingles, as the core divides text."""
    normal = unicodedata.normalize("NFD", text.lower())
    plain = "".join(c for c in normal if unicodedata.category(c) not in ("Mn", "Cf"))
    words = re.findall(r"[^\W_]+", plain)
    size = min(SHINGLE, len(words))
    return {hash(tuple(words[at : at + size])) for at in range(len(words) - size + 1)}


def quality(path: Path, count: int) -> None:
    """Prints a table of what is found, by the rate of the edits, and what is dropped without being similar."""
    draw = random.Random(5)
    originals = documents(path, count, draw)
    vocabulary = [word for text in originals for word in text.split(" ")]
    per_rate = len(originals) // (2 * len(RATES))
    texts, pairs = [*originals], []
    for number, rate in enumerate(RATES):
        for original in range(number * per_rate, (number + 1) * per_rate):
            pairs.append((rate, original, len(texts)))
            texts.append(edited(originals[original], rate, vocabulary, draw))
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name, "raw.jsonl"), Path(name, "out.txt")
        raw.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        result = prepare_text(
            raw, out, dedup_near=True, sentences=False, max_sentence_bytes=1 << 24, repair=False, language="und"
        )
        kept = collections.Counter(out.read_text().split("\n\n"))
    dropped: set[int] = set()
    for number, text in enumerate(texts):
        if kept[text] > 0:
            kept[text] -= 1
        else:
            dropped.add(number)
    sets = [shingles(text) for text in texts]
    similarity = [0.0] * len(texts)
    holders: dict[int, list[int]] = collections.defaultdict(list)
    for number, own in enumerate(sets):
        common = collections.Counter(other for shingle in own for other in holders[shingle])
        for shingle in own:
            holders[shingle].append(number)
        for other, shared in common.items():
            jaccard = shared / (len(own) + len(sets[other]) - shared)
            similarity[number] = max(similarity[number], jaccard)
    boundary = (1 / BANDS) ** (1 / ROWS)
    print(f"{len(texts)} documents, {result['counts']['near_duplicate_documents']} near-duplicates dropped")
    print("edited  mean J  found  expected  J >= boundary  of these found")
    for rate in RATES:
        planted = [(number, similarity[number]) for this, _, number in pairs if this == rate]
        found = sum(number in dropped for number, _ in planted)
        expected = sum(1 - (1 - jaccard**ROWS) ** BANDS for _, jaccard in planted) / len(planted)
        similar = [number for number, jaccard in planted if jaccard >= boundary]
        recall = sum(number in dropped for number in similar) / len(similar) if similar else float("nan")
        mean = sum(jaccard for _, jaccard in planted) / len(planted)
        share = len(similar) / len(planted)
        print(f"{rate:5}%  {mean:6.2f}  {found / len(planted):5.1%}  {expected:7.1%}  {share:12.1%}  {recall:12.1%}")
    for least in (boundary, 0.6, 0.5, 0.4):
        right = sum(similarity[number] >= least for number in dropped)
        print(f"precision: J >= {least:.2f} for {right / len(dropped):.2%} of {len(dropped)} dropped documents")
    similar = [number for number in range(len(texts)) if similarity[number] >= boundary]
    recall = sum(number in dropped for number in similar) / len(similar)
    print(f"recall: {recall:.2%} of {len(similar)} with J >= {boundary:.2f}")


def speed(path: Path) -> None:
    """Prints CPU time and peak memory with and without `--dedup-near`."""
    child = Path(__file__).with_name("child.py")
    size = path.stat().st_size / 1e6
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        for flags in ([], ["--dedup-near"]):
            words: list[object] = [
                sys.executable,
                "-m",
                "albert_fast",
                "prepare-text",
                path,
                "--output",
                Path(name, "out.txt"),
            ]
            words += ["--documents", "blank-line", "--language", "en", "--overwrite", "--num-threads", "2", *flags]
            done = subprocess.run(
                [sys.executable, child, "launch", *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
            )
            found = json.loads(done.stdout)
            rate, peak = size / found["cpu"], found["peak"] / 2**20
            print(f"{' '.join(flags) or 'without':12} {rate:.0f} MB per second of CPU time, {peak:.0f} MiB")


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--documents", type=int, default=6000)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    speed(options.corpus) if options.speed else quality(options.corpus, options.documents)


if __name__ == "__main__":
    main()
