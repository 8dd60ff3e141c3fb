"""Inputs of the suites: the mixed capture, in the page cache."""

import pytest

from netfast.bench import harness


@pytest.fixture(scope="session")
def capture():
    path, packets = harness.mixed_capture()
    harness.warm(path)
    return path, packets
