"""Everything the command was told, as one record.

1. What concerns one server is in `server`, a `Config`; the other fields are about processes,
   code and log files.
2. The record is plain values: it can be pickled, and nothing in it is open or running. Log files
   are opened by the process that writes to them, which then asks for its `config`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from greenworld.wsgi.config import Config
from greenworld.wsgi.log import LogStream

__all__ = ["DEFAULT_BIND", "Settings"]

DEFAULT_BIND = "127.0.0.1:8000"
"""Where the command listens when it is told nothing and was passed no sockets."""


@dataclass(frozen=True)
class Settings:
    """What `python -m greenworld.wsgi` does. Times in seconds; `docs/wsgi-options.md` has more."""

    app: str = ""
    """The application, as `MODULE:ATTRIBUTE`."""
    bind: tuple[str, ...] = ()
    """The addresses; none: the sockets that systemd passed, or else `DEFAULT_BIND`."""
    reuse_port: bool = False
    """Whether each worker has listening sockets of its own (SO_REUSEPORT)."""
    workers: int | None = None
    """Worker processes under a supervisor; None: this process serves, without one."""
    preload: bool = False
    """Whether the supervisor imports the application before it starts workers."""
    chdir: str | None = None
    """The working directory; whoever made this record has changed to it already."""
    app_dir: str | None = None
    """The directory put at the front of `sys.path`; None for the working directory."""
    patch: bool = True
    """Whether the standard library is patched before the application is imported."""
    reload: bool = False
    """Whether the server restarts when the code changes."""
    reload_dir: tuple[str, ...] = ()
    """Further directories to watch, every file of which counts."""
    show_load_errors: bool = False
    """Whether an application that cannot be loaded is replaced by a page that says why."""
    worker_timeout: float = 30.0
    """How long a worker's hub may not turn before the worker is killed; 0: for ever."""
    max_requests: int = 0
    """Requests after which a worker is replaced; 0: never."""
    max_requests_jitter: int = 0
    """The most that is added to `max_requests`, for each worker at random."""
    access_log: str | None = "-"
    """The file of the access log; `-` for standard output, None for no access log."""
    error_log: str = "-"
    """The file of the error log; `-` for standard error."""
    log_config: str | None = None
    """A file for `logging.config`; both logs then go through `logging`."""
    key_password_file: str | None = None
    """The file that holds the password of the TLS key."""
    server: Config = field(default_factory=Config)
    """The settings of a server, without its logs."""

    def config(
        self, *, access_log: LogStream | None = None, error_log: LogStream | None = None
    ) -> Config:
        """Return the settings of one server that writes to these logs."""
        return replace(self.server, access_log=access_log, error_log=error_log)
