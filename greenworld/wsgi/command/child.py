"""The child of `--reload`: `python -m greenworld.wsgi.command.child FD`.

The descriptor is a pipe with everything it has to know, which is not on its command line: the
password of a key may be part of it.
"""

from __future__ import annotations

import os
import pickle
import sys

from greenworld.wsgi.command.running import run

__all__ = ["main"]


def main() -> int:
    """Serve as the parent says; return the exit code. **Blocks**."""
    with open(int(sys.argv[1]), "rb") as pipe:
        try:
            settings, lifeline, directory, sys.argv = pickle.load(pipe)
        except EOFError:  # the parent was killed meanwhile
            return 1
    os.chdir(directory)
    return run(settings, lifeline)


if __name__ == "__main__":
    sys.exit(main())
