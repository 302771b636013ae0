"""From request heads to environments, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenworld.wsgi import environ
from greenworld.wsgi.environ import COLD_BLOCK, EMPTY_BLOCK, HeadTable
from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.http1 import Limits


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environ, "_lines", {})
    monkeypatch.setattr(environ, "_names", {})


@pytest.fixture
def table() -> HeadTable:
    return HeadTable({"wsgi.x": 1}, Limits(line=50, fields=5))


def test_a_new_environment_each_time(table: HeadTable) -> None:
    block = table.header_block(b"Host: a\r\nX-Y: z")
    one, two = table.start_line(b"GET /1 HTTP/1.1"), table.start_line(b"PUT /2?q HTTP/1.0")
    first, second, third = block.environ(one), block.environ(two), block.environ(one)
    assert first == third
    assert first is not third
    assert (first["PATH_INFO"], first["QUERY_STRING"], first["SERVER_PROTOCOL"]) == (
        "/1",
        "",
        "HTTP/1.1",
    )
    assert (second["PATH_INFO"], second["QUERY_STRING"], second["SERVER_PROTOCOL"]) == (
        "/2",
        "q",
        "HTTP/1.0",
    )
    assert first["HTTP_X_Y"] == "z"
    assert first["wsgi.x"] == 1


def test_names(table: HeadTable) -> None:
    block = table.header_block(b"Host: a\r\nA_B: 1\r\nPROXY: 2\r\ncontent-type: 3\r\nA-b: 4")
    made = block.environ(table.start_line(b"GET / HTTP/1.1"))
    assert "" not in made
    assert not [key for key in made if "PROXY" in key]
    assert made["CONTENT_TYPE"] == "3"
    assert made["HTTP_A_B"] == "4"


def test_names_with_underscores_may_be_refused() -> None:
    table = HeadTable({}, Limits(), refuse_underscores=True)
    for raw in (b"Host: a\r\nX_Y: z", b"Proxy: a\r\n_: b"):
        with pytest.raises(HttpError, match="underscore") as caught:
            table.header_block(raw)
        assert caught.value.status == 400
    table.header_block(b"Host: a_b\r\nProxy: c_d\r\nX-Y: _")


@pytest.mark.parametrize(
    ("raw", "upgrade"),
    [
        (b"Connection: Upgrade\r\nUpgrade: websocket", True),
        (b"Upgrade: x\r\nConnection: keep-alive,\tupgrade", True),
        (b"Connection: upgrade", False),
        (b"Upgrade: websocket", False),
        (b"Connection: upgrade-x\r\nUpgrade: websocket", False),
        (b"Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1", False),
    ],
)
def test_upgrade_is_a_field_and_an_option(table: HeadTable, raw: bytes, upgrade: bool) -> None:
    block = table.header_block(b"Host: a\r\n" + raw)
    assert block.upgrade is upgrade
    assert block.plain is not upgrade


def test_repeated_fields(table: HeadTable) -> None:
    raw = b"Accept: a\r\nCookie: b=c\r\nAccept: d\r\nCookie: e=f"
    made = table.header_block(raw).environ(table.start_line(b"GET / HTTP/1.0"))
    assert (made["HTTP_ACCEPT"], made["HTTP_COOKIE"]) == ("a,d", "b=c; e=f")
    with pytest.raises(HttpError, match="more than one Host"):
        table.header_block(b"Host: a\r\nHost: a")


def test_facts(table: HeadTable) -> None:
    block = table.header_block(b"Host: a")
    assert block.plain
    assert (block.host, block.close, block.keep_alive, block.framed) == ("a", False, False, False)
    assert table.header_block(b"Host: a\r\nConnection: x, Close").close
    assert table.header_block(b"Connection: Keep-Alive").keep_alive
    for raw in (
        b"A: b",
        b"Host: a\r\nConnection: close",
        b"Host: a\r\nContent-Length: 0",
        b"Host: a\r\nTransfer-Encoding: chunked",
        b"Host: a\r\nExpect: 100-continue",
    ):
        assert not table.header_block(raw).plain
    assert table.start_line(b"GET / HTTP/1.1").plain
    for raw in (b"HEAD / HTTP/1.1", b"GET / HTTP/1.0", b"GET http://a/ HTTP/1.1"):
        assert not table.start_line(raw).plain


def test_an_empty_block(table: HeadTable) -> None:
    block = table.header_block(b"")
    assert block.host is None
    assert b"\r\nrest".startswith(block.tail)


def test_the_stand_ins_are_equal_to_no_block() -> None:
    for block in (EMPTY_BLOCK, COLD_BLOCK):
        assert not b"\r\n\r\n\r\n\r\n\r\n".startswith(block.tail)
        assert not b"".startswith(block.tail)


def test_limits(table: HeadTable) -> None:
    with pytest.raises(HttpError) as caught:
        table.start_line(b"GET /" + b"a" * 40 + b" HTTP/1.1")
    assert caught.value.status == 414
    table.header_block(b"\r\n".join([b"A: b"] * 5))
    with pytest.raises(HttpError) as caught:
        table.header_block(b"\r\n".join([b"A: b"] * 6))
    assert caught.value.status == 431


def test_what_is_remembered(table: HeadTable) -> None:
    first = table.header_block(b"Host: a\r\nX: y")
    second = table.header_block(b"Host: a\r\nX: y")
    assert second is not first  # it is shared from its second coming on
    assert table.header_block(b"Host: a\r\nX: y") is second
    assert set(environ._lines) == {b"Host: a", b"X: y"}
    table.start_line(b"GET /a HTTP/1.1")
    table.start_line(b"GET /a?token=x HTTP/1.1")
    assert set(table.lines) == {b"GET /a HTTP/1.1"}


@pytest.mark.parametrize(
    "name",
    [b"Cookie", b"COOKIE", b"Authorization", b"Proxy-Authorization", b"X-Api-Key", b"X-Auth",
     b"X-Csrf-Token", b"X-Session-Id", b"X-Secret", b"X-Password", b"X-Amz-Credential"],
)  # fmt: skip
def test_no_secret_is_shared(table: HeadTable, name: bytes) -> None:
    raw = b"Host: a\r\n" + name + b": hidden"
    blocks = [table.header_block(raw) for _ in range(3)]
    assert not any(block.shareable for block in blocks)
    assert len(set(map(id, blocks))) == 3
    assert set(environ._lines) == {b"Host: a"}
    assert not table._blocks


def test_memory_is_bounded(table: HeadTable) -> None:
    for i in range(environ._MAX_LINES + 10):
        for _ in range(2):
            table.header_block(b"X-%d: %d" % (i, i))
        table.start_line(b"GET /%d HTTP/1.1" % i)
    assert len(environ._lines) <= environ._MAX_LINES
    assert len(table._blocks) <= environ._MAX_BLOCKS
    assert len(table._seen) <= environ._MAX_SEEN
    assert len(environ._names) <= environ._MAX_NAMES
    assert len(table.lines) <= environ._MAX_TARGETS
    long = b"Y: " + b"z" * environ._MAX_LINE_SIZE
    table.header_block(long)
    assert long not in environ._lines


def test_a_known_name_without_its_colon_is_no_field(table: HeadTable) -> None:
    table.header_block(b"Host: a\r\nX: y")
    for raw in (b"Host", b"Host: a\r\nX", b"X : y", b" X: y", b"X: \0"):
        with pytest.raises(HttpError):
            table.header_block(raw)


def test_what_the_log_says_of_a_block_is_said_once(table: HeadTable) -> None:
    block = table.header_block(b"Referer: a\r\nA: b")
    said = []

    def saying(header: Callable[[str, str], str]) -> str:
        said.append(header("HTTP_REFERER", "-") + header("HTTP_USER_AGENT", "-"))
        return said[-1]

    for _ in range(2):
        assert (block.log_part or block.say(saying)) == "a-"
    assert said == ["a-"]


def test_the_log_text_of_a_line_is_quoted(table: HeadTable) -> None:
    assert table.start_line(b'GET /"\\ HTTP/1.1').log_text == 'GET /\\"\\\\ HTTP/1.1'


def test_a_bad_line_is_not_remembered(table: HeadTable) -> None:
    for _ in range(2):
        with pytest.raises(HttpError):
            table.header_block(b"Host: a b")
        with pytest.raises(HttpError):
            table.header_block(b"X : y")
        with pytest.raises(HttpError):
            table.start_line(b"GET a HTTP/1.1")
    assert not environ._lines
    assert not table.lines


def parsed(raw: bytes) -> dict[str, object]:
    """The environment for a block that nothing before it helps to parse."""
    table = HeadTable({"wsgi.x": 1}, Limits())
    return table.header_block(raw).environ(table.start_line(b"GET / HTTP/1.1"))


@pytest.mark.parametrize("name", [b"Cookie", b"traceparent", b"User-Agent", b"Referer", b"X-Y"])
@pytest.mark.parametrize(
    "place", [b"%b\r\nHost: a\r\nA: b", b"Host: a\r\n%b\r\nA: b", b"A: b\r\n%b"]
)
def test_a_block_that_varies_in_one_value_becomes_the_next(name: bytes, place: bytes) -> None:
    table = HeadTable({"wsgi.x": 1}, Limits())
    line = table.start_line(b"GET / HTTP/1.1")
    block = table.header_block(place % (name + b": 0"))
    made = []
    for number in range(1, 6):
        raw = place % (name + b": %d" % number)
        last, block = block, table.header_block(raw, block)
        assert (block is last) == (number > 1)
        assert not block.shareable
        assert block.raw == raw
        assert block.tail == raw + b"\r\n\r\n"
        made.append((block.environ(line), raw))
    for environment, raw in made:
        assert environment == parsed(raw)
    assert raw not in table._blocks


@pytest.mark.parametrize(
    "name", [b"Connection", b"Content-Length", b"Expect", b"Host", b"Transfer-Encoding", b"Upgrade"]
)
def test_what_the_server_reads_is_read_each_time(table: HeadTable, name: bytes) -> None:
    block = table.header_block(b"A: b\r\n" + name + b": 1")
    for value in (b"2", b"close", b"3"):
        last, block = block, table.header_block(b"A: b\r\n" + name + b": " + value, block)
        assert block is not last
    assert table.header_block(b"A: b\r\nConnection: close").close


@pytest.mark.parametrize(
    "raw",
    [
        b"Host: a\r\nX_Y: %d",
        b"Host: a\r\nProxy: %d",
        b"Host: a\r\nX: 1\r\nX: %d",
        b"Host: a\r\nX: 1\r\nx: %d",
    ],
)
def test_dropped_and_repeated_fields_never_vary(table: HeadTable, raw: bytes) -> None:
    block = table.header_block(raw % 0)
    for number in range(1, 4):
        last, block = block, table.header_block(raw % number, block)
        assert block is not last
        assert block.environ(table.start_line(b"GET / HTTP/1.1")) == parsed(raw % number)


@pytest.mark.parametrize("value", [b"\0", b"a\rb", b"a\nb", b"a\r\nb", b"a\r\n b", b"\r", b"\x7f"])
def test_a_value_that_varies_is_checked(value: bytes) -> None:
    table = HeadTable({"wsgi.x": 1}, Limits())
    block = table.header_block(b"Host: a\r\nCookie: 1\r\nA: b")
    block = table.header_block(b"Host: a\r\nCookie: 2\r\nA: b", block)
    raw = b"Host: a\r\nCookie: " + value + b"\r\nA: b"
    with pytest.raises(HttpError) as one:
        parsed(raw)
    with pytest.raises(HttpError) as other:
        table.header_block(raw, block)
    assert str(one.value) == str(other.value)


def test_lines_within_a_value_are_lines(table: HeadTable) -> None:
    block = table.header_block(b"Host: a\r\nCookie: 1\r\nA: b")
    block = table.header_block(b"Host: a\r\nCookie: 2\r\nA: b", block)
    raw = b"Host: a\r\nCookie: 3\r\nContent-Length: 5\r\nA: b"
    smuggled = table.header_block(raw, block)
    assert smuggled is not block
    assert smuggled.content_length == "5"
    assert smuggled.environ(table.start_line(b"GET / HTTP/1.1")) == parsed(raw)


def test_a_shared_block_never_becomes_another(table: HeadTable) -> None:
    for _ in range(2):
        shared = table.header_block(b"Host: a\r\nX: 1")
    assert table.header_block(b"Host: a\r\nX: 2", shared) is not shared
    assert table.header_block(b"Host: a\r\nX: 1") is shared
    assert shared.raw == b"Host: a\r\nX: 1"


def test_blocks_that_have_nothing_in_common_are_soon_not_compared(table: HeadTable) -> None:
    block = table.header_block(b"Host: a")
    for number in range(environ._MAX_STRANGERS):
        block = table.header_block(b"Host: a\r\nX-%d: 1" % number, block)
        assert block.strangers == number + 1
    for number in range(3):
        last, block = block, table.header_block(b"Host: a\r\nY: %d" % number, block)
        assert block is not last


@pytest.mark.parametrize(
    ("base", "query"),
    [
        (b"GET /a?%b HTTP/1.1", b"x=1"),
        (b"GET /a?%b HTTP/1.0", b""),
        (b"GET /a%%20b?%b HTTP/1.1", b"%20?/"),
        (b"PUT /?%b HTTP/1.7", b'"\\'),
        (b"GET http://h:1?%b HTTP/1.1", b"@"),
        (b'GET /"?%b HTTP/1.1', b"a"),
        (b"HEAD /?%b HTTP/1.1", b"a"),
        (b"GET /health?%b HTTP/1.1", b"a"),
    ],
)
def test_a_query_after_a_known_path(base: bytes, query: bytes) -> None:
    table = HeadTable({}, Limits(), health_path="/health")
    lines = [table.start_line(base % each) for each in (b"first", b"second", query)]
    line = lines[-1]
    assert set(table.lines) == {(base % b"").replace(b"?", b"", 1)}
    fresh = environ.StartLine(base % query, "/health")
    for name in fresh.__slots__:
        assert getattr(line, name) == getattr(fresh, name), name


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /?HTTP/1.1",
        b"GET /?a b HTTP/1.1",
        b"GET /?a#b HTTP/1.1",
        b"GET /?a\rb HTTP/1.1",
        b"GET /?\xff HTTP/1.1",
        b"GET /?a  HTTP/1.1",
        b"GET /?a HTTP/3.1",
        b"OPTIONS *?a HTTP/1.1",
        b"?a HTTP/1.1",
        b"? HTTP/1.1",
    ],
)
def test_a_query_after_a_known_path_is_checked(raw: bytes) -> None:
    table = HeadTable({}, Limits())
    for known in (b"GET / HTTP/1.1", b"OPTIONS * HTTP/1.1"):
        table.start_line(known)
    with pytest.raises(HttpError) as one:
        environ.StartLine(raw)
    with pytest.raises(HttpError) as other:
        table.start_line(raw)
    assert (one.value.status, str(one.value)) == (other.value.status, str(other.value))


NAMES = [b"Host", b"Cookie", b"X-A", b"x-a", b"X_A", b"Content-Length", b"Connection", b"Expect"]
VALUES = [b"", b"1", b"2", b"close", b" 3 ", b"\xe9", b"\0", b"\r", b"a\r\nX-A: 4", b"\r\nHost: b"]
LINES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
CHANGES = st.lists(st.sampled_from(VALUES), min_size=2, max_size=6)


def outcome(table: HeadTable, raw: bytes, last: environ.HeaderBlock | None) -> tuple[object, ...]:
    """What is made of a block, and the block; or the error."""
    try:
        block = table.header_block(raw, last)
    except HttpError as error:
        return error.status, str(error), last
    seen = ("close", "content_length", "expect", "host", "keep_alive", "plain", "raw", "upgrade")
    facts = [getattr(block, name) for name in (*seen, "tail", "transfer_encoding", "framed")]
    return facts, block.environ(table.start_line(b"GET / HTTP/1.1")), block


@settings(max_examples=300, deadline=None, derandomize=True)
@given(LINES, st.integers(0, 3), CHANGES)
def test_what_came_before_on_a_connection_changes_nothing(
    names: list[bytes], place: int, changes: list[bytes]
) -> None:
    table = HeadTable({}, Limits())
    last: environ.HeaderBlock | None = None
    for value in changes:
        values = [value if n == place % len(names) else b"1" for n in range(len(names))]
        raw = b"\r\n".join(b"%b:%b" % pair for pair in zip(names, values, strict=True))
        alone = outcome(HeadTable({}, Limits()), raw, None)
        *together, last = outcome(table, raw, last)  # type: ignore[assignment]
        assert together == [*alone[:-1]]
