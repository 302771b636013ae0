"""The table of patches: everything that `monkey_patch` replaces, and nothing else.

Imports no module that it patches: replacements are names, resolved when they
are applied. A row whose module or attribute this Python does not have is
skipped; that is how private names that come and go between releases are met.
`since` and `until` say which releases those are; no code asks them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "GROUPS",
    "LATE",
    "LATE_SETTLERS",
    "OPTIONAL",
    "PATCHES",
    "SETTLERS",
    "Patch",
    "is_late",
]


class Patch(NamedTuple):
    """One replaced name."""

    group: str
    """The keyword of `monkey_patch` that chooses it."""
    module: str
    """The standard module whose attribute it is."""
    attribute: str
    """What is assigned; dotted for a method of a class."""
    replacement: str
    """`module:name` of what is assigned instead."""
    since: str = ""
    """The first CPython that has the name, where some supported one has not: "3.13"."""
    until: str = ""
    """The last CPython that has it: "3.12"."""

    def __str__(self) -> str:
        return f"{self.module}.{self.attribute}"


def _methods(home: str, names: str) -> list[Patch]:
    """Rows of methods of the class `socket.socket`."""
    return _renamed("socket", "socket", home, names, "socket.")


def _threads(module: str, names: str, since: str = "", until: str = "") -> list[Patch]:
    """Rows of what is replaced by something of `greenworld.patches.thread`."""
    rows = _renamed("thread", module, "thread", names)
    return [row._replace(since=since, until=until) for row in rows]


def _renamed(group: str, module: str, home: str, names: str, prefix: str = "") -> list[Patch]:
    """Rows of attributes, `name=replacement` where the names differ."""
    rows = []
    for entry in names.split():
        name, _, function = entry.partition("=")
        target = f"greenworld.patches.{home}:{function or name}"
        rows.append(Patch(group, module, f"{prefix}{name}", target))
    return rows


def _policies(name: str, since: str = "", until: str = "") -> list[Patch]:
    """The row of the base class of asyncio's policies, whose name depends on the release."""
    local = "greenworld.patches.asyncio:PolicyLocal"
    return [Patch("asyncio", "asyncio.events", f"{name}._Local", local, since, until)]


def _locks(module: str, names: str, since: str = "") -> list[Patch]:
    lock = "greenworld.hub.lock:Lock"
    return [Patch("thread", module, name, lock, since) for name in names.split()]


GROUPS = (
    *("time", "socket", "select", "thread", "os"),
    *("signal", "subprocess", "multiprocessing", "asyncio", "psycopg"),
)
"""In the order of their application."""

OPTIONAL = ("builtins", "stdin", "fcntl")
"""Groups that are patched only when they are named; applied after the others."""

LATE = (
    *("ssl", "_ssl", "subprocess", "_posixsubprocess", "multiprocessing", "_multiprocessing"),
    *("asyncio", "_asyncio", "concurrent", "psycopg", "psycopg_c", "psycopg_binary", "psycopg2"),
    *("anyio", "trio"),
)
"""Modules, with all that is in them, whose rows wait until the program imports them."""

SETTLERS = {
    "signal": "greenworld.patches.signal:settle",
    "stdin": "greenworld.patches.stdin:settle",
    "thread": "greenworld.patches.thread:settle",
    "asyncio": "greenworld.patches.asyncio:settle",
}
"""What else has to be done for a group: a function that does it and returns the undo.

That of a group named like a late module waits for this module.
"""

LATE_SETTLERS: dict[str, tuple[str, str]] = {
    "_frozen_importlib": ("thread", "greenworld.patches.importing:settle"),
    "psycopg.waiting": ("psycopg", "greenworld.patches.psycopg:settle"),
    "psycopg2.extensions": ("psycopg", "greenworld.patches.psycopg2:settle"),
    "trio._core._thread_cache": ("asyncio", "greenworld.patches.executors:settle_trio"),
    "multiprocessing.synchronize": ("multiprocessing", "greenworld.patches.multiprocessing:settle"),
}
"""What has to be done when a module is imported: by its name, the group and the function."""


def is_late(module: str) -> bool:
    """Whether the module's rows wait for its import."""
    return module.partition(".")[0] in LATE


PATCHES: tuple[Patch, ...] = (
    *_renamed("time", "time", "time", "sleep"),
    # The class of the standard library, in place: `__init__` to `timeout`.
    *_methods("socket_life", "__init__=initialize bind connect connect_ex"),
    *_methods("socket_life", "settimeout gettimeout setblocking getblocking timeout"),
    *_methods("socket_life", "detach dup _real_close=close_for_real"),
    *_methods("socket_read", "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into accept"),
    *_methods("socket_write", "send sendall sendto sendmsg _sendfile_use_sendfile=use_sendfile"),
    *_renamed("socket", "socket", "resolver", "getaddrinfo getnameinfo"),
    *_renamed("socket", "socket", "resolver", "gethostbyname gethostbyname_ex gethostbyaddr"),
    # TLS runs on the same sockets: unpatched, it would not know how to wait for them.
    *(
        Patch("socket", "ssl", f"SSLSocket.{name}", f"greenworld.patches.tls:{name}")
        for name in ("do_handshake", "read", "send", "sendfile", "unwrap", "write")
    ),
    Patch("socket", "ssl", "SSLSocket._create", "greenworld.patches.tls:create"),
    Patch("socket", "_posixsubprocess", "fork_exec", "greenworld.patches.heirs:fork_exec"),
    Patch("socket", "subprocess", "_fork_exec", "greenworld.patches.heirs:fork_exec", since="3.11"),
    *_renamed("select", "select", "select", "select poll"),
    *_renamed("select", "select", "epoll", "epoll kqueue"),
    Patch("select", "selectors", "SelectSelector._select", "greenworld.patches.select:as_method"),
    *(
        Patch(
            "select", "selectors", f"{name}.select", f"greenworld.patches.selectors:{name}.select"
        )
        for name in ("PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector")
    ),
    # `threading.RLock` is a function that asks for `_CRLock` when it is called.
    *_locks("_thread", "allocate_lock allocate LockType"),
    *_locks("_thread", "lock", since="3.13"),
    *_locks("threading", "_allocate_lock Lock"),
    *_locks("threading", "_LockType", since="3.13"),
    Patch("thread", "_thread", "RLock", "greenworld.patches.rlock:RLock"),
    Patch("thread", "threading", "_CRLock", "greenworld.patches.rlock:RLock"),
    Patch("thread", "_thread", "_local", "greenworld.hub.local:local"),
    Patch("thread", "threading", "local", "greenworld.hub.local:local"),
    *_threads("_thread", "get_ident start_new_thread start_new=start_new_thread"),
    *_threads("_thread", "_count=count_threads"),
    *_threads("_thread", "_set_sentinel=set_sentinel", until="3.12"),
    *_threads("_thread", "start_joinable_thread _ThreadHandle=ThreadHandle", since="3.13"),
    *_threads("_thread", "_make_thread_handle=make_thread_handle", since="3.13"),
    *_threads("_thread", "_get_main_thread_ident=get_main_thread_ident", since="3.13"),
    *_threads("_thread", "_shutdown=join_threads", since="3.13"),
    *_threads("threading", "get_ident"),
    *_threads("threading", "_start_new_thread=start_new_thread", until="3.12"),
    *_threads("threading", "_set_sentinel=set_sentinel", until="3.12"),
    *_threads("threading", "_start_joinable_thread=start_joinable_thread", since="3.13"),
    *_threads("threading", "_ThreadHandle=ThreadHandle", since="3.13"),
    *_threads("threading", "_make_thread_handle=make_thread_handle", since="3.13"),
    *_threads("threading", "_get_main_thread_ident=get_main_thread_ident", since="3.13"),
    *_threads("threading", "_thread_shutdown=join_threads", since="3.13"),
    *_threads("threading", "_DummyThread.__init__=initialize_dummy"),
    *_threads("threading", "_thread_local_info=dummy_locals", since="3.13"),
    *_renamed("os", "os", "descriptors", "read readv write writev"),
    *_renamed("os", "os", "descriptors", "eventfd_read eventfd_write close closerange dup2"),
    *_renamed("os", "os", "fileio", "fdopen"),
    *_renamed("os", "os", "transfers", "sendfile splice"),
    *_renamed("builtins", "builtins", "fileio", "open=open_file"),
    *_renamed("builtins", "io", "fileio", "open=open_file"),
    *_renamed("builtins", "os", "fileio", "open=open_descriptor"),
    *_renamed("stdin", "builtins", "stdin", "input"),
    *_renamed("fcntl", "fcntl", "fcntl", "flock lockf fcntl"),
    *_renamed("os", "os", "children", "waitpid wait wait3 wait4 waitid system"),
    *_renamed("subprocess", "subprocess", "subprocess", "io=pipes_io"),
    *_renamed("subprocess", "subprocess", "subprocess", "_PopenSelector=PopenSelector"),
    *_renamed("subprocess", "subprocess", "subprocess", "_wait=wait_for_end", "Popen."),
    *_renamed("multiprocessing", "_multiprocessing", "multiprocessing", "SemLock"),
    *_renamed("multiprocessing", "multiprocessing.connection", "connections", "wait"),
    *_renamed("signal", "signal", "signal", "signal getsignal raise_signal set_wakeup_fd"),
    *_renamed("signal", "signal", "signal", "pause sigwait sigwaitinfo sigtimedwait"),
    *_renamed("signal", "signal", "sigmask", "pthread_kill pthread_sigmask"),
    # The executors' queue. The others wait on the locks of `threading`.
    Patch("thread", "queue", "SimpleQueue", "greenworld.hub.queue:SimpleQueue"),
    *_renamed("asyncio", "sys", "thread_state", "set_asyncgen_hooks"),
    *_renamed("asyncio", "sys", "thread_state", "set_coroutine_origin_tracking_depth"),
    *_renamed("asyncio", "asyncio", "asyncio", "_set_running_loop=set_running_loop"),
    *_renamed("asyncio", "asyncio.events", "asyncio", "_set_running_loop=set_running_loop"),
    *_renamed("asyncio", "asyncio.base_events", "asyncio", "run_in_executor", "BaseEventLoop."),
    *_renamed("asyncio", "asyncio.base_events", "asyncio", "_run_once=run_once", "BaseEventLoop."),
    *_policies("BaseDefaultEventLoopPolicy", until="3.13"),
    *_policies("_BaseDefaultEventLoopPolicy", since="3.14"),
    # What anyio gives to threads, because it blocks.
    *_renamed(
        "asyncio", "anyio._backends._asyncio", "executors", "start=start_natively", "WorkerThread."
    ),
)
