from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import Start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", ["1", "40"])
def test_reads_every_page_once_and_says_so(start: Start, workers: str) -> None:
    crawler = start("examples/crawler.py", "--pages", "20", "--workers", workers)
    assert crawler.finish() == 0, crawler.output
    assert crawler.output.startswith("20 pages, "), crawler.output
    assert "failed" not in crawler.output
