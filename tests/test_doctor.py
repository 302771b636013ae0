"""`python -m greenworld doctor`: what it finds, where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import greenworld
from greenworld.blockers import BLOCKERS, loaded_blockers

HOME = Path(greenworld.__file__).resolve().parents[1]

EARLY = """\
import threading
from time import sleep

lock = threading.Lock()
pair = (threading.RLock(), 1)
deep = [[sleep]]
"""
LATE = """\
import early
import greenworld
greenworld.monkey_patch()
import blocking_library
print("the program prints")


def app(environ, start_response):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "early.py").write_text(EARLY)
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "blocking_library.py").write_text("import sys\nsys.modules['pycurl'] = sys\n")
    (tmp_path / "clean.py").write_text("import threading, early\nlock = threading.Lock()\n")
    (tmp_path / "failing.py").write_text("import threading\n\n1 / 0\n")
    (tmp_path / "leaving.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "main_only.py").write_text("if __name__ == '__main__':\n    1 / 0\n")
    return tmp_path


def doctor(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "greenworld", "doctor", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def findings_of(*arguments: str, cwd: Path) -> dict[str, list[Any]]:
    done = doctor(*arguments, "--json", cwd=cwd)
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert answer["clean"] is False
    return {each["mode"]: each["findings"] for each in answer["judgements"]}


@pytest.mark.parametrize("target", ["clean.py", "clean", "main_only.py"])
def test_a_clean_program(target: str, folder: Path) -> None:
    done = doctor(target, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    how = f"Patched before anything else (`python -m greenworld {target}`): clean"
    assert done.stdout.splitlines() == [f"greenworld doctor: {target}", "", how]


def test_the_interpreter_itself(folder: Path) -> None:
    done = doctor(cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a bare interpreter" in done.stdout


@pytest.mark.parametrize("target", ["late.py", "late:app", "late"])
def test_what_a_late_patch_leaves(target: str, folder: Path) -> None:
    found = findings_of(target, cwd=folder)
    library = {
        "kind": "library",
        "what": "pycurl",
        "why": "libcurl does its own I/O",
        "file": "",
        "line": 0,
        "advice": "use requests or urllib3, or call it through greenworld.native.run() or "
        "greenworld.tpool.Proxy",
    }
    assert found["launched"] == [library]
    assert library in found["itself"]
    places = {(each["kind"], each["what"]): each for each in found["itself"]}
    pair = places["RLock", "early.pair (a tuple)"]
    assert (pair["file"], pair["line"]) == (str(folder / "early.py"), 5)
    late = folder / "late.py"
    assert pair["advice"] == (
        f"move monkey_patch() ({late}:3) above the import of early ({late}:1), "
        "or start with `python -m greenworld`"
    )
    assert ("name", "a list") in places
    assert ("Lock", "early.lock") not in places  # it was exchanged


def test_the_report_for_people(folder: Path) -> None:
    done = doctor("late.py", cwd=folder)
    assert done.returncode == 1
    assert done.stderr == "the program prints\n" * 2
    assert f"Patched by the program's own call ({folder / 'late.py'}:3): 3 findings" in done.stdout
    assert f"  {folder / 'early.py'}:5\n      RLock early.pair (a tuple): " in done.stdout
    assert "      change: move monkey_patch()" in done.stdout


def test_groups_that_are_left_out_are_noted(folder: Path) -> None:
    (folder / "partly.py").write_text("import greenworld\ngreenworld.monkey_patch(thread=False)\n")
    done = doctor("partly.py", cwd=folder)
    assert done.returncode == 0
    assert "note: these groups are not patched: thread" in done.stdout


def test_programs_that_cannot_be_imported(folder: Path) -> None:
    found = findings_of("failing.py", cwd=folder)
    for finding in found["launched"] + found["itself"]:
        assert (finding["kind"], finding["line"]) == ("error", 3)
        assert "ZeroDivisionError" in finding["why"]
    found = findings_of("leaving", cwd=folder)
    assert found["launched"][0]["why"] == "the import ended the process with code 3"


@pytest.mark.parametrize(
    "arguments",
    [["no_such.py"], ["no_such_module"], ["late:nothing"], ["a.py", "b.py"], ["--wrong"]],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], folder: Path) -> None:
    done = doctor(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "greenworld doctor: " in done.stderr


def test_help(folder: Path) -> None:
    done = doctor("--help", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--json" in done.stdout


def test_known_blockers(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in BLOCKERS:
        monkeypatch.setitem(sys.modules, each.module, ModuleType(each.module))
    thin: Any = ModuleType("oracledb")
    thin.is_thin_mode = lambda: True
    monkeypatch.setitem(sys.modules, "oracledb", thin)
    hooked: Any = ModuleType("psycopg2")
    hooked.extensions = ModuleType("psycopg2.extensions")
    hooked.extensions.get_wait_callback = lambda: print
    monkeypatch.setitem(sys.modules, "psycopg2", hooked)
    assert {each.module for each in BLOCKERS} - {each.module for each in loaded_blockers()} == {
        "oracledb",
        "psycopg2",
    }
    thin.is_thin_mode = lambda: False
    hooked.extensions.get_wait_callback = lambda: None
    assert {"oracledb", "psycopg2"} <= {each.module for each in loaded_blockers()}
