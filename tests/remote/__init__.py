"""Tests of remote storage. A package, so that its fixtures can be beside it."""
