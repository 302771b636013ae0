"""`server(sock, app, …)` under eventlet's name and with the arguments its users pass.

What is meaningless here (`protocol`, `custom_pool`, `log_format`, …) is not accepted: a wrong
guess would be silent, a TypeError says what to change.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from greenworld.wsgi.config import Config
from greenworld.wsgi.gateway import Application
from greenworld.wsgi.http1 import Limits
from greenworld.wsgi.listener import SocketLike
from greenworld.wsgi.log import LogStream
from greenworld.wsgi.logger import LoggerStream
from greenworld.wsgi.server import Server

__all__ = ["server"]


def server(
    sock: SocketLike,
    site: Application,
    log: logging.Logger | LogStream | None = None,
    environ: dict[str, Any] | None = None,
    max_size: int | None = 1024,
    *,
    keepalive: bool | float = True,
    log_output: bool = True,
    url_length_limit: int = 8192,
    socket_timeout: float | None = None,
) -> None:
    """Serve `site` on a listening socket until the calling green thread is killed. **Blocks**.

    `log` takes the access log (a logger at level INFO, or a file; default `sys.stderr`),
    `max_size` bounds the open connections, `keepalive` is a switch or the idle time in
    seconds, `socket_timeout` bounds each wait for the client. When it ends by an exception,
    requests that are being answered may finish within the graceful time.

    **Source**: eventlet's `wsgi.server`.
    """
    stream: LogStream | None = None
    if log_output:
        stream = (
            LoggerStream(log, logging.INFO)
            if isinstance(log, logging.Logger)
            else log or sys.stderr
        )
    defaults = Config()
    idle = defaults.keep_alive if keepalive is True else float(keepalive)
    config = Config(
        keep_alive=idle,
        body_timeout=defaults.body_timeout if socket_timeout is None else socket_timeout,
        write_timeout=defaults.write_timeout if socket_timeout is None else socket_timeout,
        head_timeout=defaults.head_timeout if socket_timeout is None else socket_timeout,
        limits=Limits(line=url_length_limit),
        max_connections=max_size,
        environ=environ or {},
        access_log=stream,
    )
    running = Server(site, [sock], config=config)
    try:
        running.serve_forever()
    finally:
        running.stop()
