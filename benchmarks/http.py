"""Compare greenworld's WSGI server with its peers': `python -m benchmarks.http`.

Each server is a process of its own, all pinned to one core; wrk makes the load from another. For
each row the servers are loaded in turns. Exit code 1 if a row fails, 2 without wrk.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks import wrk
from benchmarks.http_rows import IDEAL, ROWS, Plan, Row, RowResult
from benchmarks.http_server import SERVERS
from benchmarks.idle import IdleError
from benchmarks.pinning import available_cores, describe_pinning, pin
from benchmarks.process import Absent, Child, ChildError, raise_file_limit
from benchmarks.report import (
    describe_machine,
    format_number,
    format_ratio,
    format_table,
    mean_ratios,
    median_or_none,
    show_progress,
    write_json,
)
from benchmarks.runtimes import BASELINE


def check_answer(port: int, row: Row) -> None:
    """Raises ChildError if the server does not answer as the application says."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", row.path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise ChildError(f"does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200 or body.split() != row.expects.split():
        raise ChildError(f"answers {answer.status} {body[:100]!r}")


def start_servers(row: Row, plan: Plan, result: RowResult, stack: ExitStack) -> dict[str, Child]:
    """Start every server that the plan names; those that cannot are noted in *result*."""
    servers = {}
    # Each server's log goes into a file of its own, as in production.
    switch = "log" if row.access_log else "no-log"
    core = "-" if plan.server_core is None else str(plan.server_core)
    for name in plan.servers:
        if not row.suits(SERVERS[name]):
            continue
        log = stack.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115 - closed by the stack
        try:
            child = Child("benchmarks.http_server", name, core, switch, stderr=log)
            servers[name] = stack.enter_context(child)
            check_answer(int(child.greeting["port"]), row)
        except Absent as error:
            result.absent[name] = str(error)
        except ChildError as error:
            said = Path(log.name).read_text(errors="replace").splitlines()
            result.errors[name] = f"{error}: {said[-1]}" if said else str(error)
    return {name: child for name, child in servers.items() if name not in result.errors}


def run_row(row: Row, plan: Plan) -> RowResult:
    """Start the servers, measure them in turns, stop them."""
    result = RowResult(row)
    with ExitStack() as stack:
        servers = start_servers(row, plan, result, stack)
        for _ in range(plan.repeat if row.needs_wrk else 1):
            for name, server in servers.items():
                if name in result.errors:
                    continue
                show_progress(f"{row.name} {name}")
                try:
                    figure, remark = row.measure(server, plan)
                except (wrk.WrkError, IdleError, OSError) as error:
                    result.errors[name] = str(error)
                    result.samples.pop(name, None)
                    continue
                result.samples.setdefault(name, []).append(figure)
                if remark:
                    result.remarks[name] = remark
    return result


def format_report(results: Sequence[RowResult], servers: Sequence[str]) -> str:
    """The figures, the ratios with their means over the rows under load, and the remarks."""
    peers = [name for name in servers if name != BASELINE]
    figures, ratios = [], []
    for result in results:
        title = f"{result.row.name}: {result.row.what}"
        figures.append([title, *(format_figure(result, name) for name in servers)])
        ratios.append([title, *(format_ratio(result.ratios.get(name)) for name in peers)])
    tables = [format_table(["", *servers], figures)]
    if peers:
        means = mean_ratios([result.ratios for result in results if result.row.larger_is_better])
        ratios.append(["geometric mean, req/s", *(format_ratio(means.get(name)) for name in peers)])
        tables += ["", format_table([f"{BASELINE} is better by", *peers], ratios), ""]
    remarks = [
        f"{name} in {result.row.name}: {remark}"
        for result in results
        for name, remark in result.remarks.items()
    ]
    failures = [
        f"{name} failed in {result.row.name}: {why}"
        for result in results
        for name, why in result.errors.items()
    ]
    absent = {name: why for result in results for name, why in result.absent.items()}
    skipped = [f"{name} was skipped: {why}" for name, why in absent.items()]
    return "\n".join([*tables, *describe_ideal(results), *remarks, *skipped, *failures])


def format_figure(result: RowResult, name: str) -> str:
    """The median, or a word for why there is none; a dash where the row is not for that server."""
    if name in result.errors:
        return "failed"
    if name in result.absent:
        return "skipped"
    return format_number(median_or_none(result.samples.get(name)))


def describe_ideal(results: Sequence[RowResult]) -> list[str]:
    """How near the sleeping requests come to what sleeping alone allows."""
    for result in results:
        if result.row.name == "sleep":
            shares = [
                f"{name} {100 * (median_or_none(rates) or 0.0) / IDEAL:.1f} %"
                for name, rates in result.samples.items()
            ]
            return [f"sleep, of the ideal {IDEAL:,.0f} req/s: {', '.join(shares)}"]
    return []


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--repeat", type=int, help="turns a row (default: 3, quick: 2)")
    parser.add_argument("--seconds", type=int, help="of load a turn (default: 4, quick: 1)")
    parser.add_argument("--idle-connections", type=int, default=10_000, metavar="N")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store every sample")
    return parser.parse_args(arguments)


def make_plan(options: argparse.Namespace, servers: Sequence[str]) -> Plan:
    """Where and how long the servers run; pins this process, and so wrk, to the other core."""
    cores = available_cores()
    if len(cores) > 1:
        pin(cores[1])
    return Plan(
        servers=servers,
        server_core=cores[0] if cores else None,
        repeat=options.repeat or (2 if options.quick else 3),
        seconds=options.seconds or (1 if options.quick else 4),
        idle_connections=options.idle_connections,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its report; return the exit code."""
    options = parse_arguments(arguments)
    rows = [row for row in ROWS if row.name in options.rows]
    if any(row.needs_wrk for row in rows) and not wrk.is_installed():
        print(wrk.HOW_TO_GET_IT, file=sys.stderr)
        return 2
    raise_file_limit()
    cores = available_cores()
    print(f"{describe_machine()}; servers {describe_pinning(cores[0] if cores else None)}", end="")
    print("" if len(cores) > 1 else ", which they share with the client")
    plan = make_plan(options, options.servers)
    results = [run_row(row, plan) for row in rows]
    show_progress("")
    print(format_report(results, options.servers))
    if options.json:
        document = {
            each.row.name: {
                "samples": each.samples,
                "ratios": each.ratios,
                "errors": each.errors,
                "absent": each.absent,
                "remarks": each.remarks,
            }
            for each in results
        }
        write_json(options.json, "http", document)
    return 1 if any(each.errors for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
