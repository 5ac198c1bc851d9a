"""Fixtures that the tests share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from trainer_runs import Material

pytest_plugins = ["bucket_fixtures"]

GOLDEN = Path(__file__).parent / "golden"

# `import tensorflow` imports Keras otherwise, which nothing here uses and which takes a quarter of the time. Processes
# that tests start inherit it.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error, its label removed; fails where there is not exactly one line."""
        (line,) = self.err.splitlines()
        assert line.startswith("albert-fast: error: "), line
        return line.removeprefix("albert-fast: error: ")


Command = Callable[..., Result]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs `albert-fast` with the arguments given, in an empty directory."""
    # Here, so that the trainer's tests run without the compiled extension.
    from albert_fast.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "COLUMNS", "120")
    monkeypatch.delenv("ALBERT_FAST_DEBUG", raising=False)

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def not_ignored() -> Iterator[None]:
    """Has the signals do what they do by default, even if these tests run under nohup or in the background."""
    from albert_fast._signals import SIGNALS

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_determinism_left() -> Iterator[None]:
    """Pretraining on a processor makes TensorFlow's operations deterministic for the rest of the process."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.util import _pywrap_determinism

        _pywrap_determinism.enable(False)


@pytest.fixture(scope="session")
def model() -> Path:
    """A SentencePiece model of 2,000 pieces."""
    return GOLDEN / "tokenizer" / "spiece.model"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The text that the model was trained on: one sentence a line, blank lines between documents."""
    return GOLDEN / "corpus" / "part-a.txt"


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> "Material":
    """What the trainer's runs are fed with."""
    import trainer_runs

    return trainer_runs.make(tmp_path_factory.mktemp("material"))
