"""A Slurm of one node on loopback for tests: munged, slurmctld and slurmd of Debian's packages slurm-wlm and munge.

It needs neither root nor systemd, cgroups or a database. It differs in this from most clusters: jobs are accounted
nowhere (there is no sacct); the processes of a job are a process group, so one that leaves the group outlives the job;
the scheduler looks for work every second, a job that is requeued waits for 5 s and not for 120, and SIGKILL follows
SIGTERM after 5 s and not after 30.

By hand, `python tests/helpers/slurm.py` starts one and prints the environment for its clients.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

NODE = "node"
PARTITION = "tests"
DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue")
DEADLINE = 60
"""Seconds after which what does not happen counts as failed, however busy the machine is."""
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
"""The states of jobs that have ended."""
LINUX_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of <sys/prctl.h>."""


class SlurmError(Exception):
    """Slurm refused a command."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.message = done.returncode, done.stderr.strip()
        super().__init__(f"{done.args} ends with {done.returncode}: {done.stderr}{done.stdout}")


def program(name: str) -> str | None:
    """Where a program is; the daemons are in directories that not every user's PATH has."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))


def missing() -> tuple[str, ...]:
    """The programs that are not installed."""
    return tuple(name for name in (*DAEMONS, *CLIENTS) if program(name) is None)


def version() -> tuple[int, int]:
    text = subprocess.run([str(program("slurmctld")), "-V"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+)\.(\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


class Slurm:
    """The daemons; a context manager that starts them and, at the end, stops them and their jobs.

    Its data is deleted then. Neither data nor processes outlive this process, not even one that is killed.
    """

    def __init__(self, cpus: int = 8, kill_wait: int = 5) -> None:
        """The node says that it has `cpus`, whatever it has; SIGKILL comes `kill_wait` seconds after SIGTERM."""
        if names := missing():
            raise FileNotFoundError(f"there is no {', '.join(names)}; install slurm-wlm and munge")
        self._cpus, self._kill_wait = cpus, kill_wait
        self._directory = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="slurm-"))
        try:
            # Another process may take a port between its choice and its use.
            for _ in range(5):
                if self._start():
                    return self
            raise AssertionError(f"Slurm does not start: {self.log()}")
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process whose descendants are all daemons and jobs."""
        assert self._process is not None
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Where its data and its logs are."""
        return self._directory

    def environment(self) -> dict[str, str]:
        """What clients find it by."""
        return {"SLURM_CONF": str(self._directory / "slurm.conf")}

    def log(self) -> str:
        """What the daemons wrote."""
        files = (self._directory / f"{name}.log" for name in DAEMONS)
        return "\n".join(one.read_text(encoding="utf-8", errors="replace") for one in files if one.exists())

    # The processes

    def _configure(self) -> None:
        user = pwd.getpwuid(os.getuid()).pw_name
        host = socket.gethostname().partition(".")[0]
        ports = free_ports(2)
        values = {
            "ClusterName": "tests",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": ports[0],
            "SlurmdPort": ports[1],
            "SlurmUser": user,
            "SlurmdUser": user,
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
            # Seconds until a requeued job may start again: it cannot be less than 5.
            "AuthInfo": f"socket={self._directory}/munge.socket,cred_expire=5",
            "StateSaveLocation": self._directory / "state",
            "SlurmdSpoolDir": self._directory / "spool",
            "SlurmctldPidFile": self._directory / "slurmctld.pid",
            "SlurmdPidFile": self._directory / "slurmd.pid",
            # linuxproc does not find the children of a script that has ended.
            "ProctrackType": "proctrack/pgid",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "SlurmdParameters": "config_overrides",
            "SchedulerParameters": "sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
            "KillWait": self._kill_wait,
            # Seconds after which jobs that have ended are forgotten; 0 would forget some at once.
            "MinJobAge": 100_000,
            "MailProg": "/bin/true",
            "ReturnToService": 2,
        }
        lines = [f"{name}={value}" for name, value in values.items()]
        lines.append(f"NodeName={NODE} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={self._cpus} RealMemory=4096")
        lines.append(f"PartitionName={PARTITION} Nodes={NODE} Default=YES MaxTime=INFINITE State=UP")
        (self._directory / "slurm.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
        # Earlier versions do not know the word, and later ones would need control of cgroups.
        if version() >= (23, 2):
            (self._directory / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="utf-8")

    def _start(self) -> bool:
        """Starts the daemons and waits for the node; false where a daemon ends at once."""
        for name in ("state", "spool"):
            shutil.rmtree(self._directory / name, ignore_errors=True)
            (self._directory / name).mkdir()
        self._configure()
        (self._directory / "munge.socket").unlink(missing_ok=True)
        key = self._directory / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        # munged demands that everyone can reach its socket.
        self._directory.chmod(0o711)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "supervise", self._directory],
            env={"PATH": os.environ.get("PATH", os.defpath), **self.environment()},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._stop()
                return False
            # Clients repeat for seconds what a controller that is not there does not answer.
            if (self._directory / "state" / "clustername").exists():
                with contextlib.suppress(SlurmError):
                    if self.run("sinfo", "--noheader", "--format=%T").strip() == "idle":
                        return True
            time.sleep(0.05)
        raise AssertionError(f"Slurm does not answer: {self.log()}")

    def _stop(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._process = None

    # Commands

    def run(self, *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Runs a client, such as `sbatch`, and returns what it prints; `env` is in addition to the environment."""
        found = program(str(command[0]))
        assert found is not None, command
        # The tests may themselves run in a job of another cluster.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SLURM"))}
        done = subprocess.run(
            [found, *command[1:]],
            env={**kept, **self.environment(), **(env or {})},
            cwd=cwd or self._directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SlurmError(done)
        return done.stdout

    def submit(self, directory: Path, script: str, *options: str) -> str:
        """Submits the lines of a bash script, which runs in `directory`, and returns the number of the job."""
        file = directory / f"script-{secrets.token_hex(4)}.sh"
        file.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        return self.run("sbatch", "--parsable", *options, file, cwd=directory).strip()

    def states(self, job: str) -> dict[str, str]:
        """The states of a job's elements by their names, such as `7_0`; that of a job that is no array by `7`."""
        lines = self.run("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%i %T")
        return dict(sorted((name, state) for name, state in (line.split() for line in lines.splitlines())))

    def show(self, job: str) -> dict[str, dict[str, str]]:
        """What `scontrol show job` says of each element, by the names that `states` has."""
        lines = self.run("scontrol", "--oneliner", "show", "job", job).splitlines()
        found: dict[str, dict[str, str]] = {}
        for line in filter(None, lines):
            values = dict(re.findall(r"(\S+?)=(\S*)", line))
            array = "ArrayTaskId" in values
            found[f"{values['ArrayJobId']}_{values['ArrayTaskId']}" if array else values["JobId"]] = values
        return found

    def wait(self, job: str, *, states: set[str] | None = None, seconds: int = DEADLINE) -> dict[str, str]:
        """Waits until each element is in one of `states`, or has ended, and returns the states."""
        deadline = time.monotonic() + seconds
        while not set((found := self.states(job)).values()) <= (states or ENDED):
            if time.monotonic() > deadline:
                raise AssertionError(f"{found}\n{self.show(job)}\n{self.log()}")
            time.sleep(0.1)
        return found

    def fail_node(self) -> None:
        """Lets the node fail, and come back at once: its jobs are ended, and those that may be are requeued."""
        self.run("scontrol", "update", f"NodeName={NODE}", "State=DOWN", "Reason=test")


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    parents: dict[int, list[int]] = {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            # A process may end meanwhile. The name of the program may hold spaces and parentheses.
            with contextlib.suppress(OSError):
                parent = int((one / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(one.name))
    todo = [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        yield from children
        todo += children


def supervise(directory: Path) -> int:
    """Runs the daemons until standard input ends, then ends them and all jobs and deletes the data.

    It ends with 1, and deletes nothing, where a daemon ends before.
    """
    # A job's processes have sessions of their own. When their parents end they become children of this process.
    ctypes.CDLL(None).prctl(LINUX_SUBREAPER, 1, 0, 0, 0)
    daemons: set[int] = set()
    ended: set[int] = set()

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                ended.add(pid)
        if daemons & ended:
            end(1)

    def end(code: int) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        while pids := list(descendants(os.getpid())):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.wait()
        if code == 0:
            shutil.rmtree(directory, ignore_errors=True)
        os._exit(code)

    def start(name: str, *options: str) -> None:
        with (directory / f"{name}.log").open("ab") as log:
            command = [str(program(name)), *options]
            process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # It is not for `subprocess` to wait for it.
        process.returncode = 0
        daemons.add(process.pid)
        reap()

    signal.signal(signal.SIGCHLD, reap)
    names = {"key-file": "munge.key", "log-file": "munge.log", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    files = [f"--{name}={directory / file}" for name, file in names.items()]
    # The node and its clients complain of fewer threads.
    start("munged", "--foreground", "--force", "--num-threads=10", f"--socket={directory}/munge.socket", *files)
    while not (directory / "munge.socket").exists():
        time.sleep(0.01)
    start("slurmctld", "-D")
    start("slurmd", "-D")
    sys.stdin.buffer.read()
    end(0)
    return 0


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Slurm() as slurm:
        print("".join(f"export {name}={value}\n" for name, value in slurm.environment().items()), end="", flush=True)
        signal.pause()


if __name__ == "__main__":
    if sys.argv[1:2] == ["supervise"]:
        sys.exit(supervise(Path(sys.argv[2])))
    main()
