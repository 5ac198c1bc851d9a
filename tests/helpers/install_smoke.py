"""Installs a wheel or a source distribution into a clean environment and runs its commands there.

Usage: python install_smoke.py PACKAGE. It needs Python 3.10 or later and a package index for the dependencies; a source
distribution also needs Rust.
"""

import argparse
import email.message
import inspect
import json
import logging
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def raw_text() -> str:
    """JSON Lines with the docstrings of a few classes of the standard library."""
    classes = (argparse.ArgumentParser, email.message.Message, logging.Logger, Path, str, int, bytes, list, dict, set)
    found = {inspect.getdoc(member) for owner in classes for _, member in inspect.getmembers(owner, callable)}
    return "".join(json.dumps({"text": text}) + "\n" for text in sorted(filter(None, found)))


def main(package: Path) -> None:
    """Installs `package` and makes records with it, in a directory that has nothing else."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        venv.create(directory / "venv", with_pip=True)
        programs = directory / "venv" / "bin"
        work = directory / "work"
        work.mkdir()

        def run(program: str, *arguments: str) -> str:
            done = subprocess.run([programs / program, *arguments], cwd=work, check=True, stdout=subprocess.PIPE)
            return done.stdout.decode()

        run("python", "-m", "pip", "install", "--quiet", str(package))
        where = run("python", "-c", "import albert_fast, trainer; print(albert_fast.__file__, trainer.__file__)")
        for path in where.split():
            assert programs.parent in Path(path).parents, f"{path} is not of the installed package"
        run("python", "-m", "pip", "check")

        (work / "raw.jsonl").write_text(raw_text(), encoding="utf-8")
        run("albert-fast", "prepare-text", "raw.jsonl", "--output", "corpus.txt", "--language", "en")
        run("albert-fast", "train-tokenizer", "corpus.txt", "--output-dir", "tokenizer", "--vocab-size", "500")
        run(
            *("albert-fast", "make-records", "corpus.txt", "--tokenizer", "tokenizer", "--output-dir", "records"),
            *("--max-seq-length", "64", "--max-predictions-per-seq", "10", "--num-shards", "2"),
        )
        shown = run("albert-fast", "inspect-records", "records", "--tokenizer", "tokenizer", "-n", "1")
        assert "[CLS]" in shown, shown
        print(f"{package.name}: installed; {run('albert-fast', '--version').strip()} makes records")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
