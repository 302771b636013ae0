"""Runs the command line: `python -m greenworld`."""

import sys

if sys.argv[1:2] == ["doctor"]:
    from greenworld.doctor import main
else:
    from greenworld.launcher import main

main()
