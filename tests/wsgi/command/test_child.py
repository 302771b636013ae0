"""The child of `--reload`, without its parent."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from greenworld.wsgi.command.settings import Settings
from tests.wsgi.command.process import ENVIRON, LIMIT

APP = """
import os, sys
print(os.getcwd(), sys.argv, flush=True)

def app(environ, start_response): ...
"""


def test_it_serves_as_told_until_its_lifeline_ends(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    orders, giver = os.pipe()
    lifeline, holder = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "greenworld.wsgi.command.child", str(orders)],
        env=ENVIRON,
        pass_fds=(orders, lifeline),
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(LIMIT, process.kill)
    watchdog.start()
    try:
        os.close(orders)
        os.close(lifeline)
        settings = Settings(app="app:app", bind=("unix:socket",), access_log=None)
        with open(giver, "wb") as pipe:
            pickle.dump((settings, lifeline, str(tmp_path), ["given", "argv"]), pipe)
        assert process.stdout is not None
        assert process.stdout.readline() == f"{tmp_path} ['given', 'argv']\n"
        assert process.stdout.readline() == "Listening on unix:socket\n"
        os.close(holder)
        assert process.communicate(timeout=LIMIT)[0] == ""
        assert process.returncode == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait(LIMIT)


def test_orders_that_never_come() -> None:
    orders, giver = os.pipe()
    os.close(giver)
    done = subprocess.run(
        [sys.executable, "-m", "greenworld.wsgi.command.child", str(orders)],
        env=ENVIRON,
        pass_fds=(orders,),
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    os.close(orders)
    assert done.returncode == 1
    if b"Traceback" in done.stderr:
        pytest.fail(done.stderr.decode())
