"""From values to settings, and what does not go together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenworld.wsgi.command.building import build, change_directory
from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.command.kinds import Choice, Count, Seconds, Switch, Text
from greenworld.wsgi.command.option import Option
from greenworld.wsgi.command.options import BY_NAME
from greenworld.wsgi.command.reading import read
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.config import Config, Tls
from greenworld.wsgi.http1 import Limits


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    for name in ("c", "k", "ca", "c1", "k1", "c2", "X-Text"):
        (tmp_path / name).touch()
    (tmp_path / "password").write_text("geheim\nsecond line\n")
    (tmp_path / "latin").write_bytes(b"\xff\n")


def settings(*argv: str, **environ: str) -> Settings:
    return build(read(["a:b", *argv], {f"GREENWORLD_{key}": text for key, text in environ.items()}))


def test_defaults() -> None:
    assert settings() == Settings(app="a:b")
    assert settings().server == Config()


def test_values_go_into_their_records() -> None:
    made = settings(
        *("--workers", "2", "--no-patch", "--bind", ":0", "--access-log", "none"),
        *("--limit-head", "8K", "--max-body", "none", "--trusted-proxies", "10.0.0.0/8,unix"),
    )
    assert made == Settings(
        app="a:b",
        workers=2,
        patch=False,
        bind=(":0",),
        access_log=None,
        server=Config(
            limits=Limits(head=8192), max_body=None, trusted_proxies=("10.0.0.0/8", "unix")
        ),
    )


# For options whose values follow no general pattern: one that is not the default, as it is built.
SAMPLES = {
    "app": ("c:d", "c:d"),
    "app_dir": ("code", "code"),
    "chdir": ("code", "code"),
    "reload_dir": ("code", ("code",)),
    "bind": (":0,unix:x", (":0", "unix:x")),
    "trusted_proxies": ("10.0.0.0/8,unix", ("10.0.0.0/8", "unix")),
    "forwarded_parts": ("host", ("host",)),
    "alpn": ("h3,h4", ("h3", "h4")),
    "sni": ("a=c", {"a": ("c", None)}),
    "access_format": ("common", "common"),
    "key_password_file": ("password", "password"),
    "health_path": ("/up", "/up"),
}
COMPANIONS = {
    "preload": "--workers 2",
    "max_requests": "--workers 2",
    "max_requests_jitter": "--workers 2 --max-requests 5",
    "proxy_protocol": "--trusted-proxies 10.0.0.1",
    "client_cert": "--certfile c --client-ca ca",
    **dict.fromkeys(
        ("keyfile", "key_password_file", "client_ca", "tls_min", "ciphers", "alpn", "sni"),
        "--certfile c",
    ),
}


def sample(option: Option) -> tuple[str, object]:
    """A value that is not the default, as text and as it is built."""
    if option.name in SAMPLES:
        return SAMPLES[option.name]
    kind = option.kind
    if isinstance(kind, Switch):
        return ("off", False) if option.default else ("on", True)
    if isinstance(kind, (Seconds, Count)):
        return "7", 7
    if isinstance(kind, Choice):
        other = next(choice for choice in kind.choices if choice != option.default)
        return other, other
    assert isinstance(kind, Text)
    return "X-Text", "X-Text"


@pytest.mark.parametrize(
    "option", [one for one in BY_NAME.values() if one.record != "none"], ids=lambda one: one.name
)
def test_every_option_reaches_its_field(option: Option) -> None:
    text, value = sample(option)
    argv = COMPANIONS.get(option.name, "").split()
    environ = {option.variable: text}
    made = build(read(argv if option.name == "app" else ["a:b", *argv], environ))
    records = {
        "settings": made,
        "server": made.server,
        "limits": made.server.limits,
        "tls": made.server.tls,
    }
    found = getattr(records[option.record], option.field or option.name)
    assert found == value
    assert value != option.default


def test_tls() -> None:
    made = settings(
        *("--certfile", "c", "--keyfile", "k", "--key-password-file", "password"),
        *("--client-ca", "ca", "--client-cert", "required", "--tls-min", "1.3"),
        *("--alpn", "none", "--sni", "a.example=c1:k1", "--sni", "*.example=c2"),
    )
    assert made.server.tls == Tls(
        certificate="c",
        key="k",
        password="geheim",
        client_ca="ca",
        client_certificate="required",
        minimum_version="1.3",
        alpn=(),
        hosts={"a.example": ("c1", "k1"), "*.example": ("c2", None)},
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--keyfile k", "--keyfile needs --certfile"),
        ("--key-password-file password", "--key-password-file needs --certfile"),
        ("--client-ca ca", "--client-ca needs --certfile"),
        ("--sni a=b", "--sni needs --certfile"),
        ("--certfile c --client-cert optional", "--client-cert needs --client-ca"),
        ("--proxy-protocol", "--proxy-protocol needs --trusted-proxies"),
        ("--preload", "--preload needs --workers"),
        ("--max-requests 5", "--max-requests needs --workers"),
        ("--workers 1 --max-requests-jitter 5", "--max-requests-jitter needs --max-requests"),
        ("--reload --workers 1", "--reload serves from one process: leave out --workers"),
        (
            "--log-config c --access-log y",
            "--access-log names a file, against --log-config: with that, name the file in it",
        ),
        ("--error-log y --log-config c", "--error-log names a file, against --log-config"),
        ("--access-format %Q", "--access-format: "),
        ("--request-id-header a:b", "--request-id-header: "),
        ("--app-dir absent", "--app-dir: there is no directory 'absent'"),
        ("--reload --reload-dir code,absent", "--reload-dir: there is no directory 'absent'"),
        ("--bind :0 --bind nowhere", "--bind: an address is HOST:PORT"),
        ("--trusted-proxies 10.0.0.0/99", "--trusted-proxies: a trusted proxy is an address"),
        ("--certfile absent", "--certfile: cannot read 'absent': No such file or directory"),
        ("--certfile c --keyfile absent", "--keyfile: cannot read 'absent': No such file"),
        ("--certfile c --client-ca absent", "--client-ca: cannot read 'absent': No such file"),
        ("--certfile c --sni a=absent", "--sni: cannot read 'absent': No such file"),
        ("--certfile c --sni a=c:absent", "--sni: cannot read 'absent': No such file"),
        ("--log-config absent", "--log-config: cannot read 'absent': No such file"),
        ("--certfile code", "--certfile: cannot read 'code': Is a directory"),
        (
            "--certfile c --key-password-file absent",
            "--key-password-file: cannot read 'absent': No such file or directory",
        ),
        (
            "--certfile c --key-password-file latin",
            "--key-password-file: cannot read 'latin': it is not UTF-8",
        ),
    ],
)
def test_what_does_not_go_together(argv: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(*argv.split())
    assert str(caught.value).startswith(message)


def test_a_message_names_the_source() -> None:
    with pytest.raises(SettingsError, match=r"^GREENWORLD_KEYFILE needs --certfile$"):
        settings(KEYFILE="k")
    with pytest.raises(SettingsError, match=r"^--reload .*: add --workers none \(GREENWORLD_WORK"):
        settings("--reload", WORKERS="2")
    Path("own.toml").write_text("preload = true\n")
    with pytest.raises(SettingsError, match=r"^own\.toml: preload needs --workers$"):
        settings("--config", "own.toml")


def test_no_application() -> None:
    with pytest.raises(SettingsError, match="no application"):
        build(read([], {}))


def test_reload_leaves_aside_what_is_for_workers() -> None:
    made = settings("--reload", "--workers", "none", PRELOAD="1", MAX_REQUESTS="5", WORKERS="2")
    assert (made.reload, made.workers) == (True, None)


def test_the_directory_is_changed(tmp_path: Path) -> None:
    change_directory(read(["--chdir", "code"], {}))
    assert os.getcwd() == str(tmp_path / "code")
    change_directory(read([], {}))
    assert os.getcwd() == str(tmp_path / "code")


def test_a_directory_that_cannot_be_changed_to() -> None:
    with pytest.raises(SettingsError, match=r"^--chdir: cannot change to 'absent': No such file"):
        change_directory(read(["--chdir", "absent"], {}))
