"""Log streams that are loggers."""

from __future__ import annotations

import logging

import pytest

from greenworld.wsgi.logger import LoggerStream


@pytest.fixture
def stream() -> LoggerStream:
    logger = logging.getLogger("greenworld.tests.stream")
    logger.setLevel(logging.INFO)
    return LoggerStream(logger, logging.INFO)


def test_lines_become_records(stream: LoggerStream, caplog: pytest.LogCaptureFixture) -> None:
    stream.write("one %s\ntwo\n\n")
    stream.flush()
    assert caplog.messages == ["one %s", "two"]
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_a_line_in_pieces_is_one_record(
    stream: LoggerStream, caplog: pytest.LogCaptureFixture
) -> None:
    print("a", "b", file=stream, flush=True)
    stream.write("c")
    assert caplog.messages == ["a b"]
    stream.write("d\ne")
    assert caplog.messages == ["a b", "cd"]


def test_a_message_is_one_record(stream: LoggerStream, caplog: pytest.LogCaptureFixture) -> None:
    stream.write_message("what\nTraceback\nwhy")
    assert caplog.messages == ["what\nTraceback\nwhy"]
