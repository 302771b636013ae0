"""What `--show-config` prints is a file that says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenworld.wsgi.command.options import BY_NAME
from greenworld.wsgi.command.reading import read
from greenworld.wsgi.command.showing import show_all


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_option_with_its_source() -> None:
    Path("own.toml").write_text("workers = 2\n")
    given = read(
        ["a:b", "--config", "own.toml", "--sni", "é=c.pem", "--access-format", '%h "%r"\\\x7f😀'],
        {"GREENWORLD_KEEP_ALIVE": "0.5", "GREENWORLD_BIND": ":0,unix:x"},
    )
    shown = show_all(given)
    lines = {line.split(" = ")[0]: line.split() for line in shown.splitlines() if " = " in line}
    assert set(lines) == {name for name, option in BY_NAME.items() if option.source == "any"}
    assert lines["app"] == ["app", "=", '"a:b"', "#", "command", "line"]
    assert lines["workers"] == ["workers", "=", "2", "#", "file:own.toml"]
    assert lines["keep_alive"] == ["keep_alive", "=", "0.5", "#", "environment"]
    assert lines["max_body"] == ["max_body", "=", "1073741824", "#", "default"]
    assert lines["request_timeout"] == ["request_timeout", "=", '"none"', "#", "default"]
    Path("shown.toml").write_text(shown, "utf-8")
    again = read(["--config", "shown.toml"], {})
    for name, (value, _, _) in given.items():
        if name != "config":
            assert again[name].value == value, name


def test_without_an_application() -> None:
    assert '# app = "none"' in show_all(read([], {}))
    Path("shown.toml").write_text(show_all(read([], {})))
    assert read(["--config", "shown.toml"], {})["app"].value is None
