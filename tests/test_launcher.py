"""`python -m greenworld` runs a program as `python` does, only patched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import greenworld
from greenworld.launcher import Command, UsageError, parse

HOME = Path(greenworld.__file__).resolve().parents[1]

# What a program can see of the way in which it was started.
LOOK = """
import os, sys
main = sys.modules["__main__"]
spec = main.__spec__
print(sorted(set(vars(main)) - {"__annotations__", "__conditional_annotations__"}))
print(__name__, __doc__, __package__, globals().get("__file__"), sys.argv)
print(os.path.realpath(sys.path[0]), sys.path[0] == "", type(__loader__).__name__)
print(None if spec is None else (spec.name, spec.origin, spec.parent))
print(main.__dict__ is globals())
"""


def python(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def patched(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return python("-m", "greenworld", *arguments, cwd=cwd, stdin=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Programs of every kind that print how they were started."""
    (tmp_path / "script.py").write_text(LOOK)
    (tmp_path / "module_here.py").write_text(LOOK)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "script.py").write_text(LOOK)
    (tmp_path / "link.py").symlink_to(tmp_path / "elsewhere" / "script.py")
    for name in ("package", "directory"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__main__.py").write_text(LOOK)
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner.py").write_text(LOOK)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", LOOK)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["script.py"],
        ["./script.py", "-m", "--help", "x y"],
        ["elsewhere/script.py", "1"],
        ["link.py"],
        ["-m", "module_here", "--with-nothing"],
        ["-m", "package", "1"],
        ["-m", "package.inner"],
        ["directory", "1"],
        ["archive.zip", "1"],
        ["-c", LOOK, "1", "-m"],
        ["-", "1"],
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_a_program_is_started_as_python_does(arguments: list[str], folder: Path) -> None:
    plain = python(*arguments, cwd=folder, stdin=LOOK)
    done = patched(*arguments, cwd=folder, stdin=LOOK)
    assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, "", 0)


def test_an_absolute_path_and_a_compiled_file(folder: Path) -> None:
    script = str(folder / "script.py")
    assert patched(script, cwd=folder).stdout == python(script, cwd=folder).stdout
    compiled = "import py_compile; py_compile.compile('script.py', 'script.pyc')"
    assert python("-c", compiled, cwd=folder).returncode == 0
    done = patched("script.pyc", cwd=folder)
    assert "__main__ None None" in done.stdout, done.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="CPython 3.10 has no -P")
def test_a_safe_path_stays_safe(folder: Path) -> None:
    code = "import sys; print(sys.path)"
    (folder / "path.py").write_text(code)
    done = python("-P", "-m", "greenworld", "path.py", cwd=folder)
    assert done.stdout == python("-P", "path.py", cwd=folder).stdout


def test_everything_is_patched_before_the_program_begins(folder: Path) -> None:
    (folder / "program.py").write_text(
        "import threading, time\n"
        "from greenworld import is_monkey_patched\n"
        "print([is_monkey_patched(name) for name in ('time', 'thread', 'socket', 'fcntl')])\n"
        "gate = threading.Event()\n"
        "thread = threading.Thread(target=gate.wait)\n"
        "thread.start()\n"
        "print(type(thread.ident), threading.current_thread() is threading.main_thread())\n"
        "gate.set()\n"
        "thread.join()\n"
    )
    expected = "[True, True, True, False]\n<class 'int'> True\n"
    assert patched("program.py", cwd=folder).stdout == expected
    done = patched("--no-socket", "--no-select", "program.py", cwd=folder)
    assert done.stdout == expected.replace("True, True, True", "True, True, False")


def test_threads_outlive_the_main_program(folder: Path) -> None:
    code = (
        "import threading, time\n"
        "def late():\n"
        "    time.sleep(0.01)\n"
        "    print(name)\n"
        "name = 'still here'\n"
        "threading.Thread(target=late).start()\n"
    )
    done = patched("-c", code, cwd=folder)
    assert (done.stdout, done.stderr) == ("still here\n", "")


@pytest.mark.parametrize(
    "code",
    ["raise SystemExit(3)", "import sys; sys.exit('a text')", "1 / 0", "1 +",
     "import os; os._exit(4)", "import no_such_module_here"],
)  # fmt: skip
def test_exit_codes_and_tracebacks(code: str, folder: Path) -> None:
    (folder / "program.py").write_text(code)
    ways = [["program.py"]]
    if code == "1 / 0":
        ways += [["-m", "program"], ["-c", code]]
    for arguments in ways:
        plain, done = python(*arguments, cwd=folder), patched(*arguments, cwd=folder)
        assert done.returncode == plain.returncode
        assert "greenworld" not in done.stderr
        # With -m Python shows its own steps; the launcher hides them with its own.
        last = [line for line in plain.stderr.splitlines() if "<frozen runpy>" not in line]
        assert done.stderr.splitlines()[-1:] == last[-1:]
        if arguments[0] != "-m":
            assert done.stderr.splitlines() == last


def test_an_interrupt_ends_the_program_as_python_does(folder: Path) -> None:
    code = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n"
    done = patched("-c", code, cwd=folder)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert "launcher" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to run; see --help"),
        (["no_such_script.py"], "can't open file"),
        (["--no-sokcet", "script.py"], "--no-sokcet: choose among --no-time"),
        (["--with-socket", "script.py"], "--with-socket: choose among --with-builtins"),
        (["--verbose", "script.py"], "there is no option --verbose; see --help"),
        (["-x", "script.py"], "there is no option -x; options of Python go before -m"),
        (["-m"], "-m needs an argument; see --help"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, folder: Path) -> None:
    done = patched(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("greenworld: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_missing_modules_are_reported_as_python_does(folder: Path) -> None:
    plain, done = (run("-m", "no_such_module", cwd=folder) for run in (python, patched))
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)
    (folder / "empty").mkdir()
    plain, done = (run("empty", cwd=folder) for run in (python, patched))
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)


def test_help(folder: Path) -> None:
    done = patched("--help", cwd=folder)
    assert done.returncode == 0
    assert "--no-GROUP" in done.stdout
    assert "doctor" in done.stdout


def test_parsing() -> None:
    assert parse(["--no-os", "--with-fcntl", "a.py", "--no-x"]) == Command(
        {"os": False, "fcntl": True}, "", "a.py", ["--no-x"]
    )
    assert parse(["-m", "x", "-m"]) == Command({}, "-m", "x", ["-m"])
    assert parse(["-"]) == Command({}, "", "-", [])
    assert parse(["-h"]) is None
    with pytest.raises(UsageError):
        parse(["--no-os"])
