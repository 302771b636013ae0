"""What both kinds of serving process share."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from greenworld.wsgi.command.serving import explain_bind
from tests.wsgi.command.workers import Supervise, ask

BINDS = ("127.0.0.1:80", "unix:/run/x")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("an address is …"), "an address is …"),
        (
            OSError(errno.EADDRINUSE, "Address already in use", "unix:/run/x"),
            "cannot listen on unix:/run/x: Address already in use",
        ),
        (
            OSError(errno.EINVAL, "Invalid argument"),
            "cannot listen on 127.0.0.1:80, unix:/run/x: Invalid argument",
        ),
        (OSError("without a number"), "cannot listen on 127.0.0.1:80, unix:/run/x: without a"),
        (
            PermissionError(errno.EACCES, "Permission denied", "127.0.0.1:80"),
            "cannot listen on 127.0.0.1:80: Permission denied (ports below 1024 need",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "unix:/run/x"),
            "cannot listen on unix:/run/x: Permission denied",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "cert.pem"),
            "cannot use cert.pem: No such file or directory",
        ),
    ],
)
def test_why_an_address_cannot_be_listened_on(error: OSError | ValueError, text: str) -> None:
    said = explain_bind(error, BINDS)
    assert said.startswith(text)
    assert ("CAP_NET_BIND_SERVICE" in said) == ("below 1024" in text)


@pytest.mark.slow
def test_crashes_go_to_standard_error_where_the_log_is_no_file(
    supervise: Supervise, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"
    )
    (tmp_path / "log.json").write_text('{"version": 1}')
    one = supervise("app:app", "--bind", "127.0.0.1:0", "--log-config", "log.json")
    assert ask(one.port()) == b"x"
    one.send(signal.SIGABRT)
    assert one.end() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in one.err.text


@pytest.mark.slow
def test_a_worker_that_cannot_read_what_it_needs_says_why(
    supervise: Supervise, tmp_path: Path
) -> None:
    """What is wrong with a certificate is found out where it is used."""
    (tmp_path / "app.py").write_text("def app(environ, start_response):\n    return []\n")
    (tmp_path / "empty.pem").write_text("")
    one = supervise("app:app", "--workers", "2", "--bind", "127.0.0.1:0", "--certfile", "empty.pem")
    assert one.end() == 1
    assert one.err.text.count("the certificate in 'empty.pem'") == 1
