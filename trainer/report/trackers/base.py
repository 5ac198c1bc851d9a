"""What a tracker does, and what it says if it cannot. Nothing here imports TensorFlow or a tracker's package."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import socket
import urllib.request
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

from trainer.errors import TrainerError, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PROJECT = "albert-fast"
"""The project that a run belongs to unless the user names another one."""

CONNECT_SECONDS = 3.0
"""Seconds in which a server must accept a connection."""


class UnreachableError(TrainerError):
    """A tracker's server does not answer."""


class Point(NamedTuple):
    """A line of the metrics log that has figures."""

    step: int
    seconds: float
    """The time of the line, in seconds since 1970."""
    evaluation: bool
    """Whether it is a line of an evaluation, not of training."""
    figures: Mapping[str, float]
    """The figures by their tags: see `trainer.report.scalars`."""


class Tracker(ABC):
    """A tracker's side of one run. All methods but `check` are called by one thread, in the order of this class.

    A method may raise any exception and may block for any time: see `trainer.report.trackers.follow`.

    Args:
        run: the directory of the run.
        project: the project to show the run in; None for the one in the tracker's environment variables, or `PROJECT`.
        title: the name to show for the run; None for the one in these variables, or the name of the directory.
    """

    name: ClassVar[str]
    """The value of the option `tracker`, which is also the name of the Python package."""
    remote_limit: ClassVar[float] = 15.0
    """Seconds that `check` may take if it asks a server."""

    def __init__(self, run: Path, project: str | None = None, title: str | None = None) -> None:
        self.run = run
        self.project = project
        self.title = title

    @property
    def default_title(self) -> str:
        """Return the name of the directory of the run."""
        return self.run.resolve().name or PROJECT

    def package(self) -> Any:
        """Import the tracker's package and return it.

        Raises:
            TrainerError: it is not installed.
        """
        if importlib.util.find_spec(self.name) is None:
            raise self.refused(f"needs the Python package {self.name}, which is not installed: pip install {self.name}")
        return importlib.import_module(self.name)

    @property
    def remote(self) -> bool:
        """Tell whether the tracker sends the metrics to a server. The package is installed."""
        return False

    @abstractmethod
    def check(self) -> None:
        """Check whether the tracker can be used. It writes nothing, apart from creating an empty local store.

        Raises:
            UnreachableError: its server does not answer.
            TrainerError: the package is not installed, or the user is not logged in.
        """

    @abstractmethod
    def open(
        self, known: str | None, config: Mapping[str, Any], opened: Callable[[str], None], *, described: bool
    ) -> str:
        """Create the tracked run, or continue it.

        Args:
            known: the identifier of the tracked run to continue; None to create one.
            config: what a new tracked run is described by. It may be nested.
            opened: called with the identifier of the tracked run, as soon as this exists.
            described: whether the tracked run `known` has its name and configuration. It has not if it could not be
                opened when it was new.

        Returns:
            Where the tracked run can be seen, for a message.
        """

    def last(self) -> tuple[int, int | None] | None:
        """Return the steps of the last lines of training and of evaluation that an open tracked run has, -1 for none.

        None means that this is not known: that the run has every line that `log` was given, or, of evaluation, all
        up to the step of training.
        """
        return None

    @abstractmethod
    def log(self, points: Sequence[Point]) -> None:
        """Send points, in the order of the metrics log."""

    @abstractmethod
    def close(self, state: str, why: str | None) -> None:
        """Send what is left, and set the state of the tracked run.

        Args:
            state: "finished", "stopped" or "failed".
            why: what stopped the run early; None if nothing did.
        """

    def refused(self, why: str) -> TrainerError:
        """Return the error for a tracker that cannot be used."""
        return TrainerError(f"tracker='{self.name}' {why}", option="tracker", value=self.name)

    def connect(self, url: str) -> None:
        """Check whether a server accepts connections. It asks nothing through a proxy.

        Raises:
            UnreachableError: the server does not.
        """
        parts = urlsplit(url)
        host = parts.hostname
        if host is None or (parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)):
            return
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            with contextlib.closing(socket.create_connection((host, port), CONNECT_SECONDS)):
                return
        except (OSError, ValueError) as error:
            raise self.unreachable(url, reason(error)) from None

    def unreachable(self, url: str, why: str) -> UnreachableError:
        """Return the error for a server that does not answer."""
        message = f"tracker='{self.name}': cannot reach {url}: {why}"
        return UnreachableError(message, option="tracker", value=self.name)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by names with dots, such as "data.instances", without nulls."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif value is not None:
            found[f"{prefix}{name}"] = value
    return found
