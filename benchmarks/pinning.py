"""Which core a process runs on.

Everything that is compared runs on one and the same core, whoever drives it on another; where the
platform cannot pin (macOS) or has one core only, the report says so.
"""

import os


def available_cores() -> list[int]:
    """The cores this process may use, or none where the platform cannot say."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def pin(core: int | None) -> None:
    """Keep this process, and what it starts from now on, on *core*; `None` leaves it free."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def describe_pinning(core: int | None) -> str:
    """Where the measured code runs, in words for the report."""
    return "not pinned to a core" if core is None else f"pinned to core {core}"
