"""Finding the application; the messages for the user are in test_cli.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from greenworld.wsgi.command.loading import LoadError, load

SOURCE = """
def app(environ, start_response): ...
class Holder:
    inner = app
    nothing = None
def make(*args, **kwargs):
    def made(): ...
    made.args = args, kwargs
    made.app = made
    return made
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loaded_one.py").write_text(SOURCE)
    (tmp_path / "loaded_two.py").write_text("application = print\napp = None\n")
    (tmp_path / "loaded_bad.py").write_text("def :\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("loaded_one", "loaded_two", "loaded_bad"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_attributes() -> None:
    assert load("loaded_one:app").__name__ == "app"
    assert load("loaded_one:Holder.inner").__name__ == "app"
    assert load("loaded_one").__name__ == "app"
    assert load("loaded_two") is print


def test_calls() -> None:
    assert load("loaded_one:make()").args == ((), {})
    assert load("loaded_one:make('a', 1, b=[2])").args == (("a", 1), {"b": [2]})
    assert load("loaded_one:make().app").args == ((), {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "MODULE:ATTRIBUTE"),
        ("no_such_module_at_all", "no module 'no_such_module_at_all'"),
        ("loaded_one:", "cannot understand"),
        ("loaded_one:a b", "cannot understand"),
        ("loaded_one:Holder.absent", "no attribute 'absent'"),
        ("loaded_one:Holder.nothing", "of type NoneType cannot be called"),
        ("loaded_one:Holder.nothing()", "cannot be called"),
        ("loaded_one:[]", "names, attributes and calls"),
        ("loaded_one:make(app)", "must be literals"),
        ("loaded_one:app()", "raised TypeError"),
        ("loaded_bad:app", "cannot be imported: SyntaxError"),
    ],
)
def test_mistakes(name: str, message: str) -> None:
    with pytest.raises(LoadError, match=message) as caught:
        load(name)
    assert "\n" not in str(caught.value)
