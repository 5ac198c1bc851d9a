"""What a new user with a corpus that is not English does first, and what the commands say to it."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Command

from albert_fast.cli.text_changes import describe

GERMAN = """Der Müller erklärte seiner Frau die Mühle am Bach.
Die Kinder hörten im Garten die Vögel und öffneten das Fenster.
Gestern kaufte der Lehrer für die Schule neue Bücher.

Über den Dächern der Stadt läuten früh die Glocken.
Im Frühling blühen die Bäume vor dem Haus.
"""
ENGLISH = """The miller told his wife about the mill at the brook.
The children heard the birds in the garden and opened the window.
Yesterday Mr Smith from London bought new books for the school.

Above the roofs of the town the bells ring early.
In the spring the trees in front of the house are in bloom.
"""
VIETNAMESE = """Trường học ở gần nhà của chúng tôi.
Mẹ tôi đi chợ mua rau và cá vào buổi sáng.
Trời hôm nay rất đẹp, trẻ em chơi ngoài vườn.
"""
RECORDS = ["--max-seq-length", 32, "--max-predictions-per-seq", 5, "--dupe-factor", 1]


def training(*names: str) -> list[object]:
    return ["train-tokenizer", *names, "--output-dir", "tok", "--vocab-size", 48, "--overwrite"]


def changes(said: str) -> list[str]:
    return [line for line in said.splitlines() if "the text rules change" in line]


# --- umlauts, tone marks and capitals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "flags", "told", "untold"),
    [
        (GERMAN, [], ["erklärte -> erklarte", "--keep-accents and --no-do-lower-case", "accents", "capitals"], []),
        (GERMAN, ["--no-do-lower-case"], ["erklärte -> erklarte", "pass --keep-accents"], ["--no-do-lower-case"]),
        (GERMAN, ["--keep-accents"], ["lowercase capitals", "-> ", "pass --no-do-lower-case"], ["umlauts"]),
        (VIETNAMESE, ["--do-lower-case"], ["tone marks", "pass --keep-accents"], ["--no-do-lower-case"]),
    ],
)
def test_what_the_rules_take_is_told(
    text: str, flags: list[str], told: list[str], untold: list[str], command: Command
) -> None:
    Path("text.txt").write_text(text * 20)
    done = command(*training("text.txt"), *flags)
    (line,) = changes(done.err)
    assert line.startswith("albert-fast: warning: the text rules change ")
    assert "% of the letters" in line
    for each in told:
        assert each in line, line
    for each in untold:
        assert each not in line, line


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (ENGLISH, []),
        (ENGLISH + "The café.\n", ["--no-do-lower-case", "--keep-accents"]),
        (GERMAN, ["--keep-accents", "--no-do-lower-case"]),
        (GERMAN, ["--no-keep-accents", "--do-lower-case"]),
        (ENGLISH * 20 + "naïve\n", []),
    ],
)
def test_nothing_is_told_of_english_or_of_what_was_asked_for(text: str, flags: list[str], command: Command) -> None:
    Path("text.txt").write_text(text * 20)
    done = command(*training("text.txt"), *flags)
    assert changes(done.err) == []


def test_a_configuration_file_is_asking_for_it(command: Command) -> None:
    Path("text.txt").write_text(GERMAN * 20)
    Path("options.json").write_text('{"keep_accents": false, "do_lower_case": true}')
    assert changes(command(*training("text.txt"), "--config", "options.json").err) == []


def test_tokenize_and_make_records_tell_it_too(command: Command, model: Path) -> None:
    Path("text.txt").write_text(GERMAN * 20)
    Path("text.txt.gz").write_bytes(gzip.compress(GERMAN.encode() * 20))
    for name in ("text.txt", "text.txt.gz"):
        (line,) = changes(command("tokenize", name, "--tokenizer", model, "--output-dir", name + ".store").err)
        assert "erklärte -> erklarte" in line
        assert "train the tokenizer with --keep-accents and --no-do-lower-case" in line
    (line,) = changes(command("make-records", "text.txt", "--tokenizer", model, "--output-dir", "r", *RECORDS).err)
    assert "erklärte" in line
    given = ["--do-lower-case", "--no-keep-accents"]
    assert changes(command("tokenize", "text.txt", "--tokenizer", model, "--output-dir", "s", *given).err) == []
    assert changes(command("make-records", "text.txt.store", "--output-dir", "r2", *RECORDS).err) == []


def test_an_uncased_wordpiece_vocabulary_tells_it(command: Command) -> None:
    Path("text.txt").write_text(GERMAN * 20)
    Path("vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nder\ndie\n")
    words = ["tokenize", "text.txt", "--vocab-file", "vocab.txt", "--output-dir"]
    (line,) = changes(command(*words, "one").err)
    assert "pass --no-do-lower-case and the --vocab-file of a cased vocabulary" in line
    assert changes(command(*words, "two", "--no-do-lower-case").err) == []


def test_the_fraction_decides() -> None:
    found = {
        "letters": 100_000,
        "marks": 101,
        "capitals": 3000,
        "changed": 3100,
        "inner_words": 10_000,
        "inner_capitals": 900,
        "mark_examples": [["öl", "ol"]],
        "capital_examples": [["London", "london"]],
    }
    assert "3.1% of the letters" in describe(found)
    assert describe({**found, "marks": 99}) == ""
    assert "London -> london" in describe({**found, "marks": 0, "inner_capitals": 2500})
    assert "0.1% of the letters" in describe(found, ["do_lower_case"])
    assert describe({**found, "letters": 0, "marks": 0}) == ""


# --- data that is not a corpus ---------------------------------------------------------------------------------------

DATA = {
    "JSON Lines": "".join(json.dumps({"text": line}) + "\n" for line in ENGLISH.splitlines()),
    "HTML": f"<!DOCTYPE html>\n<html><body><p>{ENGLISH}</p></body></html>\n",
    "XML": f'<?xml version="1.0"?>\n<TEI><p>{ENGLISH}</p></TEI>\n',
    "MediaWiki": "<mediawiki>\n<page>\n<title>A</title>\n",
    "wikiextractor": f'<doc id="1" url="u" title="t">\n{ENGLISH}</doc>\n',
}


@pytest.mark.parametrize("what", list(DATA))
@pytest.mark.parametrize("name", ["train-tokenizer", "tokenize", "make-records", "reference"])
def test_data_is_refused_by_what_it_is(name: str, what: str, command: Command, model: Path) -> None:
    Path("data").write_text(DATA[what])
    words = {
        "train-tokenizer": ["train-tokenizer", "data", "--output-dir", "out", "--vocab-size", 60],
        "tokenize": ["tokenize", "data", "--tokenizer", model, "--output-dir", "out"],
        "make-records": ["make-records", "data", "--tokenizer", model, "--output-dir", "out", *RECORDS],
        "reference": [
            "make-records",
            "data",
            "--tokenizer",
            model,
            "--output-dir",
            "out",
            *RECORDS,
            "--rng",
            "reference",
        ],
    }[name]
    refused = command(*words)
    assert refused.code == 1
    last = refused.err.splitlines()[-1]
    assert what in last
    assert "--input-format text" in last
    if what in {"JSON Lines", "MediaWiki", "wikiextractor"}:
        assert "prepare-text" in last
    assert not list(Path().glob("out/*"))
    if name in {"tokenize", "train-tokenizer"}:
        taken = command(*words, "--input-format", "text")
        assert taken.code == 0 or "vocab-size" in taken.err, taken.err


def test_data_in_a_pipe_or_compressed_is_refused(model: Path, tmp_path: Path) -> None:
    for content in (DATA["JSON Lines"].encode(), gzip.compress(DATA["JSON Lines"].encode())):
        words = ["tokenize", "-", "--tokenizer", str(model), "--output-dir", "out"]
        done = subprocess.run(
            [sys.executable, "-m", "albert_fast", *words], input=content, capture_output=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 1
        assert b"JSON Lines" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "{x} is a set.\n" + ENGLISH,
        '{"a": 1}\nis an object.\n' + ENGLISH,
        "<b>Bold</b> words.\n" + ENGLISH,
        "<3 hearts\n" + ENGLISH,
        "[1] a note\n[2] and another\n" + ENGLISH,
        "Good day, sir.\n" + ENGLISH,
    ],
)
def test_text_that_begins_like_data_is_text(text: str, command: Command, model: Path) -> None:
    Path("text.txt").write_text(text)
    done = command("tokenize", "text.txt", "--tokenizer", model, "--output-dir", "out")
    assert done.code == 0, done.err


# --- prepare-text ----------------------------------------------------------------------------------------------------


def warnings(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("albert-fast: warning:")]


@pytest.mark.parametrize(
    "files", [{"a.txt": GERMAN}, {"a.txt": "x.\n\ny.\n"}, {"a.txt": "x.\n\n" * 70, "b.txt": "y.\n\n" * 70}]
)
def test_blank_lines_between_documents_are_noticed(files: dict[str, str], command: Command) -> None:
    for name, text in files.items():
        Path(name).write_text(text)
    words = ["prepare-text", *files, "--output", "out.txt", "--language", "de", "--overwrite"]
    assert any("--documents blank-line" in line for line in warnings(command(*words).err))
    for rule in (["--documents", "blank-line"], ["--document-separator", "---"]):
        assert warnings(command(*words, *rule).err) == []


@pytest.mark.parametrize("files", [{"a.txt": "One.\nTwo.\n\n \n"}, {"a.txt": GERMAN, "b.txt": GERMAN[::-1]}])
def test_paragraphs_of_documents_are_no_matter(files: dict[str, str], command: Command) -> None:
    for name, text in files.items():
        Path(name).write_text(text)
    assert warnings(command("prepare-text", *files, "--output", "out.txt", "--language", "de").err) == []


@pytest.mark.parametrize(("one", "other"), [(GERMAN, ENGLISH), (ENGLISH, VIETNAMESE), (VIETNAMESE, GERMAN)])
@pytest.mark.parametrize("rule", [[], ["--documents", "blank-line"]])
def test_a_file_of_two_languages_is_noticed(one: str, other: str, rule: list[str], command: Command) -> None:
    Path("a.txt").write_text(one * 12 + "\n" + other * 12)
    words = ["prepare-text", "a.txt", "--output", "out.txt", "--no-dedup-documents", "--overwrite", *rule]
    (line,) = [line for line in warnings(command(*words).err) if "language" in line]
    assert "--language each" in line
    for language in ("each", "de"):
        said = warnings(command(*words, "--language", language).err)
        assert not any("looks like" in line or "several languages" in line for line in said)


def test_a_file_of_one_language_is_not(command: Command) -> None:
    for text in (GERMAN, ENGLISH, VIETNAMESE):
        Path("a.txt").write_text(text * 30)
        Path("b.txt").write_text(GERMAN * 30)
        said = warnings(command("prepare-text", "a.txt", "b.txt", "--output", "out.txt", "--overwrite").err)
        assert not any("language" in line for line in said), said


@pytest.mark.parametrize(("text", "fraction"), [(GERMAN, 0.01), ("One.\n\nTwo.\n\nThree.\n", 0.001)])
def test_an_empty_held_out_set_is_refused(text: str, fraction: float, command: Command) -> None:
    Path("a.txt").write_text(text)
    words = ["prepare-text", "a.txt", "--output", "out.txt", "--language", "de", "--eval-fraction", fraction]
    refused = command(*words, "--documents", "blank-line")
    assert refused.code == 1
    assert f"--eval-fraction {fraction:g} holds out none of " in refused.error
    assert [path.name for path in Path().iterdir()] == ["a.txt"]
    alone = command(*words)
    assert alone.code == 1
    assert "--documents blank-line" in alone.error
    dry = command(*words, "--dry-run")
    assert dry.code == 0
    assert "holds out none" in dry.err


# --- tokenizers that are there already -------------------------------------------------------------------------------


def test_a_store_has_its_own_tokenizer(command: Command) -> None:
    Path("text.txt").write_text(GERMAN * 20)
    assert command(*training("text.txt"), "--keep-accents", "--no-do-lower-case", "--vocab-size", 56).code == 0
    assert command("tokenize", "text.txt", "--tokenizer", "tok", "--output-dir", "store").code == 0
    assert (
        command("make-records", "store", "--tokenizer", "tok/spiece.model", "--output-dir", "one", *RECORDS).code == 0
    )
    shutil.rmtree("tok")
    done = command("make-records", "store", "--output-dir", "two", *RECORDS)
    assert done.code == 0, done.err
    one, two = (sorted(Path(name).glob("*.tfrecord")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    refused = command("make-records", "store", "--output-dir", "three", *RECORDS, "--do-lower-case")
    assert refused.code == 2
    assert "store was made with --no-do-lower-case" in refused.error
    # A store's tokenizer serves elsewhere too.
    assert command("tokenize", "text.txt", "--tokenizer", "store", "--output-dir", "again").code == 0
    meta = [json.loads(Path(name, "meta.json").read_text())["tokenizer_digest"] for name in ("store", "again")]
    assert meta[0] == meta[1]


def test_a_directory_is_searched_for_the_tokenizer(command: Command, model: Path) -> None:
    Path("text.txt").write_text(ENGLISH * 20)
    for name in ("usual", "other", "two", "both", "words", "json", "empty"):
        Path(name).mkdir()
    shutil.copy(model, "usual/spiece.model")
    shutil.copy(model, "usual/another.model")
    shutil.copy(model, "other/mine.model")
    for name in ("a.model", "b.model"):
        shutil.copy(model, Path("two") / name)
    shutil.copy(model, "both/spiece.model")
    vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nof\n"
    for name in ("both", "words"):
        Path(name, "vocab.txt").write_text(vocabulary)
    Path("json/tokenizer.json").write_text("{}")
    for name in ("usual", "other", "words"):
        done = command("tokenize", "text.txt", "--tokenizer", name, "--output-dir", name + ".store")
        assert done.code == 0, done.err
    kinds = [
        json.loads(Path(f"{name}.store/meta.json").read_text())["tokenizer"]["kind"] for name in ("other", "words")
    ]
    assert kinds == ["unigram", "wordpiece"]
    assert command("tokenize", "text.txt", "--vocab-file", "words", "--output-dir", "v.store").code == 0
    for flag, name, message in (
        ("--tokenizer", "two", "two holds several tokenizers (a.model, b.model)"),
        ("--tokenizer", "both", "both holds several tokenizers (spiece.model, vocab.txt)"),
        (
            "--tokenizer",
            "json",
            "json/tokenizer.json: a tokenizer.json cannot tokenize text here; download spiece.model",
        ),
        ("--tokenizer", "empty", "empty holds no tokenizer (no .model file, no vocab.txt); pass the tokenizer's file"),
        ("--vocab-file", "empty", "empty holds no vocab.txt; pass the vocabulary's file"),
    ):
        refused = command("tokenize", "text.txt", flag, name, "--output-dir", "out")
        assert refused.code == 1
        assert message in refused.error
    records = ["make-records", "text.txt", "--tokenizer", "usual", "--output-dir", "records", *RECORDS]
    assert command(*records).code == 0
    assert command("inspect-records", "records", "--tokenizer", "usual").code == 0


# --- habits from the reference ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a.txt,b.txt", "a.txt, b.txt", "a*.txt,b.txt"])
def test_inputs_with_commas_between_them(given: str, command: Command, model: Path) -> None:
    Path("a.txt").write_text(ENGLISH)
    Path("b.txt").write_text(ENGLISH)
    for words in (
        ["train-tokenizer", given, "--output-dir", "out"],
        ["tokenize", given, "--tokenizer", model, "--output-dir", "out"],
        ["make-records", given, "--tokenizer", model, "--output-dir", "out"],
        ["prepare-text", given, "--output", "out"],
    ):
        refused = command(*words)
        assert refused.code == 1
        first = "'a*.txt'" if "*" in given else "a.txt"
        assert f"inputs are separated by spaces, not commas: pass {first} b.txt" in refused.err.splitlines()[-1]
        assert not Path("out").exists()
    Path("a.txt,b.txt").write_text(ENGLISH)
    assert command("tokenize", "a.txt,b.txt", "--tokenizer", model, "--output-dir", "out").code == 0


def test_records_with_commas_between_them(command: Command) -> None:
    for name in ("a.tfrecord", "b.tfrecord"):
        Path(name).write_bytes(b"")
    refused = command("inspect-records", "a.tfrecord,b.tfrecord")
    assert refused.code == 1
    assert "inputs are separated by spaces, not commas: pass a.tfrecord b.tfrecord" in refused.error


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["make-records", "--input_file", "a.txt"], "inputs have no flag here: write the files after the command"),
        (["train-tokenizer", "--input=a.txt"], "inputs have no flag here"),
        (["make-records", "a.txt", "--output_file", "x"], "pass --output-dir DIRECTORY"),
        (["prepare-text", "a.txt", "--output_file", "x"], "pass --output FILE"),
        (["make-records", "a.txt", "--max_seq_length", "64"], "pass --max-seq-length"),
        (["make-records", "a.txt", "--spm_model_file", "x"], "pass --tokenizer FILE"),
        (["pretrain", "--input_file", "a"], "pass --records FILE, or --tokens STORE"),
        (["pretrain", "--train_batch_size", "8"], "pass --batch-size"),
        (["pretrain", "--albert_config_file", "a"], "pass --model FILE"),
    ],
)
def test_flags_of_the_reference_are_told(words: list[str], advice: str, command: Command) -> None:
    refused = command(*words)
    assert refused.code == 2
    assert advice in refused.error


def test_an_unknown_flag_is_no_more_than_that(command: Command) -> None:
    assert "; " not in command("tokenize", "--nonsense").error.split("(see")[0]
