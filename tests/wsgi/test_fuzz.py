"""The same bytes give the same requests and the same answers, however they are cut.

`GREENWORLD_TEST_FUZZ=20` makes twenty times as many examples, and different ones each time; that
takes longer than a test may: `pytest -o faulthandler_timeout=0 tests/wsgi/test_fuzz*.py`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from greenworld.wsgi import Limits, environ
from tests.wsgi.wire import Desk, exchange, settle

TIMES = int(os.environ.get("GREENWORLD_TEST_FUZZ", "0"))

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def profile(examples: int, **more: Any) -> settings:
    """So many examples, the same ones in every run, unless more are asked for."""
    return settings(
        max_examples=examples * max(1, TIMES),
        derandomize=not TIMES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        **more,
    )


# Requests


def application(environ: Environ, start_response: StartResponse) -> Any:
    """Tells what it was asked, reading the body in the way that the path names."""
    body = environ["wsgi.input"]
    read: dict[str, Callable[[], Any]] = {
        "/read": body.read,
        "/pieces": lambda: b"|".join(iter(lambda: body.read(3), b"")),
        "/lines": lambda: b"|".join(body),
        "/part": lambda: body.read(2),
        "/ignore": lambda: b"",
    }
    content = read.get(environ["PATH_INFO"], body.read)()
    asked = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {environ.get('HTTP_X')} "
    answer = asked.encode("latin-1") + content
    kind = environ["QUERY_STRING"]
    length = [("Content-Length", str(len(answer)))] if kind == "length" else []
    start_response("200 OK", [("Content-Type", "text/plain"), *length])
    return iter([answer[:5], b"", answer[5:]]) if kind == "chunked" else [answer]


methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"M-SEARCH"])
paths = st.sampled_from([b"/read", b"/pieces", b"/lines", b"/part", b"/ignore", b"/%41/b"])
queries = st.sampled_from([b"", b"?", b"?length", b"?chunked", b"?a=b&c=%20"])
contents = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"\r\n\r\nGET / HTTP/1.1\r\nHost: evil\r\n\r\n", b"0\r\n\r\n", b"a\nb\nc" * 9]
    ),
)
spaces = st.sampled_from([b"", b" ", b"\t", b" \t "])


@st.composite
def fields(draw: Any) -> bytes:
    """Some header lines, among them a Host."""
    lines = [b"Host: example.org"]
    for name in draw(
        st.lists(st.sampled_from([b"X", b"x-y", b"Cookie", b"Accept", b"A_B"]), max_size=8)
    ):
        value = draw(st.binary(max_size=12)).translate(None, bytes([*range(32), 127]))
        lines.append(name + b":" + draw(spaces) + value.strip() + draw(spaces))
    connection = draw(st.sampled_from([b"", b"", b"", b"keep-alive", b"x, Close", b"upgrade"]))
    if connection:
        lines.append(b"Connection: " + connection)
    return b"".join(line + b"\r\n" for line in draw(st.permutations(lines)))


@st.composite
def chunks(draw: Any, content: bytes) -> bytes:
    """The content in the chunked coding, one of many ways to write it."""
    places = sorted(draw(st.lists(st.integers(0, len(content)), max_size=4)))
    coded = b""
    for start, end in itertools.pairwise([0, *places, len(content)]):
        if end > start:
            size = b"%0*x" % (draw(st.integers(1, 4)), end - start)
            extension = draw(st.sampled_from([b"", b";a", b";a=b", b' ; a = "\\"b"']))
            coded += size + extension + b"\r\n" + content[start:end] + b"\r\n"
    last = draw(st.sampled_from([b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\r\nX-T: y\r\n\r\n"]))
    return coded + bytes(last)


@st.composite
def requests(draw: Any) -> bytes:
    """One request in order."""
    head = draw(st.sampled_from([b"", b"\r\n"])) + draw(methods) + b" "
    head += draw(paths) + draw(queries) + b" HTTP/1." + draw(st.sampled_from([b"1", b"1", b"0"]))
    head += b"\r\n" + draw(fields())
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "none":
        return bytes(head) + b"\r\n"
    content = draw(contents)
    if framing == "length" or head.find(b"HTTP/1.0\r\n") > 0:
        return bytes(head) + b"Content-Length: %d\r\n\r\n" % len(content) + bytes(content)
    return bytes(head) + b"Transfer-Encoding: chunked\r\n\r\n" + bytes(draw(chunks(content)))


WEEDS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\x00", b"\xff", b"0", b"f", b";",
         b",", b'"', b"\x0b", b"%", b"#", b"HTTP/1.1", b"chunked", b"Content-Length: 3\r\n",
         b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"\r\n ", b"-", b"+", b"_"]  # fmt: skip


@st.composite
def spoilt(draw: Any, stream: bytes) -> bytes:
    """The stream with a few bytes replaced by what may do harm there."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(stream)))
        gone = draw(st.integers(0, 4))
        weed = draw(st.one_of(st.sampled_from(WEEDS), st.just(b""), st.binary(max_size=3)))
        stream = stream[:place] + weed + stream[place + gone :]
    return stream


streams = st.lists(requests(), min_size=1, max_size=4).map(b"".join)
places = st.lists(st.integers(0, 5000), max_size=12)


# Answers


def answers(stream: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every answer, by h11, which is strict about what it is sent."""
    reset = stream.endswith(b"<reset>")
    client = h11.Connection(h11.CLIENT)
    found: list[tuple[int, bytes]] = []
    client.receive_data(stream.removesuffix(b"<reset>"))
    client.receive_data(b"")
    while True:
        if client.our_state is h11.IDLE:
            if not client.trailing_data[0]:
                break
            client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
            client.send(h11.EndOfMessage())
        event = client.next_event()
        if isinstance(event, h11.Response):
            status, body = event.status_code, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append((status, body))
            if client.our_state is h11.MUST_CLOSE:
                break
            client.start_next_cycle()
    assert not reset
    return found


LIMITS = Limits(line=300, fields=40, head=2000)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    one = Desk(application, limits=LIMITS, max_unread=200, max_body=2000)
    yield one
    one.close()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def told(stream: bytes) -> list[Any]:
    """What of the answers may not depend on the cut: of a refusal, all but the words."""
    return [(status, body if status == 200 else b"") for status, body in answers(stream)]


@profile(30)
@given(streams, places, st.lists(st.integers(1, 60), max_size=8))
@example(b"GET /read HTTP/1.1\r\nHost: a\r\n\r\n", [5], [1, 2])
def test_requests_in_order(desk: Desk, stream: bytes, places: list[int], sends: list[int]) -> None:
    whole = exchange(desk, [stream])
    assert exchange(desk, cut(stream, places), sends) == whole
    assert exchange(desk, [stream[i : i + 1] for i in range(len(stream))]) == whole
    assert {status for status, _ in answers(whole)} == {200}
    assert desk.errors.getvalue() == ""


@profile(80)
@given(streams.flatmap(spoilt), places)
def test_requests_out_of_order(desk: Desk, stream: bytes, places: list[int]) -> None:
    whole = told(exchange(desk, [stream]))
    assert told(exchange(desk, cut(stream, places))) == whole
    assert told(exchange(desk, [stream[i : i + 1] for i in range(len(stream))])) == whole
    statuses = [status for status, _ in whole]
    assert all(status == 200 for status in statuses[:-1]), "nothing follows a refusal"
    assert "Traceback" not in desk.errors.getvalue()


# What is remembered


def tell_all(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Tells everything that a head decides."""
    told = {key: value for key, value in sorted(environ.items()) if "." not in key}
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(told).encode("latin-1")]


@st.composite
def alike(draw: Any) -> list[bytes]:
    """Heads of one client: each is the one before it, but for a line, a value or the target."""
    names = st.sampled_from(
        [b"Host", b"X", b"x", b"Cookie", b"X-Y", b"X_Y", b"Connection", b"Expect", b"Accept"]
    )
    values = st.sampled_from(
        [b"", b"a", b"b", b"a:b", b" a ", b"\ta", b"a b", b"a,b", b"close", b"keep-alive", b"\xff",
         b"a\x00", b"a\rb", b"a\nb", b"a\r\nX: z", b"a\r\n b", b"a\r\n\r\nb", b"[::1]", b"x" * 99]
    )  # fmt: skip
    targets = st.sampled_from(
        [b"/", b"/?", b"/?a", b"/?a=b&c", b"/?%41?#", b"/?\"", b"/a", b"/a?b", b"*", b"*?a", b"?a",
         b"http://h", b"http://h?a", b"http://h/a?b", b"/ ?a", b"/?a b"]
    )  # fmt: skip
    first = [draw(st.sampled_from([b"GET", b"OPTIONS"])), draw(targets), b"HTTP/1.1"]
    lines = [b"Host: example.org"]
    lines += [draw(names) + b": " + draw(values) for _ in range(draw(st.integers(0, 4)))]
    found = []
    favourite = draw(st.integers(0, 4))  # the line that changes most often
    for _ in range(draw(st.integers(2, 7))):
        found.append(b" ".join(first) + b"\r\n" + b"\r\n".join([*lines, b"", b""]))
        if draw(st.booleans()):
            first[1] = draw(targets)
        place = draw(st.sampled_from([favourite, favourite, 0, 1, 2])) % len(lines)
        what = draw(st.sampled_from(["value"] * 8 + ["name", "line", "more", "none"]))
        if what == "value":
            lines[place] = lines[place].partition(b":")[0] + b": " + draw(values)
        elif what == "name":
            lines[place] = draw(names) + b":" + lines[place].partition(b":")[2]
        elif what == "line":
            lines[place] = draw(st.sampled_from([b"", b"X", b":", b" X: y", b"X : y", b"Proxy: a"]))
        elif what == "more":
            lines.insert(place, draw(names) + b": " + draw(values))
    return found


def forget() -> None:
    environ._lines.clear()
    environ._names.clear()


@profile(60)
@given(alike(), st.booleans())
@example([b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\nX-Y: b\r\n\r\n" % i for i in range(5)], False)
@example([b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\nx: b\r\n\r\n" % i for i in range(5)], False)
def test_what_is_remembered_changes_nothing(heads: list[bytes], refuse: bool) -> None:
    """On one connection, and each on a server that has never seen anything."""
    underscores = "refuse" if refuse else "drop"
    expected: list[tuple[int, bytes]] = []
    for head in heads:
        forget()
        desk = Desk(tell_all, underscores=underscores)
        sent = exchange(desk, [head])
        desk.close()
        expected += answers(sent)
        if b"\r\nConnection: close\r\n" in sent:
            break
    forget()
    desk = Desk(tell_all, underscores=underscores)
    assert answers(exchange(desk, heads)) == expected
    assert answers(exchange(desk, [b"".join(heads)])) == expected
    desk.close()


ORDERLY = {
    b"GET /read HTTP/1.1\r\nHost: a\r\n\r\n": b"GET /read None ",
    b"GET /read HTTP/1.1\r\nHost: a\r\nX: y\r\nCookie: c\r\n\r\n": b"GET /read y ",
    b"\r\nGET /read?chunked HTTP/1.1\r\nHost: a\r\n\r\n": b"GET /read?chunked None ",
    b"POST /read?length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello":
        b"POST /read?length None hello",
    b"POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello": b"POST /ignore None ",
    b"POST /lines HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\n":
        b"POST /lines None a\n|b",
    b"GET /read HTTP/1.0\r\nConnection: keep-alive\r\n\r\n": b"GET /read None ",
}  # fmt: skip
orderly = st.sampled_from(sorted(ORDERLY))


class Life(RuleBasedStateMachine):
    """One connection, from its first byte to its end, with what may happen to it meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(application, limits=LIMITS)
        self.wire, self.connection = self.desk.open()
        self.expected: list[tuple[int, bytes]] = []
        self.rest = b""  # of a request that has begun to arrive
        self.begun = b""
        self.over = False

    def arrive(self, data: bytes) -> None:
        self.wire.arrive(data)
        settle(self.wire)
        self.over = self.over or self.wire.closed

    def in_order(self) -> bool:
        return not self.over and not self.rest

    @precondition(in_order)
    @rule(asked=st.lists(orderly, min_size=1, max_size=5))
    def ask(self, asked: list[bytes]) -> None:
        self.arrive(b"".join(asked))
        self.expected += [(200, ORDERLY[one]) for one in asked]

    @precondition(in_order)
    @rule(asked=orderly, place=st.integers(1, 200))
    def begin(self, asked: bytes, place: int) -> None:
        place = min(place, len(asked) - 1)
        self.begun, self.rest = asked, asked[place:]
        self.arrive(asked[:place])
        if b"/ignore" in asked and len(self.rest) <= 5:  # answered without its body
            self.expected.append((200, ORDERLY[asked]))

    @precondition(lambda self: self.rest and not self.over)
    @rule(size=st.integers(1, 200))
    def go_on(self, size: int) -> None:
        before, part = len(self.rest), self.rest[:size]
        self.rest = self.rest[size:]
        self.arrive(part)
        early = b"/ignore" in self.begun
        if (early and before > 5 >= len(self.rest)) or (not early and not self.rest):
            self.expected.append((200, ORDERLY[self.begun]))

    @precondition(in_order)
    @rule(asked=orderly)
    def ask_for_the_last_time(self, asked: bytes) -> None:
        self.arrive(b"GET /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + asked)
        self.expected.append((200, b"GET /read None "))
        self.over = True

    @precondition(in_order)
    @rule(asked=orderly)
    def say_nonsense(self, asked: bytes) -> None:
        self.arrive(b"NONSENSE\r\n\r\n" + asked)
        self.expected.append((400, b"the request line is not 'method target version'\n"))
        self.over = True

    @precondition(lambda self: not self.over and self.connection.lane is not None)
    @rule(seconds=st.sampled_from([2.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        idle = self.desk.server.idle
        lane, connection = self.connection.lane, self.connection
        assert lane is not None
        lane[connection] -= seconds
        for _ in range(2):  # from fresh to cold, from cold to its end
            self.desk.close()
            idle._look()
        settle(self.wire)
        if seconds > 2:
            self.over = True
            if len(answers(self.leaving)) > len(self.expected):
                self.expected.append((408, b"the request head did not come in time\n"))
                assert self.rest

    @precondition(lambda self: not self.over and self.expected)
    @rule()
    def stop(self) -> None:
        self.desk.server.stopping = True
        if self.connection in self.desk.server.idle.all():
            self.connection.dismiss()
            settle(self.wire)
            assert self.wire.closed
            self.over = True

    @rule()
    def leave(self) -> None:
        self.arrive(b"")
        self.over = True
        assert self.wire.closed

    @property
    def leaving(self) -> bytes:
        return b"".join(self.wire.sent)

    @invariant()
    def is_answered(self) -> None:
        assert answers(self.leaving) == self.expected
        assert self.desk.errors.getvalue().count("Traceback") == 0

    @invariant()
    def is_in_one_state(self) -> None:
        connection, server = self.connection, self.desk.server
        lanes = [lane for lane in (server.idle.heads, server.idle.fresh, server.idle.cold)
                 if connection in lane]  # fmt: skip
        assert lanes == ([] if connection.lane is None else [connection.lane])
        if self.wire.closed:
            assert not lanes
            assert connection.thread is None
            assert connection not in server.connections
        else:
            assert connection in server.connections
            assert lanes or connection.thread is not None

    def teardown(self) -> None:
        if not self.wire.closed:
            self.leave()
        self.desk.close()


def test_the_life_of_a_connection() -> None:
    run_state_machine_as_test(Life, settings=profile(30, stateful_step_count=20))
