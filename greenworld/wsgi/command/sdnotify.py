"""Tells systemd how the server is: ready, reloading, stopping, alive.

One datagram for each message, to the socket that `NOTIFY_SOCKET` names; without the variable
nothing is said. Not being heard never stops the server.

**Source**: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_DGRAM
from _socket import socket as RawSocket
from collections.abc import MutableMapping
from time import CLOCK_MONOTONIC, clock_gettime_ns
from typing import Final

__all__ = ["Notifier", "take_notifier"]

PATIENCE: Final = 1.0
"""Seconds that a message may wait for room in the queue of a manager that is busy."""


class Notifier:
    """Who is to be told. `address` is that of a datagram socket, empty for nobody.

    `watchdog` is how often, in seconds, the manager wants to hear of the server at the least;
    0 for never. Sends with the plain socket class: a message is there when a method returns.
    """

    __slots__ = ("_address", "watchdog")

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog = watchdog if address else 0.0

    def ready(self, status: str) -> None:
        """The server serves: for the first time, or after a reload."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Something is exchanged; `ready` follows, whatever comes of it."""
        now = clock_gettime_ns(CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading")

    def stopping(self) -> None:
        """The server stops."""
        self._tell("STOPPING=1\nSTATUS=stopping")

    def alive(self) -> None:
        """A sign of life, for the watchdog."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        sock = RawSocket(AF_UNIX, SOCK_DGRAM, 0)
        try:
            sock.settimeout(PATIENCE)
            sock.sendto(message.encode(), self._address)
        except OSError:
            pass  # the manager is gone, or does not listen
        finally:
            sock.close()


def take_notifier(environ: MutableMapping[str, str]) -> Notifier:
    """Return the notifier that `environ` describes, and take its variables out of there.

    They are meant for this process, not for its children.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    microseconds = environ.pop("WATCHDOG_USEC", "")
    pid = environ.pop("WATCHDOG_PID", "")
    watched = microseconds.isascii() and microseconds.isdigit() and pid in ("", str(os.getpid()))
    # Twice as often as asked for: a message may be late.
    return Notifier(address, int(microseconds) / 2e6 if watched else 0.0)
