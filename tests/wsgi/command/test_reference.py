"""The page about the options says what the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenworld.wsgi.command.building import build
from greenworld.wsgi.command.options import BY_NAME
from greenworld.wsgi.command.reading import read
from greenworld.wsgi.command.reference import MARK, tables

PAGE = Path(__file__).resolve().parents[3] / "docs" / "wsgi-options.md"
REMEDY = "python -m greenworld.wsgi.command.reference docs/wsgi-options.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not here")


def test_the_tables_are_those_of_the_options() -> None:
    assert PAGE.read_text("utf-8").partition(MARK)[2] == f"\n{tables()}", f"run {REMEDY}"


def test_every_option_is_there() -> None:
    for name, option in BY_NAME.items():
        assert f"`{'APP' if name == 'app' else option.flag}" in tables()


def test_the_example_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"<!-- file -->\n```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "pyproject.toml").write_text(example[1])
    monkeypatch.chdir(tmp_path)
    settings = build(read([], {}))
    assert (settings.app, settings.workers) == ("package.module:app", 2)
    assert settings.server.max_body == 16 << 20
