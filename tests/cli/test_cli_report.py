"""`albert-fast report`: where it writes, what it refuses, and that it needs no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from albert_fast.cli import common, main

ROOT = Path(__file__).parents[2]
LINES = [
    {"step": 0, "time": 1.8e9, "start": "new"},
    {"step": 10, "steps": 10, "time": 1.8e9, "hours": 0.1, "masked_lm_loss": 7.5, "learning_rate": 0.001},
]


def made(run: Path, *, lines: int = 2, unfinished: str = "", **options: object) -> Path:
    """The directory of a run as an older version left it."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "pretrain.config.json").write_text(json.dumps({"pretrain": {"batch_size": 8, **options}}))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES[:lines]) + unfinished)
    return run


def test_the_report_of_a_run_in_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path / "run", unfinished='{"step": 20, "st')
    before = (run / "metrics.jsonl").read_bytes()
    assert main(["report", str(run)]) == 0
    said = capsys.readouterr()
    assert said.err == f"albert-fast: wrote the report of {run} to {run / 'report.html'}\n"
    assert said.out == ""
    page = (run / "report.html").read_text()
    assert '"x":[10],"y":[7.5]' in page
    assert "Not finished: 10" in page
    assert (run / "metrics.jsonl").read_bytes() == before
    # Again, and over the report of a version whose reports had no mark.
    (run / "report.html").write_text("old")
    assert main(["report", str(run)]) == 0
    (run / "report.html").write_text("old")
    assert main(["report", str(run), "--output", str(run / "report.html")]) == 0
    assert (run / "report.html").read_text() == page


def test_a_comparison_without_tensorflow_from_runs_that_cannot_be_written(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, learning_rate=rate) for name, rate in (("one", 0.001), ("two", 0.002))]
    output = tmp_path / "new.html"
    for run in runs:
        run.chmod(0o555)
    program = """
import sys
sys.modules["tensorflow"] = None
from albert_fast.cli import main
assert main(sys.argv[1:]) == 0
there = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
assert not there & {"tensorflow", "safetensors", "ml_dtypes"}
"""
    try:
        subprocess.run(
            [sys.executable, "-c", program, "report", *map(str, runs), "--output", str(output)],
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert [len(list(run.iterdir())) for run in runs] == [2, 2]
    finally:
        for run in runs:
            run.chmod(0o755)
    page = output.read_text()
    assert "2 runs compared" in page
    assert "<th>learning_rate</th><td>0.001</td><td>0.002</td>" in page
    # An earlier report is replaced.
    assert main(["report", str(runs[0]), "--output", str(output)]) == 0
    assert "ALBERT: pretraining" in output.read_text()


def refused(words: list[str], capsys: pytest.CaptureFixture[str], code: int) -> str:
    assert main(["report", *words]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix("albert-fast: error: ").rstrip()


def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(Path("run"))
    made(Path("two"))
    made(Path("new"), lines=1)
    made(Path("first"), lines=0, unfinished='{"step": 10, "lo')
    Path("other").mkdir()
    Path("notes.html").write_text("<p>mine")
    nothing = "has no metrics yet: metrics.jsonl has no line of training or evaluation; wait for the first one"
    must = "RUN must be the output directory of pretrain, but"
    for words, code, line in (
        (["other"], 1, f"{must} other has no pretrain.config.json; pass the directory that was its --output-dir"),
        (["none"], 1, f"{must} none is not a directory"),
        (["notes.html"], 1, f"{must} notes.html is not a directory"),
        (["new"], 1, f"new {nothing}"),
        (["first"], 1, f"first {nothing}"),
        (["run", "two"], 2, "pass --output FILE for the comparison of 2 runs"),
        (["run", "two", "run", "--output", "c.html"], 2,
         "RUN must be different directories, but run is given twice; remove one"),
        (["run", str(tmp_path / "run"), "--output", "c.html"], 2,
         f"RUN must be different directories, but run and {tmp_path / 'run'} are the same; remove one"),
        (["run", "--output", "notes.html"], 1, "notes.html exists and is not a report; pass another --output"),
        (["run", "--output", "other"], 1, "--output must be a file, but other is a directory"),
        (["run", "--output", "-"], 2, "--output must be a file, got -; pass a path such as report.html"),
        (["s3://bucket/run"], 2, "RUN must be a local path, got s3://bucket/run"),
    ):  # fmt: skip
        assert refused(words, capsys, code) == line
    assert Path("notes.html").read_text() == "<p>mine"
    assert not Path("c.html").exists()
    Path("run/metrics.jsonl").write_text("{}\n" + json.dumps(LINES[1]) + "\n")
    assert "line 1" in refused(["run"], capsys, 1)


def test_the_command_line_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "_words", [])
    words = ["pretrain", "--tokens=https://user:word@host/store?signature=1", "https://user:word@host/x", "a b", "-k=v"]
    common.note_words([*words, "hf://no"])
    expected = "albert-fast pretrain --tokens=https://host/store https://host/x 'a b' -k=v hf://no"
    assert common.command_line() == expected


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = 'report needs matplotlib: pip install ".[report]" in the clone'
    assert refused([str(made(tmp_path / "run"))], capsys, 1) == line
