"""Reports: uncaught errors, and who waits for what.

Owns the replaceable handler of uncaught errors and the words of the deadlock
report. Reads tasks; changes nothing.
"""

from __future__ import annotations

import sys

from greenworld.hub.task import Guest
from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from greenworld.hub.loop import Hub
    from greenworld.hub.task import Task

    ErrorHandler = Callable[[str, BaseException], object]

__all__ = ["blocked_tasks", "describe", "report_blocked", "report_error", "set_error_handler"]

MAX_REPORTED = 200
STACK_DEPTH = 6


def _traceback() -> ModuleType:
    """The module, loaded when it is needed: it is an eighth of the time of `import greenworld`."""
    import traceback

    return traceback


def print_error(where: str, error: BaseException) -> None:
    """The default handler: the full traceback on `sys.stderr`."""
    if sys.stderr is None:
        return
    lines = _traceback().format_exception(type(error), error, error.__traceback__)
    sys.stderr.write(f"Exception in {where}:\n{''.join(lines)}")


_handler: ErrorHandler = print_error


def set_error_handler(handler: ErrorHandler | None) -> ErrorHandler:
    """Replace the handler of uncaught errors; None restores the default. Returns the old one.

    It is called once per error as `handler(where, error)`, in the green
    thread that ends; `where` names it. It may block.
    """
    global _handler
    previous = _handler
    _handler = print_error if handler is None else handler
    return previous


def report_error(where: str, error: BaseException) -> None:
    """Hand `error` to the handler. An error of the handler itself is printed as well."""
    try:
        _handler(where, error)
    except BaseException as second:  # noqa: BLE001 - printed, and whoever waits is still told
        print_error(where, error)
        print_error(f"the error handler for {where}", second)


def blocked_tasks(hub: Hub) -> Iterator[Task]:
    """Every task of `hub` that is parked: main first, then green threads, then guests."""
    for task in hub.tasks():
        if task.lot is not None and task.lot is not hub.ready:
            yield task


def describe(task: Task) -> str:
    """One task: what it waits on, who holds that, where it was spawned and where it stands."""
    lines = [f"{task.name} waits: {_wait_of(task)}"]
    holders = _holders_of(task.waiting_on)
    if holders:
        lines.append(f"    held by {', '.join(holders)}")
    spawned = getattr(task, "spawned_at", None)
    if spawned is not None:
        lines.append(f"    spawned at {spawned}")
    elif isinstance(task, Guest):
        lines.append(f"    started by {task.host.name}")
    frame = None if task.greenlet is None else task.greenlet.gr_frame
    if frame is not None:
        entries = _traceback().extract_stack(frame)
        stack = [entry for entry in entries if not _internal(entry.filename)]
        for entry in stack[-STACK_DEPTH:]:
            lines.append(f"    at {entry.filename}:{entry.lineno} in {entry.name}: {entry.line}")
    return "\n".join(lines)


def _wait_of(task: Task) -> str:
    what = task.waiting_on
    describe_wait = getattr(what, "describe_wait", None)
    words: str = f"{what!r}" if describe_wait is None else describe_wait(task.lot)
    return words


def _holders_of(what: Any) -> list[str]:
    holders: Callable[[], Iterable[Any]] | None = getattr(what, "holders", None)
    if holders is None:
        return []
    return [_name_of(holder) for holder in holders()]


def _name_of(holder: Any) -> str:
    holder = getattr(holder, "task", holder)  # the greenlet that took it before its hub was made
    return getattr(holder, "name", None) or repr(holder)


def _internal(filename: str) -> bool:
    """Whether a frame belongs to the hub itself and would only be noise."""
    return filename.startswith(_HUB_FOLDER)


_HUB_FOLDER = __file__[: -len("report.py")]


def report_blocked(hub: Hub) -> str:
    """All blocked tasks of `hub`, one paragraph each."""
    blocked = list(blocked_tasks(hub))
    lines = [describe(task) for task in blocked[:MAX_REPORTED]]
    if len(blocked) > MAX_REPORTED:
        lines.append(f"… and {len(blocked) - MAX_REPORTED} more")
    return "\n".join(lines)
