"""The server under load and fault, in full: `python -m tests.load [pytest's options]`.

The ordinary test run has the short form, which loads less and judges no figure. The full one
opens 10,000 connections, moves gigabytes, judges what it measures, and prints it.
"""

import sys

import pytest

# Half a minute of load is no hang, as it would be in the ordinary run.
FULL = ["tests/load", "--full", "-o", "faulthandler_timeout=600"]

if __name__ == "__main__":
    sys.exit(pytest.main([*FULL, *sys.argv[1:]]))
