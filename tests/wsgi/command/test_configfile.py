"""Which file is read, and what becomes of one that cannot be."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from greenworld.wsgi.command.configfile import find_file
from greenworld.wsgi.command.errors import SettingsError


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_no_file() -> None:
    assert find_file(None) is None


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'x'\n", "not TOML, and nobody's business", "[tool.other]\n"]
)
def test_a_project_that_does_not_speak_of_the_server(text: str) -> None:
    Path("pyproject.toml").write_text(text)
    assert find_file(None) is None


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("[tool.greenworld.wsgi]\nkeep_alive = 1\n", {"keep_alive": 1}),
        ("[tool.greenworld]\nwsgi = { keep_alive = 1 }\n", {"keep_alive": 1}),
        (" [ tool . greenworld . wsgi ]\n", {}),
        ("[tool.greenworld.other]\n", {}),
    ],
)
def test_the_table_of_a_project(text: str, table: dict[str, object]) -> None:
    Path("pyproject.toml").write_text(text)
    for path in (None, "pyproject.toml"):
        file = find_file(path)
        assert file is not None
        assert file.table == table


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[tool.greenworld.wsgi]\nkeep_alive = \n", r"pyproject\.toml is not TOML: .*line 2"),
        (b"[tool.greenworld.wsgi]\n# \xff\n", r"pyproject\.toml is not TOML: .*utf-8"),
        (b"[tool.greenworld]\nwsgi = 5\n", r"pyproject\.toml: tool\.greenworld\.wsgi is not a tab"),
    ],
)
def test_files_that_are_wrong(data: bytes, message: str) -> None:
    Path("pyproject.toml").write_bytes(data)
    with pytest.raises(SettingsError, match=message):
        find_file(None)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"cannot read absent\.toml: No such file or directory"):
        find_file("absent.toml")
    with pytest.raises(SettingsError, match=r"cannot read \.: Is a directory"):
        find_file(".")
    Path("pyproject.toml").mkdir()
    with pytest.raises(SettingsError, match=r"cannot read pyproject\.toml: Is a directory"):
        find_file(None)


def test_without_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = importlib.import_module

    def without_toml(name: str, package: str | None = None) -> ModuleType:
        if name in ("tomllib", "tomli"):
            raise ModuleNotFoundError(name=name)
        return import_module(name, package)

    monkeypatch.setattr(importlib, "import_module", without_toml)
    Path("own.toml").write_text("")
    with pytest.raises(SettingsError, match=r"cannot read own\.toml: .*'greenworld\[toml\]'"):
        find_file("own.toml")
