"""The signals that ask a run to end, and those that stay ignored. Needs no TensorFlow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from albert_fast._signals import SIGNALS
from trainer.run.stops import Stops

ROOT = Path(__file__).parents[2]
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")

HEARD = """
import os, signal, sys
from trainer.run.stops import Stops

with Stops(None) as stops:
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    for _ in range(10):
        pass
    print(stops())
"""


@pytest.mark.usefixtures("not_ignored")
@pytest.mark.parametrize("name", NAMES)
def test_each_signal_is_heard_and_its_handler_put_back(name: str) -> None:
    number = signal.Signals[name]
    told = threading.Event()
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with Stops(None, lambda heard: told.set() if heard == name else None) as stops:
        assert stops() is None
        os.kill(os.getpid(), number)
        assert told.wait(30)
        assert stops() == name
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_what_is_ignored_at_the_start_stays_ignored(name: str) -> None:
    """As nohup does it."""
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Stops(None) as stops:
            os.kill(os.getpid(), number)
            assert stops() is None
            assert signal.getsignal(number) == signal.SIG_IGN
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.usefixtures("not_ignored")
@pytest.mark.parametrize(("launcher", "expected"), [(["nohup"], "None"), ([], "SIGHUP")])
def test_nohup(launcher: list[str], expected: str) -> None:
    done = subprocess.run(
        [*launcher, sys.executable, "-c", HEARD, "SIGHUP"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.split() == [expected]
