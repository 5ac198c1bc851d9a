"""`rng="reference"`: the compiled writer gives the bytes that google-research/ALBERT gave, from text to file."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from conftest import GOLDEN, Command

from albert_fast import Tokenizer, _native
from albert_fast.reference import Options

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST: dict[str, Any] = json.loads((GOLDEN / "records" / "manifest.json").read_text())
NAMES = Options.__dataclass_fields__

pytestmark = pytest.mark.golden


def inputs(run: dict[str, Any]) -> list[str]:
    return [str(GOLDEN / name) for name in run["flags"]["input_file"].split(",")]


def check(run: dict[str, Any], directory: Path) -> None:
    """The files of `directory` are those of the run."""
    files = run["files"]
    names = [f"records-{number:05}-of-{len(files):05}.tfrecord" for number in range(len(files))]
    assert sorted(path.name for path in directory.glob("*.tfrecord*")) == names
    dataset = json.loads((directory / "dataset.json").read_text())
    for name, expected, shard in zip(names, files, dataset["shards"], strict=True):
        written = (directory / name).read_bytes()
        assert hashlib.sha256(written).hexdigest() == expected["sha256"], name
        assert (shard["file"], shard["records"], shard["bytes"]) == (name, expected["records"], expected["bytes"])


def test_all_runs_are_here() -> None:
    assert len(MANIFEST) == 14


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_golden_run(name: str, tmp_path: Path) -> None:
    run = MANIFEST[name]
    flags = run["flags"]
    assert run["numpy_seed"] == flags["random_seed"]
    if flags.get("spm_model_file"):
        tokenizer = Tokenizer.from_file(GOLDEN / flags["spm_model_file"], lower_case=flags["do_lower_case"])
    else:
        tokenizer = Tokenizer.from_vocab_file(GOLDEN / flags["vocab_file"], lower_case=flags["do_lower_case"])
    options = {option: value for option, value in flags.items() if option in NAMES}
    options |= {
        "rng": "reference",
        "word_boundary": "albert",
        "single_segment": "random",
        "cross_segment_words": True,
        "replace_with_special": True,
    }
    _native.make_records(inputs(run), str(tmp_path), tokenizer, json.dumps(options), num_shards=len(run["files"]))
    check(run, tmp_path)


@pytest.mark.parametrize("name", ["default-128", "wordpiece", "four-shards", "cased", "permutation"])
def test_the_command_line(name: str, command: Command, tmp_path: Path) -> None:
    run = MANIFEST[name]
    flags = dict(run["flags"])
    arguments: list[object] = ["make-records", *inputs(run), "--output-dir", tmp_path / "out", "--rng", "reference"]
    arguments += ["--num-shards", len(run["files"])]
    model = flags.pop("spm_model_file", None)
    vocabulary = flags.pop("vocab_file")
    arguments += ["--tokenizer", GOLDEN / model] if model else ["--vocab-file", GOLDEN / vocabulary]
    del flags["input_file"]
    for flag, value in flags.items():
        option = flag.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
        else:
            arguments += [f"--{option}", value]
    result = command(*arguments)
    assert result.code == 0, result.err
    check(run, tmp_path / "out")
