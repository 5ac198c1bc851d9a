"""`albert-fast`, and `python -m albert_fast`."""

import os
import sys

from albert_fast import _signals


def main() -> int:
    """Runs the command line. Loading it takes so long that a Ctrl-C may arrive meanwhile."""
    _open_streams()
    try:
        with _signals.ending_at_ctrl_c():
            from albert_fast import cli
    except KeyboardInterrupt:
        print("albert-fast: stopped", file=sys.stderr)
        return 130
    return cli.main()


def _open_streams() -> None:
    """Opens standard streams that are closed, as with `2>&-`, on the null device.

    Python has None instead of them. And a file that a command opens would get the number of the stream, so that
    libraries would write their messages to it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


if __name__ == "__main__":
    sys.exit(main())
