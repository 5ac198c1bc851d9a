"""The tracker W&B (Weights & Biases). Its own environment variables hold: WANDB_MODE, WANDB_API_KEY and so on."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.errors import reason
from trainer.report.trackers.base import PROJECT, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trainer.report.trackers.base import Point

FINISH_SECONDS = 20
"""Seconds that W&B may take to send the rest at the end. The rest stays on the disk, where `wandb sync` finds it."""
FLUSH_SECONDS = 1.0
"""Seconds of the run that a kill may lose from W&B's file on the disk."""
EXIT_CODES = {"finished": 0, "stopped": 130, "failed": 1}
"""What W&B shows the state of a run by: 0 is "finished", all others are "failed"."""


@contextlib.contextmanager
def _own_hooks() -> Iterator[None]:
    """Undo W&B's changes to `sys` in the block, by which it learns the exit code. `Wandb.close` passes it the code."""
    hooks = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = hooks


class Wandb(Tracker):
    """A run of W&B."""

    name: ClassVar[str] = "wandb"

    def package(self) -> Any:
        """Import the package, set not to write to the terminal."""
        # W&B reads it when it is imported.
        os.environ.setdefault("WANDB_SILENT", "true")
        with _own_hooks():
            wandb = super().package()
            wandb.setup()
        return wandb

    @property
    def remote(self) -> bool:
        """Tell whether the metrics go to a server."""
        return self._mode() == "online"

    def _mode(self) -> str:
        settings = self.package().setup().settings
        return {"run": "online", "dryrun": "offline"}.get(settings.mode, str(settings.mode))

    def check(self) -> None:
        """See `Tracker.check`."""
        wandb = self.package()
        if not self.remote:
            return
        advice = "or set WANDB_MODE=offline to send the metrics later"
        url = str(wandb.setup().settings.base_url)
        self.connect(url)
        try:
            if wandb.login(prompt=False, verify=True):
                return
        except wandb.errors.AuthenticationError as error:
            why = reason(error).rstrip(".")
            if "in time" in why:
                raise self.unreachable(url, why) from None
            raise self.refused(f"cannot log in: {why}; run `wandb login`, {advice}") from None
        raise self.refused(f"is not logged in to {url}: run `wandb login`, set WANDB_API_KEY, {advice}")

    def open(
        self, known: str | None, config: Mapping[str, Any], opened: Callable[[str], None], *, described: bool
    ) -> str:
        """See `Tracker.open`."""
        wandb = self.package()
        identifier = known or os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:8]
        opened(identifier)  # before W&B knows it, so that a kill cannot lose it
        new: dict[str, Any] = {}
        if not described:
            new["config"] = dict(config)
            new["name"] = self.title or os.environ.get("WANDB_NAME") or self.default_title
        with _own_hooks():
            self._run = wandb.init(
                id=identifier,
                project=self.project or os.environ.get("WANDB_PROJECT") or PROJECT,
                resume="allow",
                dir=os.environ.get("WANDB_DIR") or str(self.run),
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    save_code=False,
                    finish_timeout=FINISH_SECONDS,
                    x_transaction_log_flush_interval=FLUSH_SECONDS,
                ),
                **new,
            )
        self._run.define_metric("step")
        self._run.define_metric("eval/step", hidden=True)
        for group in ("train/*", "eval/*"):
            self._run.define_metric(group, step_metric="step")
        if self._mode() == "offline":
            return f"offline; `wandb sync {self._run.settings.sync_dir}` sends it"
        return str(self._run.url) if self._mode() == "online" else self._mode()

    def last(self) -> tuple[int, int | None] | None:
        """See `Tracker.last`."""
        # W&B sends every 15 seconds, so after a kill the server has less than it was given.
        training, evaluation = self._run.summary.get("step"), self._run.summary.get("eval/step")
        return None if training is None else (int(training), -1 if evaluation is None else int(evaluation))

    def log(self, points: Sequence[Point]) -> None:
        """See `Tracker.log`."""
        for point in points:
            # Not as W&B's own step, because W&B drops a row whose step it has.
            row = {"step": point.step, "_timestamp": point.seconds, **point.figures}
            self._run.log({**row, "eval/step": point.step} if point.evaluation else row)

    def close(self, state: str, why: str | None) -> None:
        """See `Tracker.close`."""
        self._run.summary.update({"state": state, "stopped": why})
        self._run.finish(exit_code=EXIT_CODES[state])
