"""``python -m trainer``: `albert-fast pretrain`, and with `evaluate` as its first word `albert-fast evaluate`."""

import sys

from albert_fast.cli import main

arguments = sys.argv[1:]
if arguments[:1] not in (["pretrain"], ["evaluate"]):
    arguments = ["pretrain", *arguments]
sys.exit(main(arguments))
