"""What a command says that was one of several tasks."""

from albert_fast.cli.common import info
from albert_fast.options import TaskOptions
from albert_fast.tasks import Task


def report_task(task: Task, options: TaskOptions, thing: str) -> None:
    """Reports what a task has done, in one line.

    Args:
        task: what it has done.
        options: the number of the task, and how many there are.
        thing: the noun for what tasks divide, such as "shard".
    """
    own, total = task.range, task.total
    there = f"; {task.complete:,} of {total:,} are there in all"
    if total == 1:
        state = "is complete" if task.complete else "is not complete yet"
        nothing = f"there is nothing to do: another task makes the {thing}, which {state}"
        what = f"the {thing} {state}" if own else nothing
        there = ""
    elif len(own) > 1:
        what = f"{thing}s {own[0]:,} to {own[-1]:,} of {total:,} are complete"
    elif own:
        what = f"{thing} {own[0]:,} of {total:,} is complete"
    else:
        what = f"there is nothing to do, because there are more tasks than {thing}s ({total:,})"
    rounds = f", round {task.round} of {task.rounds}" if task.rounds > 1 else ""
    again = "; run all tasks again when every task has ended" if task.round < task.rounds else ""
    info(f"task {options.task_id:,} of {options.num_tasks:,}{rounds}: {what}{there}{again}")
