"""What the trackers have been sent, RUN/trackers.json, so that a run that resumes continues the same tracked run.

    {"wandb": {"run": "1a2b3c4d", "training": 1200, "evaluation": 1000, "described": true}}

`run` is the tracker's identifier of the tracked run. `training` and `evaluation` are the steps of the last lines of the
metrics log that the tracker has. A run that resumes from an older step computes the steps since then again, with the
same result, so lines up to these steps are not sent again. `described` tells whether the tracked run has its name and
its configuration. A file of an older version does not have it, and its tracked runs have them.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, NamedTuple

from albert_fast.files import write_atomic
from trainer.folder import TRACKERS

if TYPE_CHECKING:
    from pathlib import Path


class Sent(NamedTuple):
    """What one tracker has."""

    run: str | None = None
    training: int = -1
    evaluation: int = -1
    described: bool = False


class SentFile:
    """RUN/trackers.json, which the threads of all trackers use.

    Args:
        run: the directory of the run.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / TRACKERS
        self._lock = threading.Lock()
        self._all: dict[str, Sent] = {}
        try:
            content = json.loads(self.path.read_bytes())
            self._all = {
                name: Sent(
                    str(one["run"]), int(one["training"]), int(one["evaluation"]), bool(one.get("described", True))
                )
                for name, one in content.items()
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # It is written atomically, so someone has changed it. New tracked runs are better than no run.
            self._all = {}

    def __getitem__(self, tracker: str) -> Sent:
        return self._all.get(tracker, Sent())

    def __setitem__(self, tracker: str, sent: Sent) -> None:
        """Note what a tracker has, and write the file.

        Raises:
            AlbertFastError: the file cannot be written. The note holds all the same.
        """
        with self._lock:
            self._all[tracker] = sent
            content = {name: one._asdict() for name, one in self._all.items() if one.run is not None}
            write_atomic(self.path, (json.dumps(content, indent=2) + "\n").encode())
