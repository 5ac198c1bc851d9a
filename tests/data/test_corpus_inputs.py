"""What the commands that read a corpus take of a directory, and what they look at before anything is lost."""

from pathlib import Path

import pytest
from conftest import Command

LINES = "A sentence of some words.\nAnother one follows it here.\n\n"


@pytest.fixture
def directory(command: Command) -> Path:
    """A directory with a corpus and files about it; the current directory is the one it lies in."""
    del command
    data = Path("data")
    data.mkdir()
    (data / "text.txt").write_text(LINES * 40)
    (data / "README.md").write_text("# A card\n\nIt says what the corpus is.\n")
    (data / "LICENSE").write_text("Do what you like.\n")
    return data


def words(name: str, source: Path, model: Path) -> list[object]:
    common: list[object] = [name, source, "--output-dir", "out"]
    if name == "train-tokenizer":
        return [*common, "--vocab-size", 30, "--num-threads", 1]
    if name == "tokenize":
        return [*common, "--tokenizer", model]
    return [*common, "--tokenizer", model, "--max-seq-length", 32, "--dupe-factor", 1]


@pytest.mark.parametrize("name", ["train-tokenizer", "tokenize", "make-records"])
def test_files_about_the_data_are_skipped_and_named(name: str, directory: Path, command: Command, model: Path) -> None:
    whole = command(*words(name, directory, model))
    assert whole.code == 0, whole.err
    assert "skipped files about the data: data/LICENSE, data/README.md; to read one of them, pass its name" in whole.err
    one = command(*words(name, directory / "text.txt", model), "--output-dir", "one")
    assert "skipped" not in one.err
    # The descriptions beside them name the inputs.
    products = [path for path in Path("one").iterdir() if path.suffix in {".model", ".tfrecord", ".ids"}]
    assert products
    for path in products:
        assert (Path("out") / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("rng", ["fast", "reference"])
def test_a_file_that_is_named_is_read(rng: str, directory: Path, command: Command, model: Path) -> None:
    read = command(*words("make-records", directory / "README.md", model), "--rng", rng, "--no-shuffle")
    assert "skipped" not in read.err


OTHER = {
    "json.jsonl": '{"text": "A sentence."}\n' * 3,
    "table.csv": "id,text\n" + "".join(f'{i},"A sentence, and more."\n' for i in range(9)),
    "sentences.txt": "".join(f"{i}\tA sentence, and more.\n" for i in range(9)),
    "page.html": "<!DOCTYPE html>\n<html><body>A sentence.</body></html>\n",
}


@pytest.mark.parametrize("other", OTHER)
def test_overwriting_keeps_the_store_if_the_input_is_no_corpus(
    other: str, directory: Path, command: Command, model: Path
) -> None:
    assert command(*words("tokenize", directory, model)).code == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    Path(other).write_text(OTHER[other])
    # Last of all, too: what comes before it is not tokenized in vain.
    for inputs in ([other], [directory, other]):
        refused = command("tokenize", *inputs, "--tokenizer", model, "--output-dir", "out", "--overwrite")
        assert refused.code == 1
        assert refused.error.startswith(f"{other}: this is ")
        assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_nothing_is_made_if_the_last_input_is_no_corpus(directory: Path, command: Command, model: Path) -> None:
    Path("json.jsonl").write_text(OTHER["json.jsonl"])
    for name in ("tokenize", "make-records"):
        refused = command(*words(name, directory, model), "json.jsonl")
        assert refused.error.startswith("json.jsonl: this is ")
        assert not Path("out").exists()


def test_a_tokenizer_is_not_written_among_its_input(directory: Path, command: Command) -> None:
    for output in (directory, directory / "tokenizer"):
        refused = command("train-tokenizer", directory, "--output-dir", output, "--vocab-size", 30)
        assert refused.code == 2
        assert "data" in refused.error
    assert sorted(path.name for path in directory.iterdir()) == ["LICENSE", "README.md", "text.txt"]


@pytest.mark.parametrize("blocked", ["spiece.vocab", "spiece.config.json", ".spiece.model.tmp"])
def test_the_old_tokenizer_stays_if_the_new_one_cannot_be_written(
    blocked: str, directory: Path, command: Command, model: Path
) -> None:
    arguments = words("train-tokenizer", directory / "text.txt", model)
    assert command(*arguments).code == 0
    files = ("spiece.model", "spiece.vocab", "spiece.config.json")
    before = {name: (Path("out") / name).read_bytes() for name in files if name != blocked}
    (Path("out") / blocked).unlink(missing_ok=True)
    # A directory in the way stands for a disk that is full.
    (Path("out") / blocked).mkdir()
    refused = command(*arguments, "--overwrite", "--no-do-lower-case")
    assert refused.code == 1
    assert refused.error.startswith("cannot write out/spiece.")
    assert {name: (Path("out") / name).read_bytes() for name in before} == before
    assert [path.name for path in Path("out").iterdir() if path.name.endswith(".tmp")] == (
        [blocked] if blocked.endswith(".tmp") else []
    )


@pytest.fixture
def own(directory: Path, command: Command, model: Path) -> Path:
    """A directory of token stores, and one of records that has its token store inside."""
    for name in ("stores/b", "stores/c"):
        assert command("tokenize", directory / "text.txt", "--tokenizer", model, "--output-dir", name).code == 0
    words = ("make-records", directory / "text.txt", "--tokenizer", model, "--output-dir", "records", "--keep-store")
    assert command(*words, "--max-predictions-per-seq", 77).code == 0
    return directory


@pytest.mark.parametrize("name", ["train-tokenizer", "tokenize", "make-records", "prepare-text"])
def test_stores_and_records_are_named(name: str, own: Path, command: Command, model: Path) -> None:
    advice = "not text; pass the corpus that"
    store = f"is a token store, {advice} it was made from (only make-records takes a store)"
    records = f"holds records, {advice} they were made from (only pretrain takes records)"
    # A store in its directory, with and without text; one of its files; records; their descriptions.
    Path("mixed").mkdir()
    Path("stores/c").rename("mixed/store")
    (own / "text.txt").rename("mixed/text.txt")
    for given, said in (
        ("stores", f"stores/b {store}"),
        ("mixed", f"mixed/store {store}"),
        ("stores/b/meta.json", f"stores/b {store}"),
        ("records", f"records {records}"),
        ("records/dataset.json", f"records {records}"),
        ("records/tokens/meta.json", f"records/tokens {store}"),
    ):
        if name == "prepare-text":
            refused = command(name, given, "--output", "out.txt")
        else:
            refused = command(*words(name, Path(given), model))
        assert (refused.code, refused.err.splitlines()[-1]) == (1, f"albert-fast: error: {said}"), given
        assert not Path("out").exists()
        assert not Path("out.txt").exists()


@pytest.mark.parametrize(
    ("beside", "data"), [("meta.json", "part-00000.tokens"), ("dataset.json", "records-00000-of-00001.tfrecord")]
)
def test_descriptions_of_others_name_nothing(
    beside: str, data: str, directory: Path, command: Command, model: Path
) -> None:
    for content in ('{\n "format": "mine"\n}\n', "[\n1\n]\n", "{\n", "[" * 100_000):
        (directory / beside).write_text(content)
        (directory / data).write_bytes(bytes(range(256)) * 9)
        refused = command(*words("tokenize", directory / data, model))
        assert refused.code == 1
        assert "made by make-records" not in refused.err
        assert "token store" not in refused.err
    # Nor is another file's fault that of the records beside it.
    (directory / "dataset.json").write_text('{"format": "albert-fast records"}')
    (directory / "text.txt").write_bytes(b"A sentence.\n\xff\n" * 9)
    assert "text.txt" in command(*words("tokenize", directory / "text.txt", model)).err
