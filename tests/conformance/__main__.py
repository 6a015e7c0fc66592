"""Runs the suite where it is installed: `python -m audiencegateway_conformance --vendor acme`, and pytest's options."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

if __name__ == "__main__":
    # Its own settings, not those of whatever project this is called in; and nothing is written beside it.
    own = ["-c", str(HERE / "outside.ini"), "--rootdir", str(HERE.parent), "-p", "no:cacheprovider"]
    sys.exit(pytest.main([*own, str(HERE), *sys.argv[1:]]))
