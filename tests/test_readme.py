"""The README keeps its word: its commands and its Python run as they stand there."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import greenworld

ROOT = Path(__file__).resolve().parents[1]
# Where a child process finds the package under test: the checkout or site-packages.
HOME = Path(greenworld.__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LIMIT = 300.0
# Set by .ci/run: let pip fetch what it needs. Otherwise the line runs without network.
ONLINE = "README_ONLINE" in os.environ


def command(mark: str) -> str:
    """The one line in the block after ``<!-- mark -->``."""
    pattern = rf"^<!-- {mark} -->\n```sh\n(.+)\n```$"
    (line,) = re.findall(pattern, README, re.MULTILINE)
    assert isinstance(line, str)
    return line


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_python_snippet_runs(number: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", SNIPPETS[number]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_relative_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_test_command_runs_everything() -> None:
    assert command("test").endswith("&& .venv/bin/python -m pytest")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository as a clone has it: links kept, nothing built."""
    if (ROOT / "PKG-INFO").exists():
        pytest.skip("a source distribution is not a checkout")
    copy = tmp_path / "a checkout"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=unwanted)
    return copy


def environ(checkout: Path) -> dict[str, str]:
    """The environment for the line: pip left alone, or fed from what is installed here."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # The line says python3: make that the interpreter under test.
    tools = checkout.parent / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    clean["PATH"] = f"{tools}{os.pathsep}{clean.get('PATH', os.defpath)}"
    if not ONLINE:
        pytest.importorskip("setuptools", minversion="77", reason="building needs setuptools>=77")
        pytest.importorskip("flask", reason="the served example needs flask")
        clean["PYTHONPATH"] = sysconfig.get_path("purelib")
        # pip reads this option as the value of its opposite: false turns isolation off.
        clean |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "false"}
    return clean


@pytest.fixture
def served(checkout: Path) -> Iterator[subprocess.Popen[str]]:
    """The README's serve line, as typed into a shell, on a free port."""
    process = subprocess.Popen(
        ["bash", "-c", f"{command('serve')} --bind 127.0.0.1:0"],
        cwd=checkout,
        env=environ(checkout),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    def kill() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    watchdog = threading.Timer(LIMIT, kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        watchdog.join()
        kill()
        assert process.stdout is not None
        process.stdout.close()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the line needs a shell")
def test_serve_command_serves_the_flask_example(served: subprocess.Popen[str]) -> None:
    assert served.stdout is not None
    output = ""
    for line in served.stdout:
        output += line
        if found := re.search(r"Listening on http://127\.0\.0\.1:(\d+)", line):
            break
    else:
        if "No module named ensurepip" in output or "ensurepip is not available" in output:
            pytest.skip("this Python cannot make a virtual environment")
        pytest.fail(f"the line ended without listening; it printed:\n{output}")

    client = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    try:
        client.request("GET", "/json?name=reader")
        reply = client.getresponse()
        assert (reply.status, reply.read()) == (200, b'{"hello":"reader"}\n')
    finally:
        client.close()

    os.killpg(served.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    served.stdout.read()
    assert served.wait() == 0
