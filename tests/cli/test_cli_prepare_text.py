"""prepare-text: what reaches the compiled part, what is said, what is written beside the output."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from albert_fast import AlbertFastError, _native, prepare_text
from albert_fast.cli.commands import COMMANDS
from albert_fast.cli.prepare_text import STEPS
from albert_fast.prepare import read_patterns

DEFAULTS: dict[str, Any] = {
    "format": "auto",
    "text_field": "text",
    "documents": "file",
    "document_separator": None,
    "paragraphs": "auto",
    "on_bad_utf8": "error",
    "skip_bad": False,
    "language": "auto",
    "join_hyphens": False,
    "sentences": True,
    "max_sentence_bytes": 4096,
    "repair": True,
    "drop_incomplete_sentences": False,
    "min_document_chars": 0,
    "min_document_sentences": 1,
    "max_non_letters": 1.0,
    "boilerplate": [],
    "keep_language": [],
    "min_language_confidence": 0.5,
    "quality": "none",
    "quality_skip": [],
    "dedup_documents": True,
    "dedup_lines": False,
    "dedup_memory": 512,
    "dedup_near": False,
    "dedup_near_keep": "first",
    "dedup_near_shingle": 5,
    "dedup_near_bands": 14,
    "dedup_near_rows": 8,
    "dedup_near_threshold": None,
    "eval_fraction": 0.0,
    "samples": 3,
}
REST: dict[str, Any] = {
    "eval_output": None,
    "num_shards": None,
    "shard_size": None,
    "num_tasks": None,
    "task_id": None,
    "compression": "auto",
    "num_threads": None,
    "overwrite": False,
    "dry_run": False,
}


class Native:
    """Stands in for `_native.prepare_text` and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str, dict[str, Any], dict[str, Any]]] = []
        self.result: dict[str, Any] = {
            "inputs": 3,
            "formats": {"jsonl": 1, "text": 2},
            "bytes_read": 5_000_000,
            "text_bytes": 12_000_000,
            "documents_read": 1_000,
            "documents": 900,
            "sentences": 45_000,
            "bytes": 9_876_543,
            "eval_documents": 0,
            "eval_sentences": 0,
            "eval_bytes": 0,
            "languages": {"de": 10, "en": 900, "fr": 9, "it": 8, "nl": 7, "pl": 6, "pt": 5},
            "counts": dict.fromkeys(STEPS, 0),
            "samples": {},
            "outputs": ["corpus.txt"],
            "eval_outputs": [],
            "spilled": False,
            "warnings": [],
        }

    def __call__(self, inputs: list[str], output: str, options: str, **rest: Any) -> dict[str, Any]:
        assert callable(rest.pop("progress"))
        self.calls.append((inputs, output, json.loads(options), rest))
        if rest["num_shards"] and not rest["dry_run"]:
            Path(output).mkdir(exist_ok=True)
        return self.result


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Native:
    stand_in = Native()
    monkeypatch.setattr(_native, "prepare_text", stand_in)
    return stand_in


def test_the_defaults_of_the_command_are_those_of_the_function(command: Command, native: Native) -> None:
    assert command("prepare-text", "a.txt", "--output", "corpus.txt").code == 0
    assert native.calls == [(["a.txt"], "corpus.txt", DEFAULTS, REST)]
    prepare_text(["a.txt"], "corpus.txt", progress=lambda *_: None)
    assert native.calls[1] == native.calls[0]
    function = {name: value.default for name, value in inspect.signature(prepare_text).parameters.items()}
    shown = {name: value.default for name, value in inspect.signature(COMMANDS["prepare-text"]).parameters.items()}
    for name in (DEFAULTS.keys() | REST.keys()) - {"boilerplate"}:
        default = getattr(shown[name], "value", shown[name])
        assert (() if default is None and function[name] == () else default) == function[name], name


def test_every_flag_reaches_the_function(command: Command, native: Native) -> None:
    Path("patterns.txt").write_text("# page numbers\n\n^Page \\d+$\r\n  ^Contents$\n#\n")
    given: dict[str, Any] = {
        "format": "jsonl",
        "text_field": "body.text",
        "documents": "blank-line",
        "document_separator": "***",
        "paragraphs": "line",
        "on_bad_utf8": "replace",
        "skip_bad": True,
        "language": "deu",
        "join_hyphens": True,
        "sentences": False,
        "max_sentence_bytes": 100,
        "repair": False,
        "drop_incomplete_sentences": True,
        "min_document_chars": 1,
        "min_document_sentences": 2,
        "max_non_letters": 0.5,
        "keep_language": ["de", "eng"],
        "min_language_confidence": 0.75,
        "quality": "gopher",
        "quality_skip": ["words", "top-ngrams"],
        "dedup_documents": False,
        "dedup_lines": True,
        "dedup_memory": 7,
        "dedup_near": True,
        "dedup_near_keep": "longest",
        "dedup_near_shingle": 6,
        "dedup_near_bands": 20,
        "dedup_near_rows": 10,
        "dedup_near_threshold": 0.8,
        "eval_fraction": 0.25,
        "samples": 9,
        "eval_output": "held-out",
        "num_shards": 4,
        "shard_size": 0.5,
        "compression": "zstd",
        "num_threads": 3,
        "overwrite": True,
        "dry_run": True,
        "num_tasks": 5,
        "task_id": 4,
    }
    flags: list[object] = ["--boilerplate", "patterns.txt"]
    for name, value in given.items():
        kebab = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{kebab}" if value else f"--no-{kebab}")
        elif isinstance(value, list):
            flags += [word for item in value for word in (f"--{kebab}", item)]
        else:
            flags += [f"--{kebab}", value]
    result = command("prepare-text", "a", "-", "--output", "out", *flags)
    assert result.code == 0, result.err
    inputs, output, options, rest = native.calls[0]
    assert (inputs, output) == (["a", "-"], "out")
    assert {**options, **rest} == {**given, "boilerplate": ["^Page \\d+$", "  ^Contents$"]}
    assert {**DEFAULTS, **REST}.keys() == {**options, **rest}.keys()


def test_inputs_are_any_paths(native: Native) -> None:
    def nothing(*_: object) -> None:
        pass

    one = Path("a.txt")
    for inputs in ("a.txt", one, [one], ("a.txt",), (path for path in [one])):
        prepare_text(inputs, Path("o.txt"), progress=nothing)  # type: ignore[arg-type]  # a generator does as well
    assert native.calls == 5 * [(["a.txt"], "o.txt", DEFAULTS, REST)]


@pytest.mark.parametrize("output", ["directory/", "corpus.txt/"])
def test_a_slash_at_the_end_reaches_the_function(command: Command, native: Native, output: str) -> None:
    assert command("prepare-text", "a", "--output", output, "--eval-fraction", 0.1, "--eval-output", "e/").code == 0
    assert (native.calls[0][1], native.calls[0][3]["eval_output"]) == (output, "e/")


def test_a_parquet_file_has_columns(command: Command, native: Native) -> None:
    assert command("prepare-text", "a", "--output", "out", "--text-column", "body").code == 0
    assert native.calls[0][2]["text_field"] == "body"


@pytest.mark.parametrize(
    ("output", "flags", "beside"),
    [
        ("texts/corpus.txt.gz", [], "texts/corpus.txt.gz."),
        ("corpus.txt", [], "corpus.txt."),
        ("directory", ["--num-shards", 2], "directory/"),
    ],
)
def test_the_configuration_and_the_counts_lie_beside_the_output(
    command: Command, native: Native, output: str, flags: list[object], beside: str
) -> None:
    Path("texts").mkdir()
    Path("patterns.txt").write_text("^Page\n")
    flags = [*flags, "--boilerplate", "patterns.txt", "--language", "de", "--no-repair", "--eval-fraction", 0.1]
    assert command("prepare-text", "ä.txt", "--output", output, *flags).code == 0
    assert json.loads(Path(f"{beside}prepare-text.summary.json").read_text(encoding="utf-8")) == native.result
    config = f"{beside}prepare-text.config.json"
    assert json.loads(Path(config).read_text(encoding="utf-8"))["prepare-text"]["inputs"] == ["ä.txt"]
    assert command("prepare-text", "--config", config).code == 0
    assert native.calls[1] == native.calls[0]


def test_a_dry_run_writes_nothing(command: Command, native: Native, tmp_path: Path) -> None:
    native.result["counts"] = {"replaced": 0, "boilerplate_lines": 12, "short_documents": 3}
    native.result["samples"] = {"boilerplate_lines": ["Page 1", "x" * 1000], "short_documents": ["two\nlines", "ok"]}
    native.result["outputs"] = []
    Path("patterns").write_text("^Page")
    flags = ["--dry-run", "--eval-fraction", 0.1, "--min-document-chars", 20, "--boilerplate", "patterns"]
    result = command("prepare-text", "a.txt", "--output", "none/corpus.txt", *flags)
    assert result.code == 0, result.err
    assert [path.name for path in tmp_path.iterdir()] == ["patterns"]
    assert result.err.splitlines()[2:] == [
        "albert-fast:   dropped 12 boilerplate lines (--boilerplate patterns)",
        "albert-fast:     | Page 1",
        f"albert-fast:     | {'x' * 109}…",
        "albert-fast:   dropped 3 documents with too few characters (--min-document-chars 20)",
        "albert-fast:     | two lines",
        "albert-fast:     | ok",
        "albert-fast: would keep 900 documents, 45,000 sentences, 9.9 MB",
        "albert-fast: would hold out 0 documents, 0 sentences, 0 bytes",
        "albert-fast: nothing was written (--dry-run)",
    ]


def test_the_summary(command: Command, native: Native) -> None:
    # The order of the steps, whatever that of the counts is; one of a thing is not "1 things".
    counts = {"duplicate_documents": 1234, "repaired_characters": 7, "boilerplate_lines": 1, "bad_records": 1}
    native.result["counts"] = {**counts, "replaced": 2, "sentences_cut": 3, "other_records": 4}
    native.result |= {"eval_documents": 1, "eval_sentences": 20, "eval_bytes": 1500, "warnings": ["something else"]}
    native.result["eval_outputs"] = ["eval-corpus.txt"]
    Path("patterns").write_text("^Page")
    flags = ["--on-bad-utf8", "replace", "--skip-bad", "--boilerplate", "patterns", "--eval-fraction", 0.001]
    result = command("prepare-text", "a.txt", "--output", "corpus.txt", *flags)
    assert result.out == ""
    assert result.err.splitlines() == [
        "albert-fast: warning: something else",
        "albert-fast: read 3 files (1 jsonl, 2 text), 5.0 MB, 1,000 documents in 0.0s",
        "albert-fast:   documents by language: en 900, de 10, fr 9, it 8, nl 7, 2 others 11",
        "albert-fast:   replaced 2 invalid UTF-8 sequences with U+FFFD (--on-bad-utf8 replace)",
        "albert-fast:   skipped 1 entry that could not be read (--skip-bad)",
        "albert-fast:   skipped 4 WARC records that hold no text",
        "albert-fast:   dropped 1 boilerplate line (--boilerplate patterns)",
        "albert-fast:   repaired 7 characters (--repair)",
        "albert-fast:   split 3 long sentences (--max-sentence-bytes 4096)",
        "albert-fast:   dropped 1,234 duplicate documents (--dedup-documents)",
        "albert-fast: kept 900 documents, 45,000 sentences, 9.9 MB: corpus.txt",
        "albert-fast: held out 1 document, 20 sentences, 1.5 kB: eval-corpus.txt",
    ]


def test_shards_are_counted_and_not_listed(command: Command, native: Native) -> None:
    native.result["outputs"] = ["out/corpus-00000-of-00002.txt", "out/corpus-00001-of-00002.txt"]
    result = command("prepare-text", "a.txt", "--output", "out", "--num-shards", 2)
    assert result.err.endswith("kept 900 documents, 45,000 sentences, 9.9 MB: 2 files in out\n")


def test_ctrl_c_says_how_to_go_on(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def native(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_native, "prepare_text", native)
    result = command("prepare-text", "a.txt", "--output", "corpus.txt")
    assert result.code == 130
    assert result.err == "albert-fast: stopped; nothing was written; run the same command again to start over\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ([], "--output"),
        (["--output", "o", "--format", "docx"], "--format"),
        (["--output", "o", "--eval-output", "e"], "--eval-output needs an --eval-fraction above 0"),
        (["--output", "o", "--max-non-letters", "1.5"], "--max-non-letters"),
        (
            ["--output", "o", "--eval-fraction", "1"],
            "--eval-fraction must be a number of at least 0 and below 1, got 1",
        ),
        (["--output", "o", "--dedup-memory", "0"], "--dedup-memory"),
        (["--output", "o", "--num-shards", "0"], "--num-shards"),
    ],
)
def test_usage_errors(command: Command, tmp_path: Path, flags: list[str], part: str) -> None:
    result = command("prepare-text", "a.txt", *flags)
    assert result.code == 2
    assert part in result.error
    assert list(tmp_path.iterdir()) == []


def test_files_of_patterns_that_cannot_be_read(command: Command, native: Native) -> None:
    assert "cannot read none.txt" in command("prepare-text", "a", "--output", "o", "--boilerplate", "none.txt").error
    Path("latin.txt").write_bytes(b"^S\xfcd$\n")
    result = command("prepare-text", "a", "--output", "o", "--boilerplate", "latin.txt")
    assert (result.code, result.error) == (1, "latin.txt, byte 3: a file of patterns must be UTF-8")
    Path("bom.txt").write_bytes(b"\xef\xbb\xbf^a$")
    assert read_patterns(Path("bom.txt")) == {1: "^a$"}
    assert not native.calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"format": "docx"},
            "format must be one of auto, text, jsonl, csv, tsv, parquet, arrow, wikiextractor, mediawiki, wet, got",
        ),
        ({"documents": None}, "documents must be one of file, blank-line, got None"),
        ({"paragraphs": "file"}, "paragraphs must be one of auto, line, blank-line"),
        ({"on_bad_utf8": "ignore"}, "on_bad_utf8 must be one of error, replace"),
        ({"compression": "bzip2"}, "compression must be one of auto, none, gzip, zstd"),
        ({"text_field": 1}, "text_field must be a string"),
        ({"document_separator": 1}, "document_separator must be a string, got"),
        ({"language": None}, "language must be a string"),
        ({"skip_bad": 1}, "skip_bad must be true or false"),
        ({"sentences": "yes"}, "sentences must be true or false"),
        ({"max_sentence_bytes": 63}, "max_sentence_bytes must be a whole number of at least 64"),
        ({"min_document_chars": 1.5}, "min_document_chars must be a whole number of at least 0"),
        ({"max_non_letters": -0.1}, "max_non_letters must be a number from 0 to 1, got -0.1"),
        ({"boilerplate": [1]}, "boilerplate must be a list of strings, got 1"),
        ({"eval_fraction": "0.1"}, "eval_fraction must be a number of at least 0 and below 1"),
        ({"boilerplate": None}, "boilerplate must be a list of strings, got None"),
        ({"eval_fraction": 1}, "eval_fraction must be a number of at least 0 and below 1, got 1"),
        ({"eval_fraction": 0.1, "eval_output": 3}, "eval_output must be a string, got 3"),
        ({"inputs": 5}, "inputs must be a path or a sequence of paths, got 5"),
        ({"inputs": None}, "inputs must be a path or a sequence of paths, got None"),
        ({"inputs": b"a.txt"}, "inputs must be a path or a sequence of paths, got b'a.txt'"),
        ({"inputs": ["a.txt", 1]}, "inputs must be a path or a sequence of paths, got 1"),
        ({"output": None}, "output must be a path, got None"),
        ({"output": b"o"}, "output must be a path, got b'o'"),
        ({"progress": 3}, "progress must be a function or None, got 3"),
        ({"eval_output": "e"}, "eval_output has no effect without `eval_fraction`"),
        ({"num_shards": 0}, "num_shards must be a whole number from 1"),
        ({"num_threads": 0}, "num_threads must be a whole number from 1 to 1024"),
        ({"samples": -1}, "samples must be a whole number from 0"),
    ],
)
def test_arguments_outside_their_rule(native: Native, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AlbertFastError) as caught:
        prepare_text(**{"inputs": "a.txt", "output": "o.txt", **arguments})
    assert str(caught.value).startswith(message)
    assert not native.calls
