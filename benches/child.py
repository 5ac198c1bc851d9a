"""Measures what needs a separate process. Results are a line of JSON on standard output.

child.py launch COMMAND...          Run a command. Report its wall time, CPU time and peak memory.
child.py make-records FILE ARG...   Run `albert-fast make-records ARG...`. Write the seconds of its stages to FILE.
child.py word-cache MODEL WORDS     Tokenize WORDS distinct words. Report resident memory.
"""

import importlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def launch(command: list[str]) -> dict[str, float]:
    """Run `command`. Its errors go to standard error.

    This process must be small: Linux counts the memory of the process that starts a command into the command's peak.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    anonymous = 0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        anonymous = max(anonymous, _anonymous(process.pid))
        time.sleep(0.02)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "wall": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "anonymous": anonymous,
    }


def _anonymous(pid: int) -> int:
    """Return a process's resident memory that is not pages of files, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def make_records(seconds_file: str, arguments: list[str]) -> int:
    """Run the whole command line. It prints its stages in whole seconds, so they are measured when it prints them."""
    from albert_fast.cli import main

    # Import by name: the package's attribute of that name is the function.
    command: Any = importlib.import_module("albert_fast.cli.make_records")
    report = command.report

    def keep(result: dict[str, Any], output_dir: Path) -> None:
        Path(seconds_file).write_text(json.dumps(result["seconds"]))
        report(result, output_dir)

    command.report = keep
    return main(["make-records", *arguments])


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


LETTERS = "etaoinshrdlcumwfgypbvkjxqz"


def distinct_words(start: int, count: int, rng: random.Random) -> list[str]:
    """Return words of 3 to 100 letters that occur once: a number in letters without z, a z, and random letters."""
    words = []
    for number in range(start, start + count):
        name, rest = "", number
        while rest:
            rest, digit = divmod(rest, 25)
            name += LETTERS[digit]
        # One in eight is too long for the cache's small slots.
        length = rng.randrange(25, 101) if number % 8 == 7 else rng.randrange(3, 25)
        words.append(name + "z" + "".join(rng.choices(LETTERS[:12], k=max(0, length - len(name)))))
    return words


def word_cache(model: str, total: int) -> dict[str, Any]:
    """Tokenize `total` distinct words on one thread in 20 batches. Report memory before the first and after each."""
    from albert_fast import Tokenizer

    tokenizer = Tokenizer.from_file(model, text_rules="none")
    rng = random.Random(11)
    batch = total // 20
    memory: list[int] = []
    before = 0
    for first in range(0, 20 * batch, batch):
        words = distinct_words(first, batch, rng)
        lines = [" ".join(words[index : index + 20]) for index in range(0, batch, 20)]
        del words
        if not memory:
            before = resident()
        ids, offsets = tokenizer.encode_batch(lines, num_threads=1)
        del lines, ids, offsets
        memory.append(resident())
    return {"before": before, "after": memory}


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["launch", *command]:
            print(json.dumps(launch(command)))
        case ["make-records", seconds_file, *rest]:
            return make_records(seconds_file, rest)
        case ["word-cache", model, words]:
            print(json.dumps(word_cache(model, int(words))))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
