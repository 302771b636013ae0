"""Runs the command line: `python -m greenworld.wsgi`."""

import sys

from greenworld.wsgi.cli import main

sys.exit(main())
