"""The sockets that systemd opened for this process (socket activation).

They are used when no address was asked for. Their variables are taken out of the environment
either way: they are meant for this process, not for its children.

**Source**: sd_listen_fds(3).
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Final

from greenworld.wsgi.command.settings import DEFAULT_BIND, Settings

__all__ = ["binds_of", "take_passed"]

FIRST_FD: Final = 3


def binds_of(settings: Settings, environ: MutableMapping[str, str]) -> tuple[str, ...]:
    """Return the addresses to listen on: those asked for, else the sockets passed, else 8000.

    Takes systemd's variables out of `environ`.
    """
    passed = take_passed(environ)
    return settings.bind or passed or (DEFAULT_BIND,)


def take_passed(environ: MutableMapping[str, str]) -> tuple[str, ...]:
    """Return the sockets passed to this very process, as `fd://N`; none if there are none."""
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    for name in ("LISTEN_FDNAMES", "LISTEN_PIDFDID"):
        environ.pop(name, None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return ()
    return tuple(f"fd://{fd}" for fd in range(FIRST_FD, FIRST_FD + int(count)))
