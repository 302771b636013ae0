"""What stands on the command line. Its mistakes, as users see them, are in test_cli.py."""

from __future__ import annotations

from typing import Any

import pytest

from greenworld.wsgi.command.commandline import make_parser, read_command_line
from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.command.options import BY_NAME


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ("", {}),
        ("a:b", {"app": "a:b"}),
        (
            "--keep-alive 5 a:b --max-body=1M",
            {"app": "a:b", "keep_alive": 5.0, "max_body": 1 << 20},
        ),
        ("--max-body none", {"max_body": None}),
        ("--bind :0 --bind :1,unix:x", {"bind": (":0", ":1", "unix:x")}),
        ("--bind none", {"bind": ()}),
        ("--no-patch", {"patch": False}),
        ("--patch --no-patch --patch", {"patch": True}),
        ("--access-log x", {"access_log": "x"}),
        ("--access-log x --no-access-log", {"access_log": None}),
        ("--show-config", {"show_config": True}),
    ],
)
def test_values(argv: str, found: dict[str, Any]) -> None:
    assert read_command_line(argv.split()) == found


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--keep-alive soon", "--keep-alive: 'soon' is not a number of seconds, 0 or more, such"),
        ("--keep-alive=-1", "--keep-alive: '-1' is not"),
        ("--health-path health", "--health-path: 'health' is not a path that begins with"),
        ("--bind x --sni y", "--sni: 'y' is not a list of NAME=CERTIFICATE"),
        ("a b", "'b' is one argument too many: there is one application"),
        ("--app a", "there is no option --app: did you mean --app-dir"),
        ("--no-keep-alive", "there is no option --no-keep-alive: "),
        ("--max-bdy 5", "there is no option --max-bdy: did you mean --max-body?"),
        ("--zzz", "there is no option --zzz: --help lists the options"),
        ("--bind", "argument --bind: expected one argument"),
        ("--patch=yes", "argument --patch/--no-patch: ignored explicit argument 'yes'"),
    ],
)
def test_mistakes(argv: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_command_line(argv.split())
    assert str(caught.value).startswith(message)


def test_help_explains_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10000")
    text = make_parser().format_help()
    for name, option in BY_NAME.items():
        assert option.text in text
        assert option.against in text
        assert ("APP" if name == "app" else option.flag) in text
    assert "(default: 1G)" in text
    assert "such as '%h %r %s'" in text
