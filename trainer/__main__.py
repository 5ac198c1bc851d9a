"""``python -m trainer``: says that the trainer is not written yet."""

import sys

print(
    "trainer: error: the trainer is not written yet; the records of `albert-fast make-records` can be read by any "
    "trainer that reads those of google-research/ALBERT",
    file=sys.stderr,
)
sys.exit(1)
