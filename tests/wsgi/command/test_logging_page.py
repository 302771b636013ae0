"""docs/logging.md: its tables are those of the code, and what it shows works."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from greenworld.wsgi.access_format import ATOMS, NAMED
from greenworld.wsgi.access_json import KEYS
from tests.wsgi.command.process import LIMIT, Run, get

PAGE = Path(__file__).resolve().parents[3] / "docs" / "logging.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not here")


@pytest.fixture
def page() -> str:
    return PAGE.read_text("utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The page's `/srv/shop`."""
    (tmp_path / "log").mkdir()
    (tmp_path / "shop.py").write_text(
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/fail':\n"
        "        raise ValueError('why')\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    return tmp_path


def block(page: str, name: str) -> str:
    """A file that the page shows."""
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```\w*\n(.*?)^```$", page, re.S | re.M)
    assert found is not None, name
    return found[1]


def rows(page: str, heading: str) -> list[str]:
    """The rows of the table under a heading."""
    lines = page.partition(f"| {heading} |")[2].splitlines()[2:]
    return lines[: lines.index("")]


def test_the_atoms(page: str) -> None:
    expected = [f"| `{atom.text}` | {atom.says} |" for atom in ATOMS.values()]
    assert rows(page, "atom | stands for") == expected


def test_the_keys_of_json(page: str) -> None:
    assert rows(page, "key | value") == [f"| `{key}` | {says} |" for key, says in KEYS.items()]


def test_the_named_formats(page: str) -> None:
    for name, form in NAMED.items():
        assert re.search(rf"- `{name}`( \(default\))?: `{re.escape(form)}`\n", page)


@pytest.mark.skipif(
    importlib.util.find_spec("tomllib") is None and importlib.util.find_spec("tomli") is None,
    reason="CPython 3.10 reads TOML with tomli only, which is not installed",
)
def test_the_configuration_of_logging(page: str, site: Path, run: Run) -> None:
    (site / "logging.toml").write_text(block(page, "logging.toml").replace("/srv/shop", str(site)))
    command = run("shop:app", "--bind", "127.0.0.1:0", "--log-config", "logging.toml")
    get(command.port(), "/fail")
    command.process.send_signal(signal.SIGTERM)
    assert command.end() == (0, "", "")
    text = (site / "log" / "all").read_text()
    assert re.search(
        r'^\d{4}-.* greenworld\.access 127\.0\.0\.1 - - .* "GET /fail HTTP/1\.1" 500', text, re.M
    )
    assert re.search(r"^\d{4}-.* greenworld\.error greenworld\.wsgi: error in the app", text, re.M)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not installed")
def test_logrotate(page: str, site: Path, run: Run) -> None:
    log = site / "log"
    command = run(
        *("shop:app", "--bind", "127.0.0.1:0"),
        *("--access-log", "log/access", "--error-log", "log/error"),
    )
    port = command.port()
    get(port, "/before")
    text = block(page, "logrotate.conf").replace("/srv/shop", str(site))
    text, exchanged = re.subn(r"systemctl kill .*", f"kill -USR1 {command.process.pid}", text)
    assert exchanged == 1
    config = site / "logrotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    subprocess.run(
        ["logrotate", "--force", "--state", str(site / "state"), str(config)],
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    until = time.monotonic() + LIMIT
    while not (log / "access").exists() or "/after" not in (log / "access").read_text():
        assert time.monotonic() < until, sorted(log.iterdir())
        get(port, "/after")
    assert "/before" in (log / "access.1").read_text()
    assert "/before" not in (log / "access").read_text()
    command.process.send_signal(signal.SIGTERM)
    assert command.end() == (0, "", "")
