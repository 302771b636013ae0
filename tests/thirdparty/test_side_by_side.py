"""Other concurrency systems in the same OS thread, and servers written for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library


@needs("trio", "anyio")
def test_trio_and_anyio_called_from_threads(check: Run) -> None:
    report = check("event_loops")
    assert report["time_out"] == ["TooSlowError", "TimeoutError", "TimeoutError"]


@needs("uvicorn")
def test_uvicorn_in_a_thread(check: Run) -> None:
    check("web_servers", "uvicorn")


@needs("flask")
def test_the_threaded_server_of_flask(check: Run) -> None:
    check("web_servers", "flask")


@needs("django")
def test_the_threaded_server_of_django(check: Run) -> None:
    check("web_servers", "django")
