"""Running `wrk`, the load generator, and reading what it prints."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("browser.lua")
HOW_TO_GET_IT = """\
wrk is not installed; it makes the load for this benchmark. To get it:
  Debian, Ubuntu:  apt install wrk
  Fedora:          dnf install wrk
  macOS:           brew install wrk
  elsewhere:       build it from https://github.com/wg/wrk
Without it, the row "idle" can be run: python -m benchmarks.http --rows idle"""

_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
_COMPLAINT = re.compile(r"^\s*((?:Socket errors|Non-2xx).*)$", re.MULTILINE)


class WrkError(Exception):
    """wrk failed, or what it measured cannot be used."""


@dataclass(frozen=True)
class Load:
    """What wrk found: requests per second, and its own words about errors, if any."""

    rate: float
    complaint: str


def is_installed() -> bool:
    """Whether there is a wrk to run."""
    return shutil.which("wrk") is not None


def parse_output(output: str) -> Load:
    """Read wrk's report. Raises WrkError if the answers were errors or there were none."""
    rate = _RATE.search(output)
    complaint = "; ".join(_COMPLAINT.findall(output))
    if rate is None or float(rate[1]) == 0.0 or "Non-2xx" in complaint:
        raise WrkError(complaint or f"no requests were answered: {output.strip()}")
    return Load(float(rate[1]), complaint)


def run(url: str, connections: int, seconds: int, words: tuple[str, ...] = ()) -> Load:
    """Load *url* for so many seconds from one thread. Raises WrkError."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), url]
    done = subprocess.run(
        [*command, "--", *words], capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    if done.returncode != 0:
        raise WrkError(f"wrk ended with exit code {done.returncode}: {done.stderr.strip()}")
    return parse_output(done.stdout)
