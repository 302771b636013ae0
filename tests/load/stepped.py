"""`python -m greenworld.wsgi`, whose wall clock `/step/SECONDS` of the application sets.

Nobody may step the clock of a machine that others use. What the server knows of the time of day
it learns from `greenworld.wsgi.clock`, as `test_clock.py` makes sure.
"""

import sys
import time

from greenworld.wsgi import clock
from greenworld.wsgi.command.cli import main
from tests.load.application import steps

clock.time = lambda: time.time() + sum(steps)  # type: ignore[attr-defined]

if __name__ == "__main__":
    sys.exit(main())
