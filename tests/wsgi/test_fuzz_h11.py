"""What h11 takes for a request, and what this server does: the same, but for what is listed here.

h11 is another reader of the same RFCs, and a lenient one in places. A request that one of them
accepts and the other refuses, or that they read differently, is how requests are smuggled past
each other; each such difference is intended and has its reason here, or is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenworld.wsgi.response import response_head
from tests.wsgi.test_fuzz import profile, requests, spoilt
from tests.wsgi.wire import Desk, exchange

Verdict = tuple[Any, ...]
Explains = Callable[[bytes], object]


def has(pattern: bytes) -> Explains:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL).search


LONE_LF = rb"(?<!\r)\n"
FOLDED = rb"\n[ \t]"
CONTROL = rb"[\x01-\x08\x0e-\x1f\x7f]"

STRICTER: list[tuple[str, Explains, str]] = [
    # What this server says, where h11 may accept; what the request must hold; why.
    ("a line of the request head does not end", has(LONE_LF), "RFC 9112, 2.2: LF alone is a MAY"),
    ("a line of the chunked body does not end", has(LONE_LF), "RFC 9112, 7.1: CRLF"),
    ("the request line is not", has(LONE_LF), "RFC 9112, 2.2: LF alone is a MAY"),
    ("a header value holds a control", has(LONE_LF), "RFC 9112, 2.2: LF alone is a MAY"),
    ("a header value holds a control", has(CONTROL), "RFC 9110, 5.5: no CTL in a field value"),
    ("a header line has no colon", has(LONE_LF), "RFC 9112, 2.2: LF alone is a MAY"),
    ("a header name is not a token", has(LONE_LF), "RFC 9112, 2.2: LF alone is a MAY"),
    ("a header line has no colon", has(FOLDED), "RFC 9112, 5.2: a folded line is refused"),
    ("a header name is not a token", has(FOLDED), "RFC 9112, 5.2: a folded line is refused"),
    ("Content-Length and Transfer-Encoding", has(rb"length.*encod|encod.*length"),
     "RFC 9112, 6.1: faulty framing, where h11 lets Transfer-Encoding win"),
    ("Content-Length is not one decimal number", has(rb"content-length.*(content-length|,)"),
     "RFC 9112, 6.3: h11 takes the same length said twice"),
    ("Content-Length is too large", has(rb"content-length:[ \t]*\d{19}"), "nothing is that long"),
    ("the body is too large", has(rb""), "a limit of the server"),
    ("Transfer-Encoding does not exist in", has(rb" HTTP/1\.0"), "RFC 9112, 6.1: faulty framing"),
    ("the request target", has(rb""), "RFC 9112, 3.2: the forms of a target; h11 takes any text"),
    ("the target '*'", has(rb" \* "), "RFC 9112, 3.2.4: for OPTIONS only"),
    ("CONNECT", has(rb"^CONNECT "), "RFC 9110, 9.3.6: no proxy, no tunnel"),
    ("only HTTP/1.0 and", has(rb" HTTP/[02-9]\.\d"), "RFC 9110, 2.5: the major version"),
    ("HTTP/1.1 without a Host", has(rb" HTTP/1\.[2-9]"), "RFC 9110, 2.5: 1.x is taken for 1.1"),
    ("the Host", has(rb"host:|://"), "RFC 9110, 7.2: the grammar of Host, which h11 leaves alone"),
    ("the port of the Host", has(rb":\d"), "no such port"),
    ("the only expectation", has(rb"expect:"), "RFC 9110, 10.1.1"),
    ("a chunk size line is malformed", has(rb"[ \t]+\r\n|;|[0-9a-f]{17}"),
     "RFC 9112, 7.1.1: extensions have a grammar; no blanks; no more than 64 bits"),
    ("a trailer field that frames", has(rb"content-length|transfer-encoding|host"),
     "RFC 9110, 6.5.1: never in a trailer"),
    ("the trailer section is too long", has(rb""), "a limit of the server"),
    ("the chunked body is mostly", has(rb";"), "a limit of the server"),
    ("a line of the chunked body is too long", has(rb""), "a limit of the server"),
    ("the request head is longer", has(rb""), "a limit of the server"),
    ("the request line is longer", has(rb""), "a limit of the server"),
    ("more than 100 header lines", has(rb""), "a limit of the server"),
]  # fmt: skip

LENIENT: list[tuple[str, Explains]] = [
    # What the request must hold, where h11 may refuse.
    ("RFC 9112, 7.1.1: bad whitespace around the parts of a chunk extension", has(rb"[ \t]+;")),
    ("RFC 9112, 2.2: an empty line before a request is passed over", has(rb"^(\r\n)+")),
]

seen: list[Verdict] = []


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    keys = ("CONTENT_TYPE", "CONTENT_LENGTH")
    fields = {k: v for k, v in environ.items() if k.startswith("HTTP_") or k in keys}
    seen.append(("accepts", environ["REQUEST_METHOD"], environ["RAW_URI"], fields, body))
    start_response("200 OK", [("Content-Length", "0")])
    return []


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    one = Desk(application)
    yield one
    one.close()


def ours(desk: Desk, stream: bytes) -> Verdict:
    """What this server makes of the first request."""
    seen.clear()
    answer = exchange(desk, [stream])
    if seen:
        return seen[0]
    answer = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return ("refuses", answer.partition(b"\r\n\r\n")[2].decode()) if answer else ("waits",)


def theirs(stream: bytes) -> Verdict:
    """What h11 makes of it, in the words of PEP 3333."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(stream)
    body = b""
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return ("waits",)
    except h11.RemoteProtocolError as error:
        return ("refuses", str(error))
    fields: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("latin-1").upper(), raw_value.decode("latin-1")
        if "_" in name or name == "PROXY":
            continue
        key = name.replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        joint = "; " if key == "HTTP_COOKIE" else ","
        fields[key] = fields[key] + joint + value if key in fields else value
    return ("accepts", request.method.decode(), request.target.decode(), fields, body)


def normal(verdict: Verdict) -> Verdict:
    """h11 has normalised the fields that frame, and an absolute target decides the host."""
    if verdict[0] != "accepts":
        return verdict
    kind, method, target, fields, body = verdict
    fields = dict(fields)
    fields.pop("CONTENT_LENGTH", None)
    if "HTTP_TRANSFER_ENCODING" in fields:
        fields["HTTP_TRANSFER_ENCODING"] = fields["HTTP_TRANSFER_ENCODING"].lower()
    if not target.startswith("/"):
        fields.pop("HTTP_HOST", None)
    return kind, method, target, fields, body


def compare(desk: Desk, stream: bytes) -> None:
    mine, other = ours(desk, stream), theirs(stream)
    accepted = mine[0] == "accepts", other[0] == "accepts"
    if accepted == (True, True):
        assert normal(mine) == normal(other), stream
    elif accepted == (False, True):
        assert mine[0] == "refuses", (mine, stream)
        reasons = [why for said, holds, why in STRICTER if mine[1].startswith(said)
                   and holds(stream)]  # fmt: skip
        assert reasons, (mine, stream)
    elif accepted == (True, False):
        assert [why for why, holds in LENIENT if holds(stream)], (other, stream)


@profile(40)
@given(requests())
def test_requests_in_order(desk: Desk, stream: bytes) -> None:
    compare(desk, stream)
    assert ours(desk, stream)[0] == "accepts"


@profile(200)
@given(requests().flatmap(spoilt))
@example(b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n")
@example(b"GET / HTTP/1.1\nHost: a\n\n")
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0"
         b"\r\n\r\n")  # fmt: skip
def test_requests_out_of_order(desk: Desk, stream: bytes) -> None:
    compare(desk, stream)


words = st.sampled_from(
    [b"0", b"1", b"5", b"a", b"F", b"\r\n", b"\r", b"\n", b";", b"=", b'"', b"x", b" ", b"\t", b",",
     b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b"X: y\r\n", b"Host: a\r\n", b"\x00"]
)  # fmt: skip


@profile(250)
@given(st.lists(words, max_size=14).map(b"".join))
def test_chunked_bodies(desk: Desk, body: bytes) -> None:
    compare(desk, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


FIRST = [b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1", b"POST / HTTP/1.0", b"OPTIONS * HTTP/1.1",
         b"GET http://c/ HTTP/1.1", b"GET / HTTP/1.2", b"GET / HTTP/2.0",
         b"CONNECT a:1 HTTP/1.1"]  # fmt: skip
FIELDS = [b"Content-Length: 5", b"Content-Length: 5, 5", b"content-length:\t5 ", b"Host: a",
          b"Content-Length: +5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: CHUNKED",
          b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:", b"Host: b:1", b"Host:",
          b"Transfer-Encoding : chunked", b"X: y", b" X: y", b"X", b":", b"X_Y: z", b"Proxy: z",
          b"Expect: 100-continue", b"Expect: x", b"Connection: close", b"Content-Length:",
          b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, chunked"]  # fmt: skip


@profile(250)
@given(
    st.sampled_from(FIRST),
    st.lists(st.one_of(st.sampled_from(FIELDS), st.binary(max_size=10)), max_size=5),
)
def test_heads(desk: Desk, first: bytes, rest: list[bytes]) -> None:
    compare(desk, b"\r\n".join([first, b"Host: a", *rest, b"", b"5\r\nhello\r\n0\r\n\r\n"]))
    compare(desk, b"\r\n".join([first, *rest, b"", b"5\r\nhello\r\n0\r\n\r\n"]))


token = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
value = st.text([chr(i) for i in [9, *range(32, 127), *range(128, 256)]], max_size=20)
taken = {"connection", "content-length", "transfer-encoding", "upgrade", "keep-alive", "te",
         "trailer", "trailers", "proxy-connection"}  # fmt: skip


@profile(80)
@given(
    st.integers(200, 999),
    st.text([chr(i) for i in range(32, 127)], max_size=12),
    st.lists(st.tuples(token.filter(lambda name: name.lower() not in taken), value), max_size=6),
)
def test_heads_of_answers_come_through(
    status: int, reason: str, headers: list[tuple[str, str]]
) -> None:
    head = response_head(f"{status} {reason}", headers)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(head.lines + b"\r\n")
    answer = client.next_event()
    assert isinstance(answer, h11.Response)
    assert (answer.status_code, bytes(answer.reason)) == (status, reason.encode())
    assert [(bytes(n), bytes(v)) for n, v in answer.headers.raw_items()] == [
        (n.encode(), v.strip(" \t").encode("latin-1")) for n, v in headers
    ]
