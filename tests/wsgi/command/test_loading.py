"""Finding the application; the messages for the user are in test_cli.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from greenworld.wsgi.command.loading import LoadError, explain, load, load_application
from greenworld.wsgi.command.settings import Settings

SOURCE = """
def app(environ, start_response): ...
class Holder:
    inner = app
    nothing = None
class Guarded:
    @property
    def app(self):
        raise RuntimeError("not yet")
guarded = Guarded()
def leave():
    raise SystemExit(5)
def fail():
    {}["absent"]
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
    (tmp_path / "loaded_exit.py").write_text("raise SystemExit('enough')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("loaded_one", "loaded_two", "loaded_bad", "loaded_exit"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_attributes() -> None:
    assert load("loaded_one:app").__name__ == "app"
    assert load("loaded_one:Holder.inner").__name__ == "app"
    assert load("loaded_one").__name__ == "app"
    assert load("loaded_two") is print


def test_calls() -> None:
    assert load("loaded_one:make()").args == ((), {})
    assert load("loaded_one:make('a', 1, b=[2])").args == (("a", 1), {"b": [2]})
    assert load("loaded_one:make(-1, debug=True, names=('a', None))").args == (
        (-1,),
        {"debug": True, "names": ("a", None)},
    )
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
        ("loaded_one:make(*[1])", "must be literals"),
        ("loaded_one:make(**{'a': 1})", "must be literals"),
        ("loaded_one:make({[]: 1})", "must be literals"),
        ("loaded_one:make(name=f'{1}')", "must be literals"),
        ("loaded_one:make(1, 2", "cannot understand"),
        ("loaded_one:app()", r"'app\(\)' raised TypeError: "),
        ("loaded_one:leave()", r"'leave\(\)' raised SystemExit: 5"),
        ("loaded_one:guarded.app", "'app' of 'guarded' in 'loaded_one' cannot be had: RuntimeErr"),
        ("loaded_exit:app", "module 'loaded_exit' cannot be imported: SystemExit: enough"),
        ("loaded_bad:app", "cannot be imported: SyntaxError"),
    ],
)
def test_mistakes(name: str, message: str) -> None:
    with pytest.raises(LoadError, match=message) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def explained(name: str, *, imports: bool = False) -> list[str]:
    with pytest.raises(LoadError) as caught:
        load(name)
    return explain(caught.value, imports=imports).splitlines()


def test_the_traceback_is_that_of_the_application() -> None:
    first, *middle, last = explained("loaded_one:fail()")
    assert first == "Traceback (most recent call last):"
    assert any("in fail" in line for line in middle)
    assert not any("loading.py" in line or "importlib" in line for line in middle)
    assert last == "greenworld.wsgi: 'fail()' raised KeyError: 'absent'"
    assert explained("loaded_bad:app")[0].startswith('  File "')


def test_an_error_without_code_of_the_application_is_one_line() -> None:
    assert len(explained("loaded_one:app()")) == 1
    assert len(explained("loaded_absent:app")) == 1


def test_failed_imports_have_a_traceback_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "loaded_halfway.py").write_text("import no_such_module_at_all\n")
    assert len(explained("loaded_halfway:app")) == 1
    lines = explained("loaded_halfway:app", imports=True)
    assert lines[0] == "Traceback (most recent call last):"
    assert any("loaded_halfway.py" in line for line in lines[1:-1])


def test_the_directory_is_the_first_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    load_application(Settings(app="loaded_one:app", app_dir=str(tmp_path / "deep")))
    assert sys.path[0] == str(tmp_path / "deep")
    before = list(sys.path)
    load_application(Settings(app="loaded_one:app", app_dir=str(tmp_path / "deep")))
    assert sys.path == before
    load_application(Settings(app="loaded_one:app"))
    assert sys.path[0] == os.getcwd()


def test_a_page_in_place_of_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(app="loaded_bad:app", show_load_errors=True)
    (body,) = load_application(settings)({}, lambda status, headers: None)
    assert b"SyntaxError" in body
    assert "SyntaxError" in capsys.readouterr().err
    with pytest.raises(LoadError):
        load_application(Settings(app="loaded_bad:app"))
    assert load_application(Settings(app="loaded_one:app", show_load_errors=True)).__name__ == "app"
