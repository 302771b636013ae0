"""The part of the table of options that bounds what clients can do: times and limits."""

from __future__ import annotations

from typing import Final

from greenworld.wsgi.command.kinds import Choice, Count, Seconds, Size
from greenworld.wsgi.command.option import Option, Section

__all__ = ["LIMITS", "TIMES"]

_SECONDS: Final = Seconds()
_SECONDS_OR_ZERO: Final = Seconds(zero=True)

TIMES: Final = Section(
    "Times",
    (
        Option(
            "keep_alive",
            _SECONDS_OR_ZERO,
            "how long a connection may be idle between two requests; 0: closed after each",
            "idle connections, each of which holds memory and a descriptor",
        ),
        Option(
            "head_timeout",
            _SECONDS,
            "how long a request head may take to arrive; then 408",
            "clients that send a request head a byte at a time, or never (Slowloris)",
        ),
        Option(
            "body_timeout",
            _SECONDS,
            "how long nothing of a request body may arrive; then 408",
            "clients that announce a body and stop sending it: each holds a green thread, and"
            " what the application has open",
        ),
        Option(
            "body_rate",
            Count("BYTES", least=0),
            "bytes per second that a client must send of a request body: one that falls"
            " body_timeout behind gets 408; only time that the server waits counts; 0: any",
            "clients that send a body so slowly that body_timeout never strikes",
        ),
        Option(
            "write_timeout",
            _SECONDS,
            "how long a client may read nothing of its answer",
            "clients that ask for a large answer and do not read it: each holds the answer in"
            " memory, and a green thread",
        ),
        Option(
            "write_rate",
            Count("BYTES", least=0),
            "bytes per second that a client must read of an answer that waits for it: one that"
            " falls write_timeout behind is cut off; 0: any",
            "clients that read an answer a few bytes at a time",
        ),
        Option(
            "request_timeout",
            Seconds(optional=True),
            "how long a request may take, from its head to the end of its answer; then 503, or"
            " an answer that is cut short; long polls and streams are requests too",
            "requests that wait for ever for something behind the application",
        ),
        Option(
            "handshake_timeout",
            _SECONDS,
            "how long a new connection may take for its PROXY header and its TLS handshake",
            "clients that connect and do not go on",
        ),
        Option(
            "graceful_timeout",
            _SECONDS_OR_ZERO,
            "how long requests may take to finish at a stop; then they are ended",
            "requests that never end and would hold up a stop",
        ),
    ),
)

LIMITS: Final = Section(
    "Limits",
    (
        Option(
            "limit_line",
            Size(),
            "the most bytes of a request line; beyond it 414",
            "request lines that cost memory and time",
            record="limits",
            field="line",
        ),
        Option(
            "limit_fields",
            Count(),
            "the most header lines of a request; beyond it 431",
            "heads of thousands of lines, which cost time",
            record="limits",
            field="fields",
        ),
        Option(
            "limit_head",
            Size(),
            "the most bytes of a whole request head; beyond it 431",
            "heads that cost memory and time",
            record="limits",
            field="head",
        ),
        Option(
            "max_body",
            Size(optional=True),
            "the most bytes of a request body; beyond it 413",
            "bodies larger than the application can keep or store",
        ),
        Option(
            "max_unread",
            Size(least=0),
            "how many bytes of a body that the application left unread are dropped to keep"
            " the connection; beyond it the connection ends",
            "clients that make the server read what nobody wants",
        ),
        Option(
            "max_connections",
            Count(optional=True),
            "the most connections open at a time; more wait in the backlog",
            "more connections than the process has memory or descriptors for",
        ),
        Option(
            "max_in_flight",
            Count(optional=True),
            "the most requests answered at a time; more wait, unread, first come, first served",
            "more work at a time than what is behind the application can do, such as a"
            " database's pool",
        ),
        Option(
            "max_per_address",
            Count(optional=True),
            "the most connections open at a time from one address (IPv6: one network of 64"
            " bits), but for Unix sockets and trusted proxies; more are closed",
            "one client that takes all connections",
        ),
        Option(
            "underscores",
            Choice("drop|refuse", choices=("drop", "refuse")),
            "what becomes of a header whose name holds an underscore: it is dropped, or the"
            " request is refused with 400",
            "X_Forwarded_For posing as X-Forwarded-For",
        ),
    ),
)
