"""`albert-fast report`."""

import importlib.util
from pathlib import Path

from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, UsageError, check_output_dir, info
from albert_fast.cli.fetching import refuse_remote
from albert_fast.files import resolved
from albert_fast.options import Report
from albert_fast.paths import as_path
from albert_fast.text import number
from trainer.folder import METRICS, OPTIONS, REPORT, is_run
from trainer.report import journal
from trainer.report.compare import write_comparison
from trainer.report.page import GENERATOR
from trainer.report.report import write_report


@command(Report)
def report(options: Report, given: frozenset[str]) -> None:
    r"""Write the report of a run, or compare runs.

        albert-fast report run-1 run-2 --output comparison.html

    It reads only the files of the runs, which may be in progress, and needs no TensorFlow. Without --output, it writes
    report.html of the only RUN.
    """
    output = options.output
    if output is None and len(options.runs) > 1:
        raise UsageError(f"pass --output FILE for the comparison of {number(len(options.runs), 'run')}")
    refuse_remote(output=output)
    for run in options.runs:
        refuse_remote(RUN=run)
    runs = [as_path(run) for run in options.runs]
    _check_runs(runs)
    path = runs[0] / REPORT if output is None else output
    check_output_dir(path.absolute().parent)
    if output is not None:
        _check_output(output)
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError('report needs matplotlib: pip install ".[report]" in the clone')
    if len(runs) == 1:
        write_report(runs[0], path)
        info(f"wrote the report of {runs[0]} to {path}")
    else:
        write_comparison(runs, path)
        info(f"wrote the comparison of {number(len(runs), 'run')} to {path}")


def _check_runs(runs: list[Path]) -> None:
    """Refuses what is no run, what has nothing to show, and a run that is given twice."""
    seen: dict[Path, Path] = {}
    for run in runs:
        if not run.is_dir():
            raise CommandError(f"RUN must be the output directory of pretrain, but {run} is not a directory")
        if not is_run(run):
            raise CommandError(
                f"RUN must be the output directory of pretrain, but {run} has no {OPTIONS}; pass the directory that "
                "was its --output-dir"
            )
        whole = resolved(run)
        if whole in seen:
            same = f"{run} is given twice" if run == seen[whole] else f"{seen[whole]} and {run} are the same"
            raise UsageError(f"RUN must be different directories, but {same}; remove one")
        seen[whole] = run
        if all("start" in line for line in journal.read(run / METRICS)):
            raise CommandError(
                f"{run} has no metrics yet: {METRICS} has no line of training or evaluation; wait for the first one"
            )


def _check_output(output: Path) -> None:
    """Refuses to replace a file that is no report, and a directory."""
    if str(output) == "-":
        raise UsageError("--output must be a file, got -; pass a path such as report.html")
    if output.is_dir():
        raise CommandError(f"--output must be a file, but {output} is a directory")
    if not output.exists() or (output.name == REPORT and is_run(output.parent)):
        return
    with output.open("rb") as file:
        if GENERATOR.encode() not in file.read(4096):
            raise CommandError(f"{output} exists and is not a report; pass another --output")
