"""The tracker Trackio. Its own environment variables hold: TRACKIO_DIR, TRACKIO_SPACE_ID and so on."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.report.trackers.base import PROJECT, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trainer.report.trackers.base import Point


class Trackio(Tracker):
    """A run of Trackio, which does not know how a run ended."""

    name: ClassVar[str] = "trackio"

    def package(self) -> Any:
        """Import the package, set not to write to the terminal."""
        # Its threads warn of each figure that they cannot send. It keeps these on the disk and sends them later.
        warnings.filterwarnings("ignore", module=r"trackio(\.|$)")
        # Trackio looks whether a figure is one of matplotlib's. It drops all figures while the report, in the main
        # thread, imports matplotlib.
        with contextlib.suppress(ImportError):
            importlib.import_module("matplotlib.figure")
        return super().package()

    @property
    def remote(self) -> bool:
        """Tell whether the metrics go to a server."""
        return any(os.environ.get(name) for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"))

    def check(self) -> None:
        """See `Tracker.check`."""
        self.package()
        space, server = (os.environ.get(name) for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"))
        if space:
            # Trackio needs huggingface_hub, which knows where the token is.
            import huggingface_hub

            if huggingface_hub.get_token() is None:
                raise self.refused(
                    "is not logged in to Hugging Face: run `hf auth login`, set HF_TOKEN, or unset TRACKIO_SPACE_ID to "
                    "keep the metrics on this machine"
                )
        elif server:
            self.connect(server)

    def open(
        self,
        known: str | None,
        config: Mapping[str, Any],
        opened: Callable[[str], None],
        *,
        described: bool,  # noqa: ARG002 - it is opened and described at once
    ) -> str:
        """See `Tracker.open`."""
        trackio = self.package()
        # Trackio knows runs by their names, and continues the newest run of a name.
        identifier, _, name = (known or "").partition("/")
        name = name or self.title or self.default_title
        self._run = trackio.init(
            project=self.project or PROJECT,
            name=name,
            config={key: value for key, value in config.items() if not key.startswith("_")},
            resume="allow" if known else "never",
            embed=False,
        )
        if identifier:
            self._run.id = identifier
        opened(f"{self._run.id}/{name}")
        if self.remote:
            return os.environ.get("TRACKIO_SPACE_ID") or os.environ["TRACKIO_SERVER_URL"].partition("?")[0]
        return f"see it with `trackio show --project {self.project or PROJECT}`"

    def last(self) -> tuple[int, int | None] | None:
        """See `Tracker.last`."""
        # Trackio writes every half second, so after a kill it may have less than it was given.
        step = getattr(self._run, "_next_step", 0) - 1
        return None if step < 0 else (step, None)

    def log(self, points: Sequence[Point]) -> None:
        """See `Tracker.log`."""
        for point in points:
            self._run.log(dict(point.figures), step=point.step)

    def close(self, state: str, why: str | None) -> None:  # noqa: ARG002 - see the class
        """See `Tracker.close`."""
        self._run.finish()
