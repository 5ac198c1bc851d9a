"""The tracker MLflow, by its client. Its own environment variables hold: MLFLOW_TRACKING_URI and so on."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.errors import reason
from trainer.report.trackers.base import PROJECT, Tracker, flat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trainer.report.trackers.base import Point

STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000
"""Limits of a request: metrics, parameters, and characters of a parameter."""
_NO_NAME = re.compile(r"[^\w./: -]", re.ASCII)


class Mlflow(Tracker):
    """A run of MLflow.

    It uses the client and not the functions of the module `mlflow`: these have a current run for the whole process, and
    end it when the process exits.
    """

    name: ClassVar[str] = "mlflow"

    def package(self) -> Any:
        """Import the package, set not to write to the terminal."""
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        mlflow = super().package()
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return mlflow

    @property
    def remote(self) -> bool:
        """Tell whether the metrics go to a server."""
        return self._uri().startswith(("http:", "https:", "databricks"))

    def _uri(self) -> str:
        return str(self.package().get_tracking_uri())

    def check(self) -> None:
        """See `Tracker.check`."""
        mlflow = self.package()
        uri = self._uri()
        if uri.startswith(("http:", "https:")):
            self.connect(uri)
        try:
            mlflow.MlflowClient().search_experiments(max_results=1)
        except Exception as error:
            raise self.refused(f"cannot use {uri}: {reason(error)}; set MLFLOW_TRACKING_URI") from error

    def open(
        self, known: str | None, config: Mapping[str, Any], opened: Callable[[str], None], *, described: bool
    ) -> str:
        """See `Tracker.open`."""
        mlflow = self.package()
        self._client = mlflow.MlflowClient()
        continued = known or os.environ.get("MLFLOW_RUN_ID")
        experiment = None if continued is None else self._experiment_of(mlflow, continued)
        if continued is not None and experiment is not None:
            self._id = continued
            self._client.update_run(self._id, status="RUNNING")
        else:
            described = False
            experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") if self.project is None else None
            experiment = experiment or self._experiment()
            title = self.title or self.default_title
            self._id = self._client.create_run(experiment, run_name=title).info.run_id
        opened(self._id)
        if not described:
            self._describe(mlflow, config)
        uri = self._uri().rstrip("/")
        return f"{uri}/#/experiments/{experiment}/runs/{self._id}" if uri.startswith("http") else uri

    def _experiment_of(self, mlflow: Any, run: str) -> str | None:
        """Return the identifier of a run's experiment, or None if this store does not have the run."""
        try:
            return str(self._client.get_run(run).info.experiment_id)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _experiment(self) -> str:
        """Return the identifier of the experiment, which is created if it does not exist."""
        name = self.project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _describe(self, mlflow: Any, config: Mapping[str, Any]) -> None:
        # MLflow refuses to change a parameter. A run may have some: that of MLFLOW_RUN_ID, and one whose description
        # failed in between.
        there = self._client.get_run(self._id).data.params
        params = [
            mlflow.entities.Param(name, str(value)[:LONGEST_PARAM])
            for given, value in flat(config).items()
            if (name := _NO_NAME.sub("_", given)) not in there
        ]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + MOST_PARAMS])

    def log(self, points: Sequence[Point]) -> None:
        """See `Tracker.log`."""
        metric = self.package().entities.Metric
        metrics = [
            metric(tag, value, int(1000 * point.seconds), point.step)
            for point in points
            for tag, value in point.figures.items()
        ]
        for first in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[first : first + MOST_METRICS])

    def close(self, state: str, why: str | None) -> None:
        """See `Tracker.close`."""
        if why is not None:
            self._client.set_tag(self._id, "stopped", why)
        self._client.set_terminated(self._id, STATES[state], int(1000 * time.time()))
