"""Native threads for what cannot be made cooperative: `greenworld.native.run(function, *args)`."""

from greenworld.hub.native import run

__all__ = ["run"]
