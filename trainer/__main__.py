"""``python -m trainer``: `albert-fast pretrain`, and with `evaluate` as its first word `albert-fast evaluate`."""

import sys

from albert_fast.__main__ import main

if sys.argv[1:2] not in (["pretrain"], ["evaluate"]):
    sys.argv.insert(1, "pretrain")
sys.exit(main())
