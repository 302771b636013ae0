"""The command `python -m greenworld.wsgi APP`: from what it is told to a server that runs.

1. The options are read and checked before anything is patched, imported or listened on. What the
   user can mend is one line on standard error; wrong usage is exit code 2.
2. The directory is changed before files are opened, except the one of `--config`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from greenworld.wsgi.command.building import build, change_directory
from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.command.reading import read
from greenworld.wsgi.command.running import run
from greenworld.wsgi.command.settings import Settings

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code. **Blocks** until the server has stopped."""
    start_directory = os.getcwd()
    try:
        given = read(argv, os.environ)
        if given["show_config"].value:
            # Imported only when it is asked for: serving needs no JSON. TOML is always UTF-8.
            showing = importlib.import_module("greenworld.wsgi.command.showing")
            sys.stdout.buffer.write(showing.show_all(given).encode("utf-8", "backslashreplace"))
            return 0
        change_directory(given)
        settings = build(given)
        if settings.reload:
            return _run_reloading(settings, start_directory)
    except SettingsError as error:
        print(f"greenworld.wsgi: {error}", file=sys.stderr)
        return 2
    return run(settings)


def _run_reloading(settings: Settings, start_directory: str) -> int:
    # Imported only when it is asked for: it needs watchfiles, which need not be installed.
    try:
        reload = importlib.import_module("greenworld.wsgi.command.reload")
    except ModuleNotFoundError as error:
        if error.name != "watchfiles":
            raise
        raise SettingsError("--reload needs watchfiles: pip install 'greenworld[reload]'") from None
    return int(reload.run_reloading(settings, start_directory))
