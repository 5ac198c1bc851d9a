"""`albert-fast`, and `python -m albert_fast`."""

import sys

from albert_fast import _signals


def main() -> int:
    """Runs the command line. Loading it takes so long that a Ctrl-C may arrive meanwhile."""
    try:
        with _signals.ending_at_ctrl_c():
            from albert_fast import cli
    except KeyboardInterrupt:
        print("albert-fast: stopped", file=sys.stderr)
        return 130
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
