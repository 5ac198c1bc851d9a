"""Tests of work on several machines. A package, so that its fixtures can be beside it."""
