"""Where values come from, and which of them goes first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.command.reading import OTHER_VARIABLES, read

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "pyproject.toml") -> None:
    Path(name).write_text(text, "utf-8")


def test_defaults() -> None:
    given = read([], {"PATH": "/bin"})
    assert given["keep_alive"].value == 60.0
    assert {value.source for value in given.values()} == {"default"}


def test_the_command_line_goes_before_the_environment_before_the_file() -> None:
    write("[tool.greenworld.wsgi]\nkeep_alive = 1\nhead_timeout = 1\nbody_timeout = 1\n")
    environ = {"GREENWORLD_KEEP_ALIVE": "2", "GREENWORLD_HEAD_TIMEOUT": "2"}
    given = read(["--keep-alive", "3"], environ)
    assert given["keep_alive"] == (3.0, "command line", "--keep-alive")
    assert given["head_timeout"] == (2.0, "environment", "GREENWORLD_HEAD_TIMEOUT")
    assert given["body_timeout"] == (
        *(1.0, "file:pyproject.toml"),
        "pyproject.toml: tool.greenworld.wsgi.body_timeout",
    )
    assert given["write_timeout"].source == "default"


def test_a_list_replaces_a_list() -> None:
    write("[tool.greenworld.wsgi]\nbind = [':1', ':2']\n")
    assert read([], {})["bind"].value == (":1", ":2")
    assert read([], {"GREENWORLD_BIND": ":3,:4"})["bind"].value == (":3", ":4")
    assert read(["--bind", ":5"], {"GREENWORLD_BIND": ":3"})["bind"].value == (":5",)
    assert read(["--bind", "none"], {"GREENWORLD_BIND": ":3"})["bind"].value == ()


def test_a_named_file_is_the_table_and_the_project_is_not_looked_at() -> None:
    write("[tool.greenworld.wsgi]\nkeep_alive = 1\n")
    write("head_timeout = 2\n", "own.toml")
    for argv, environ in ((["--config", "own.toml"], {}), ([], {"GREENWORLD_CONFIG": "own.toml"})):
        given = read(argv, environ)
        assert given["head_timeout"] == (2.0, "file:own.toml", "own.toml: head_timeout")
        assert given["keep_alive"].source == "default"


def test_the_applications_name_may_come_from_anywhere() -> None:
    write("[tool.greenworld.wsgi]\napp = 'file:app'\n")
    assert read([], {})["app"].value == "file:app"
    assert read([], {"GREENWORLD_APP": "environ:app"})["app"].value == "environ:app"
    assert read(["line:app"], {"GREENWORLD_APP": "environ:app"})["app"].value == "line:app"


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("KEEP_ALIVE", "x", "GREENWORLD_KEEP_ALIVE: 'x' is not a number of seconds, 0 or more"),
        ("PATCH", "maybe", "GREENWORLD_PATCH: 'maybe' is not true or false"),
        ("FORWARDED_PARTS", "for,x", "GREENWORLD_FORWARDED_PARTS: 'for,x' is not a list of for,"),
        (
            "KEEPALIVE",
            "5",
            "there is no environment variable GREENWORLD_KEEPALIVE:"
            " did you mean GREENWORLD_KEEP_ALIVE?",
        ),
        ("ZZZ", "5", "there is no environment variable GREENWORLD_ZZZ: --help lists the options"),
        ("SHOW_CONFIG", "1", "there is no environment variable GREENWORLD_SHOW_CONFIG"),
    ],
)
def test_mistakes_in_the_environment(variable: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read([], {f"GREENWORLD_{variable}": text})
    assert str(caught.value).startswith(message)


def test_variables_of_others() -> None:
    environ = dict.fromkeys(OTHER_VARIABLES, "x")
    read([], {**environ, "GREENWORLD_TEST_REDIS": "x", "GREENWORLD_KEEP_ALIVE": ""})


def test_every_variable_of_the_runtime_is_known() -> None:
    found = set()
    for folder in ("hub", "patches"):
        for path in (ROOT / folder).glob("*.py"):
            found |= set(re.findall(r'"(GREENWORLD_[A-Z_]+)"', path.read_text("utf-8")))
    assert found == OTHER_VARIABLES


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("keep_alive = 'x'", "keep_alive: 'x' is not a number of seconds, 0 or more"),
        ("keep_alive = true", "keep_alive: True is not a number of seconds"),
        ("patch = 'yes'", "patch: 'yes' is not true or false"),
        ("bind = [1]", "bind: [1] is not a list of texts, none of them empty, or 'none'"),
        ("keepalive = 1", "keepalive is not the name of an option: did you mean keep_alive?"),
        ("keep-alive = 1", "keep-alive is not the name of an option: did you mean keep_alive?"),
        ("zzz = 1", "zzz is not the name of an option: --help lists the options"),
        ("config = 'x'", "config is not the name of an option"),
        ("show_config = true", "show_config is not the name of an option"),
    ],
)
def test_mistakes_in_a_file(line: str, message: str) -> None:
    write(line, "own.toml")
    with pytest.raises(SettingsError) as caught:
        read(["--config", "own.toml"], {})
    assert str(caught.value).startswith(f"own.toml: {message}")
    write(f"[tool.greenworld.wsgi]\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        read([], {})
    assert str(caught.value).startswith(f"pyproject.toml: tool.greenworld.wsgi.{message}")
