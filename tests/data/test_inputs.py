"""What the commands take as input, from the outside: streams, and stores that are no text."""

import bz2
import gzip
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "tokenizer" / "spiece.model"
TEXT = (GOLDEN / "corpus" / "part-b.txt").read_bytes()


def run(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, str]:
    words = [sys.executable, "-m", "albert_fast", *map(str, arguments)]
    done = subprocess.run(words, input=stdin, capture_output=True, check=False, cwd=cwd)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("rng", ["fast", "reference"])
def test_another_text_on_standard_input_is_not_taken_for_the_first(tmp_path: Path, rng: str) -> None:
    command = ("make-records", "-", "--tokenizer", MODEL, "--output-dir", tmp_path / "out", "--rng", rng)
    assert run(*command, stdin=TEXT)[0] == 0
    records = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    code, said = run(*command, stdin=TEXT)
    assert (code, "already complete" in said) == (0, True), said
    # The same number of instances, another text.
    code, said = run(*command, stdin=TEXT.replace(b"Plo", b"Dru"))
    assert (code, "--overwrite" in said) == (1, True), said
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == records


def test_a_store_that_exists_is_named_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    command = ("tokenize", tmp_path / "text.txt", "--tokenizer", MODEL, "--output-dir", tmp_path / "store")
    assert run(*command)[1].startswith(f"albert-fast: wrote {tmp_path / 'store'}: ")
    code, said = run(*command)
    assert (code, "this store is already complete" in said, "wrote" in said) == (0, True, False), said
    # The digests that differ say nothing to a reader.
    code, said = run(*command, "--keep-accents")
    assert (code, "store: made with another tokenizer or other text rules; pass --overwrite" in said) == (1, True), said


def test_stores_are_not_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    store, text = tmp_path / "store", tmp_path / "text.txt"
    assert run("tokenize", text, "--tokenizer", MODEL, "--output-dir", store)[0] == 0
    for command, inputs, wanted in (("make-records", [store, text], 2), ("tokenize", [store], 1)):
        out = tmp_path / f"out-{command}"
        code, said = run(command, *inputs, "--tokenizer", MODEL, "--output-dir", out, "--on-bad-utf8", "replace")
        assert (code, "token store" in said, out.exists()) == (wanted, True, False), said


def test_a_corpus_that_is_not_complete_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    (tmp_path / "prepare-text.partial.json").write_text("{}")
    command = ("--tokenizer", MODEL, "--output-dir", tmp_path / "store")
    code, said = run("tokenize", "text.txt", *command, cwd=tmp_path)
    assert (code, said.startswith("albert-fast: error: .: this corpus is not complete")) == (1, True), said
    # Standard input is in no directory.
    code, said = run("tokenize", "-", *command, stdin=TEXT, cwd=tmp_path)
    assert (code, "wrote" in said) == (0, True), said


def test_a_damaged_store_makes_no_records(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    store = tmp_path / "store"
    assert run("tokenize", tmp_path / "text.txt", "--tokenizer", MODEL, "--output-dir", store)[0] == 0
    part = store / "part-00000.tokens"
    damaged = bytearray(part.read_bytes())
    damaged[1000] ^= 1
    part.write_bytes(damaged)
    code, said = run("make-records", store, "--tokenizer", MODEL, "--output-dir", tmp_path / "out")
    assert (code, "XXH3-128" in said, (tmp_path / "out").exists()) == (1, True, False), said


def test_a_bad_byte_after_a_byte_order_mark_is_where_the_file_has_it(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(b"\xef\xbb\xbfab\xffc\n")
    for command in (("tokenize", text, "--tokenizer", MODEL), ("train-tokenizer", text, "--vocab-size", 100)):
        code, said = run(*command, "--output-dir", tmp_path / "out")
        assert (code, "line 1, byte 6: invalid UTF-8 (0xFF)" in said) == (1, True), said


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_compressed_text_is_text(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / "plain").write_bytes(TEXT)
    # Two members, streams or frames, one after the other; the name says nothing.
    half = len(TEXT) // 2
    (tmp_path / "small").write_bytes(compress(TEXT[:half]) + compress(TEXT[half:]))
    for name in ("plain", "small"):
        assert run("tokenize", tmp_path / name, "--tokenizer", MODEL, "--output-dir", tmp_path / f"of-{name}")[0] == 0
    tokens = [(tmp_path / f"of-{name}" / "part-00000.tokens").read_bytes() for name in ("plain", "small")]
    assert tokens[0] == tokens[1]
    (tmp_path / "cut").write_bytes(compress(TEXT)[:-30])
    code, said = run("tokenize", tmp_path / "cut", "--tokenizer", MODEL, "--output-dir", tmp_path / "of-cut")
    assert (code, "cut" in said, (tmp_path / "of-cut" / "meta.json").exists()) == (1, True, False), said
