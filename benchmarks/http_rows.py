"""What `benchmarks.http` measures: its rows, and how a server that runs is measured once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks import wrk
from benchmarks.http_application import BLOCK, BLOCKS, BODY, MESSAGE, SLEEP
from benchmarks.http_server import Subject
from benchmarks.idle import measure_idle_memory
from benchmarks.process import Child
from benchmarks.report import ratios_to
from benchmarks.runtimes import BASELINE

SLEEPERS = 512
IDEAL = SLEEPERS / SLEEP  # requests per second if nothing but the sleep took time


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    servers: Sequence[str]
    server_core: int | None
    repeat: int
    seconds: int
    idle_connections: int


@dataclass(frozen=True)
class Row:
    """One line of the report: how a server that runs is measured once."""

    name: str
    what: str
    measure: Callable[[Child, Plan], tuple[float, str]]
    path: str = "/"
    expects: bytes = BODY
    """The body of the answer to a GET for the path; white space does not matter."""
    access_log: bool = False
    waits: bool = False
    """Whether it is for servers alone that let hundreds of requests or connections wait."""
    needs_wrk: bool = True
    larger_is_better: bool = True

    def suits(self, subject: Subject) -> bool:
        """Whether the row makes sense for that server."""
        return (subject.waits or not self.waits) and (subject.logs or not self.access_log)


@dataclass
class RowResult:
    """What a row gave: a figure a turn and server, or why there is none; the last remarks."""

    row: Row
    samples: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> dict[str, float]:
        """How many times better greenworld does than each other server."""
        return ratios_to(BASELINE, self.samples, self.row.larger_is_better)


def under_load(
    path: str, connections: int, *words: str
) -> Callable[[Child, Plan], tuple[float, str]]:
    """Requests per second that wrk gets answered."""

    def measure(server: Child, plan: Plan) -> tuple[float, str]:
        url = f"http://127.0.0.1:{server.greeting['port']}{path}"
        load = wrk.run(url, connections, plan.seconds, words)
        return load.rate, load.complaint

    return measure


def idle_memory(server: Child, plan: Plan) -> tuple[float, str]:
    """Bytes per idle connection."""
    port = int(server.greeting["port"])
    return measure_idle_memory(server.pid, port, plan.idle_connections), ""


ROWS = (
    Row("keep-alive", "req/s, a browser's 11 headers", under_load("/", 64)),
    Row("keep-alive-log", "req/s, … with access log", under_load("/", 64), access_log=True),
    Row("keep-alive-vary", "req/s, … new Cookie, query", under_load("/", 64, "vary")),
    Row("keep-alive-trace", "req/s, … new header, query", under_load("/", 64, "trace")),
    Row("close", "req/s, a new connection for each", under_load("/", 64, "close")),
    Row("post", "req/s, a form of 2 KiB", under_load("/post", 64, "post")),
    Row(
        "stream",
        "req/s, 64 KiB in 16 blocks",
        under_load("/stream", 64),
        path="/stream",
        expects=BLOCK * BLOCKS,
    ),
    Row(
        "flask",
        "req/s, a Flask view's JSON",
        under_load("/json", 64),
        path="/json",
        expects=json.dumps(MESSAGE, separators=(",", ":")).encode(),
    ),
    Row(
        "sleep",
        f"req/s, {SLEEPERS} at once, 50 ms sleep",
        under_load("/sleep", SLEEPERS),
        waits=True,
    ),
    Row(
        "idle",
        "bytes a connection",
        idle_memory,
        waits=True,
        needs_wrk=False,
        larger_is_better=False,
    ),
)
