"""Runs the command line: `python -m greenworld.wsgi`."""

import sys

from greenworld.wsgi.command.cli import main

sys.exit(main())
