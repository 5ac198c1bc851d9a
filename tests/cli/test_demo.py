"""The demo: prose out of docstrings, and the whole of it on a little text."""

import json
from pathlib import Path

import pytest
from conftest import Command
from hypothesis import given
from hypothesis import strategies as st

from albert_fast.cli.demo import RECIPE, Paths, held_out_records, verdict
from albert_fast.demo_corpus import collect, docstrings, document, paragraphs
from albert_fast.options import Pretrain, options_of

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


def test_a_module_is_a_document_of_paragraphs() -> None:
    assert document(SOURCE) == [
        "Reads the text of a file. It is e.g. Used in many places, and never closed.",
        "Holds a file that was opened before it.",
        "Reads the text of a file.",
    ]
    assert list(docstrings("def broken(:")) == []


def test_what_utf8_cannot_hold_is_left_out() -> None:
    source = '"""Holds a lone \\ud800 that no file can take.\n\nReads the text of a file."""'
    assert document(source) == ["Reads the text of a file."]
    assert next(iter(docstrings(source))).startswith("Holds a lone \ud800")


@given(st.text(st.characters(exclude_categories=())))
def test_a_paragraph_is_one_line(text: str) -> None:
    for paragraph in paragraphs(text):
        assert len(paragraph.splitlines()) == 1
        assert paragraph == paragraph.strip() != ""
        assert paragraph.encode()


def test_the_same_python_gives_the_same_text() -> None:
    first, second = collect(100_000), collect(100_000)
    assert first == second
    text, documents = first
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    assert len(rows) == len({row["name"] for row in rows}) == documents
    assert sum(len(row["text"].encode()) for row in rows) >= 100_000


SMALL = ["demo", "--output-dir", "out", "--megabytes", 0.3, "--vocab-size", 1000]


def test_the_demo_makes_everything_up_to_records(command: Command) -> None:
    for _ in range(2):
        result = command(*SMALL, "--no-train")
        assert result.code == 0, result.err
        assert "(0 bad)" in result.out
        for what in (
            "collect text",
            "prepare the text",
            "train the tokenizer",
            "tokenize",
            "make records",
            "inspect records",
        ):
            assert what in result.out.split("Summary:")[1]
    assert "albert-fast prepare-text out/docstrings.jsonl --output out/corpus.txt --language en " in result.out
    written = {str(path.relative_to("out")) for path in Path("out").rglob("*.json")}
    assert written >= {
        "corpus.txt.prepare-text.config.json",
        "corpus.txt.prepare-text.summary.json",
        "demo.config.json",
        "held-out-records/make-records.config.json",
        "tokenizer/spiece.config.json",
        "tokenizer/train-tokenizer.config.json",
        "tokens/tokenize.config.json",
    }
    kept, held_out = Path("out/corpus.txt").read_text(), Path("out/held-out.txt").read_text()
    assert not set(kept.split("\n\n")) & set(held_out.split("\n\n")) - {""}
    assert len(kept) > 5 * len(held_out) > 0


def test_the_demo_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albert_fast.cli.training.NEEDED", ("no_such_module",))
    result = command(*SMALL)
    assert result.code == 0, result.err
    assert 'pretraining, which needs no_such_module: pip install ".[train]" in the clone' in result.out


def test_training_and_held_out_instances_have_the_same_rules() -> None:
    """Otherwise evaluation would be on chunks of other lengths than were trained on."""
    trained = Pretrain(output_dir=Path("run"), max_seq_length=64, **RECIPE).stream_options()
    held_out = held_out_records(Paths(Path("demo")), Path("spiece.model"), 64).instance_options()
    assert held_out.max_predictions_per_seq == trained.predictions
    shared = (options_of(type(trained)).keys() & options_of(type(held_out)).keys()) - {"max_predictions_per_seq"}
    assert shared >= {"short_seq_prob", "masked_lm_prob", "ngram", "word_boundary", "single_segment"}
    for name in shared:
        assert getattr(trained, name) == getattr(held_out, name), name


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_demo_trains_and_fails_where_nothing_was_learnt(command: Command) -> None:
    pytest.importorskip("tensorflow")
    result = command(*SMALL, "--num-train-steps", 12)
    assert result.code == 1, result.err
    assert result.out.count("NOT LEARNED") == 2
    assert Path("out/run/report.html").exists()
    assert {path.name for path in Path("out/model").iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert result.out.count("[MASK]") >= 6
    for what in ("evaluate", "export", "fill masks"):
        assert what in result.out.split("Summary:")[1]


def evaluation(loss: float, accuracy: float, records: int) -> dict[str, dict[str, float]]:
    return {
        "evaluation": {"masked_lm_loss": loss, "sentence_order_accuracy": accuracy, "records": records},
    }


@pytest.mark.parametrize(
    ("loss", "accuracy", "records", "learnt"),
    [(5.9, 0.6, 1000, True), (6.0, 0.6, 1000, False), (5.9, 0.54, 1000, False), (5.9, 0.6, 100, False)],
)
def test_verdict(loss: float, accuracy: float, records: int, learnt: bool) -> None:
    assert verdict(evaluation(loss, accuracy, records), 6.05) is learnt


def test_the_demo_leaves_other_peoples_directories_alone(command: Command) -> None:
    Path("home").mkdir()
    Path("home/corpus.txt").write_text("precious")
    result = command("demo", "--output-dir", "home")
    assert result.code == 1
    assert "was not made by demo" in result.error
    assert [path.name for path in Path("home").iterdir()] == ["corpus.txt"]
