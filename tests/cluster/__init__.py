"""Tests of work that is shared by tasks. A package, so that its fixtures can be beside it."""
