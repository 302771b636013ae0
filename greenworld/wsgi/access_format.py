"""What an access line holds: the names of formats, the atoms, and how they become a function.

1. A format is turned into the source of one function when the server starts, as `namedtuple`
   does it: an atom costs what its expression costs. What the user wrote enters that source as
   constants only.
2. A format is a name (`common`, `combined`, `json`) or text with atoms, which mean what they mean
   to Apache and Gunicorn. What is no atom is an error when the server starts.
3. Whatever a client or the application chose is escaped: a line is one line of printable ASCII,
   and a quoted field ends where its quote is.
4. What can be said of the header block alone is said once for each block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from greenworld.wsgi.clock import wall_time_writer
from greenworld.wsgi.environ import HeaderBlock, StartLine
from greenworld.wsgi.http1 import TOKEN
from greenworld.wsgi.quoting import quote
from greenworld.wsgi.response import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.errors import HttpError
    from greenworld.wsgi.gateway import Application, Exchange

__all__ = ["ATOMS", "NAMED", "Atom", "Format", "Refusal", "compile_format", "timed"]

NAMED: Final = {
    "common": '%h %l %u %t "%r" %>s %B',
    "combined": '%h %l %u %t "%r" %>s %B "%{Referer}i" "%{User-Agent}i"',
}
"""The formats that have a name; `json` is in `access_json`."""


class Format(NamedTuple):
    """A format that was compiled."""

    render: Callable[[Any], str]
    """Returns the line, with its newline, for an `Exchange` or a `Refusal`."""
    timed: bool
    """Whether it tells how long a request took, and so needs to know when it began."""


class Atom(NamedTuple):
    """One row of the table: how it is written, what it stands for, how it is worked out.

    The expression may use `exchange`, `connection` and `head`; `argument` where the atom takes
    one: what `prepare` makes of the text between the braces.
    """

    text: str
    says: str
    expression: str
    prepare: Callable[[str], Any] | None = None


def _request_key(name: str) -> str:
    _check_name(name)
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def _response_name(name: str) -> bytes:
    _check_name(name)
    return name.lower().encode("ascii") + b":"


def _check_name(name: str) -> None:
    if not name or name.encode("ascii").translate(None, TOKEN):
        raise ValueError(f"{name!r} is not the name of a header")


_PATTERN = re.compile(r"%(?:\{([^{}]*)\}|([<>]?))([A-Za-z%])")
_ESCAPED = re.compile(r"[^ !#-\[\]-z|~]")  # what means something in an f-string's source
_LITERAL = re.compile(r"[\t\x20-\x7e]*")

_ATOMS = (
    Atom("%h", "the client's address; `-` for a Unix socket", "{client}"),
    Atom("%a", "the same", "{client}"),
    Atom(
        "%{c}a",
        "the address of the connection's peer, such as a proxy",
        "connection.host or '-'",
    ),
    Atom("%l", "`-`", "'-'"),
    Atom(
        "%u",
        "`REMOTE_USER`, where the application put it into its environment",
        "'-' if 'REMOTE_USER' not in environ else value(environ, 'REMOTE_USER')",
    ),
    Atom(
        "%t",
        "when the answer ended, as `[22/Nov/2026:07:50:59 +0000]`",
        "connection.server.clock.log_stamp",
    ),
    Atom(
        "%{FORMAT}t",
        "the same as strftime writes it, or as `sec`, `msec` or `usec` since the epoch",
        "argument()",
        wall_time_writer,
    ),
    Atom("%r", "the request line", "exchange.line.log_text"),
    Atom("%m", "the method", "exchange.line.method"),
    Atom("%U", "the path, decoded, without the query", "quote(line_environ['PATH_INFO'])"),
    Atom("%q", "the query with its `?`; nothing if there is none", "query(line_environ)"),
    Atom("%H", "the protocol, such as `HTTP/1.1`", "line_environ['SERVER_PROTOCOL']"),
    Atom("%s", "the status; `-` if there was no answer", "'-' if head is None else head.code"),
    Atom("%>s", "the same", "'-' if head is None else head.code"),
    Atom("%B", "the bytes of the body that were sent", "exchange.sent"),
    Atom("%b", "the same, with `-` for none", "exchange.sent or '-'"),
    Atom("%D", "how long the request took, in microseconds", "elapsed(exchange, 1e6)"),
    Atom("%M", "the same in milliseconds", "elapsed(exchange, 1e3)"),
    Atom("%T", "the same in whole seconds", "elapsed(exchange, 1)"),
    Atom("%L", "the same in seconds, with six decimals", "seconds(exchange)"),
    Atom(
        "%{NAME}i",
        "a header of the request, as it came",
        "quote(exchange.block.header(argument, '-'))",
        _request_key,
    ),
    Atom(
        "%{NAME}o",
        "a header of the answer, as the application gave it",
        "response_header(head, argument)",
        _response_name,
    ),
    Atom("%{KEY}e", "a key of the request's environment", "value(environ, argument)", str),
    Atom("%{request_id}x", "the request's name in all logs", "exchange.request_id"),
    Atom("%p", "the port that the server listens on; `-` for a Unix socket", "port(connection)"),
    Atom("%{remote}p", "the port of the connection's peer", "connection.port or '-'"),
    Atom("%P", "the number of the process", "getpid()"),
    Atom("%%", "a percent sign", "'%'"),
)
ATOMS: Final = {atom.text: atom for atom in _ATOMS}
"""The atoms, in the order in which they are explained."""

_BY_LETTER: Final = {atom.text[-1]: atom for atom in _ATOMS if atom.prepare is not None}
_TIMED: Final = frozenset({"%D", "%M", "%T", "%L"})
_HEADER: Final = _BY_LETTER["i"]
_PRELUDE: Final = {
    "connection": "exchange.connection",
    "head": "exchange.head",
    "environ": "exchange.environ",
    "line_environ": "exchange.line.environ",
    "block": "exchange.block",
}

Piece = str | tuple[Atom, str]


def compile_format(text: str, *, behind_proxies: bool = False) -> Format:
    """Return the format that `text` names or spells out. Raises ValueError with the reason.

    `behind_proxies`: the client's address is the one in the environment, not the connection's.
    """
    if text == "json":  # a server whose log is no JSON has no use for the standard library's
        compiled: Format = import_module("greenworld.wsgi.access_json").json_format(behind_proxies)
        return compiled
    pieces = _parse(NAMED.get(text, text))
    client = "value(environ, 'REMOTE_ADDR')" if behind_proxies else "connection.host or '-'"
    timed = any(piece[0].text in _TIMED for piece in pieces if not isinstance(piece, str))
    return Format(_function(pieces, client), timed)


def _parse(text: str) -> list[Piece]:
    """Split a format into text and atoms with their arguments."""
    if _LITERAL.fullmatch(text) is None:
        raise ValueError("the access format may only hold printable ASCII, and no line break")
    pieces: list[Piece] = []
    end = 0
    while (at := text.find("%", end)) >= 0:
        match = _PATTERN.match(text, at)
        if match is None:
            hint = ": write %h for %(h)s" if text.startswith("%(", at) else ""
            raise ValueError(f"the access format holds no atom at {text[at : at + 12]!r}{hint}")
        pieces += (text[end:at], _atom(match))
        end = match.end()
    if not pieces:
        raise ValueError(
            f"the access format {text!r} is neither common, combined nor json, and has no atoms"
        )
    return [*pieces, text[end:] + "\n"]


def _atom(match: re.Match[str]) -> tuple[Atom, str]:
    atom = ATOMS.get(match[0])
    if atom is not None:
        return atom, ""
    atom = _BY_LETTER.get(match[3])
    if match[1] is None or atom is None or atom.prepare is None:
        raise ValueError(
            f"the access format holds {match[0]!r}, which is no atom: there are {' '.join(ATOMS)}"
        )
    try:
        atom.prepare(match[1])
    except ValueError as error:
        raise ValueError(f"the access format holds {match[0]!r}: {error}") from None
    return atom, match[1]


def _function(pieces: list[Piece], client: str) -> Callable[[Any], str]:
    """Make the function that puts the pieces together."""
    names: dict[str, Any] = dict(_HELPERS)
    start, end = _longest_run(pieces)
    parts = [_source(piece, names, client) for piece in pieces]
    if start < end:
        names["say_run"] = _run_function(pieces[start:end])
        parts[start:end] = ["{block.log_part or block.say(say_run)}"]
    body = "".join(parts)
    lines = ["def render(exchange):"]
    for name, origin in _PRELUDE.items():
        if re.search(rf"\b{name}\b", body):
            lines.append(f"    {name} = {origin}")
    lines.append(f'    return f"""{body}"""')
    exec("\n".join(lines), names)
    render: Callable[[Any], str] = names["render"]
    return render


def _longest_run(pieces: list[Piece]) -> tuple[int, int]:
    """Find the slice with the most headers that holds nothing but headers and text."""
    best = (0, 0)
    most = start = headers = 0
    for at, piece in enumerate(pieces):
        if isinstance(piece, str):
            continue
        if piece[0] is not _HEADER:
            start, headers = at + 1, 0
            continue
        headers += 1
        if headers > most:
            most, best = headers, (start, at + 1)
    if most and best[1] == len(pieces) - 1:  # and the text that ends the line
        best = (best[0], len(pieces))
    return best


def _run_function(run: list[Piece]) -> Callable[[Callable[[str, str], str]], str]:
    """Make the function that says what the header block alone decides."""
    parts = [piece if isinstance(piece, str) else (_request_key(piece[1]),) for piece in run]

    def say_run(header: Callable[[str, str], str]) -> str:
        return "".join(
            [part if isinstance(part, str) else quote(header(part[0], "-")) for part in parts]
        )

    return say_run


def _source(piece: Piece, names: dict[str, Any], client: str) -> str:
    """Return what stands for a piece in an f-string; what it needs is added to `names`."""
    if isinstance(piece, str):
        return _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02x}", piece)
    atom, argument = piece
    if len(atom.expression) == len("'-'"):  # a constant
        return atom.expression[1]
    expression = atom.expression.replace("{client}", client)
    if atom.prepare is not None:
        name = f"argument_{len(names)}"
        names[name] = atom.prepare(argument)
        expression = expression.replace("argument", name)
    return f"{{{expression}}}"


# What the expressions of the table use


def _value(environ: dict[str, Any], key: str) -> str:
    found = environ.get(key)
    return "-" if found is None or found == "" else quote(str(found))


def _query(line_environ: dict[str, Any]) -> str:
    text: str = line_environ["QUERY_STRING"]
    return "?" + quote(text) if text else ""


def _elapsed(exchange: Exchange, scale: float) -> int | str:
    begun: float | None = getattr(exchange, "begun", None)
    return "-" if begun is None else int((monotonic() - begun) * scale)


def _seconds(exchange: Exchange) -> str:
    begun: float | None = getattr(exchange, "begun", None)
    return "-" if begun is None else f"{monotonic() - begun:.6f}"


def _response_header(head: ResponseHead | None, name: bytes) -> str:
    if head is None:
        return "-"
    lines = head.lines.split(b"\r\n")[1:-1]
    values = [line[len(name) :].strip() for line in lines if line.lower().startswith(name)]
    return quote(b", ".join(values).decode("latin-1")) if values else "-"


def _port(connection: Connection) -> str:
    address = connection.listener.address
    return str(address[1]) if isinstance(address, tuple) else "-"


_HELPERS: Final = {
    "elapsed": _elapsed,
    "getpid": os.getpid,
    "port": _port,
    "query": _query,
    "quote": quote,
    "response_header": _response_header,
    "seconds": _seconds,
    "value": _value,
}


class Refusal:
    """What was no request and was answered with an error, in the shape of an `Exchange`."""

    __slots__ = ("block", "connection", "environ", "error", "head", "line", "request_id", "sent")

    def __init__(self, connection: Connection, error: HttpError, sent: int) -> None:
        self.connection = connection
        self.error = error
        self.sent = sent
        self.environ = {"REMOTE_ADDR": connection.host}
        self.head = ResponseHead(str(error.status))
        self.line = _NO_LINE
        self.block = HeaderBlock(b"", {}, shareable=True)
        self.request_id = "-"


_NO_LINE: Final = StartLine(b"GET / HTTP/1.1")
_NO_LINE.log_text = _NO_LINE.method = "-"
_NO_LINE.environ = {"PATH_INFO": "-", "QUERY_STRING": "", "SERVER_PROTOCOL": "-"}


def timed(application: Application) -> Application:
    """Return the application, with each request's beginning noted in its `Exchange`."""

    def noted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response.__self__.begun = monotonic()  # it is a method of the Exchange
        return application(environ, start_response)

    return noted
