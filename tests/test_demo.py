"""The demo: prose out of docstrings, and the whole of it on a little text."""

from pathlib import Path

from conftest import Command
from hypothesis import given
from hypothesis import strategies as st

from albert_fast.demo_corpus import collect, docstrings, document, sentences

SOURCE = '''
"""Reads the text of a file. It is e.g. Used in
many places, and never closed.

>>> read("a")
'b'

:param name: the name that is not prose here
"""

if True:
    class Reader:
        """Holds a file that was opened before it."""

        async def read(self):
            """Reads the text of a file."""
            x = """This is a string and not documentation."""
'''


def test_a_module_is_a_document_of_sentences() -> None:
    assert document(SOURCE) == [
        "Reads the text of a file.",
        "It is e.g. Used in many places, and never closed.",
        "Holds a file that was opened before it.",
    ]
    assert list(docstrings("def broken(:")) == []


@given(st.text())
def test_a_sentence_is_one_line(text: str) -> None:
    for sentence in sentences(text):
        assert len(sentence.splitlines()) == 1
        assert sentence == sentence.strip() != ""


def test_the_same_python_gives_the_same_text() -> None:
    first, second = collect(100_000), collect(100_000)
    assert first == second
    text, documents, lines = first
    assert len(text.encode()) >= 100_000
    assert text.count("\n\n") == documents
    assert sum(1 for line in text.splitlines() if line) == lines


def test_the_demo_does_all_of_it(command: Command) -> None:
    arguments = ["demo", "--output-dir", "out", "--megabytes", 0.3, "--vocab-size", 1000, "--max-seq-length", 64]
    for _ in range(2):
        result = command(*arguments)
        assert result.code == 0, result.err
        assert "(0 bad)" in result.out
        for what in ("collect text", "train the tokenizer", "make records", "inspect records"):
            assert what in result.out.split("What was done:")[1]
    written = {str(path.relative_to("out")) for path in Path("out").rglob("*.json")}
    assert written >= {
        "demo.config.json",
        "records/make-records.config.json",
        "tokenizer/spiece.config.json",
        "tokenizer/train-tokenizer.config.json",
    }


def test_the_demo_leaves_other_peoples_folders_alone(command: Command) -> None:
    Path("home").mkdir()
    Path("home/corpus.txt").write_text("precious")
    result = command("demo", "--output-dir", "home")
    assert result.code == 1
    assert "not from a demo" in result.error
    assert [path.name for path in Path("home").iterdir()] == ["corpus.txt"]
