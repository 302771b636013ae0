"""Libraries that wait in C, where no patch reaches: what they are and what to do.

One table; `python -m greenworld doctor` looks which of them a program loads.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

__all__ = ["BLOCKERS", "Blocker", "loaded_blockers"]

_NATIVE = "call it through greenworld.native.run() or greenworld.tpool.Proxy"


class Blocker(NamedTuple):
    """One library."""

    module: str
    """Loaded if this module is in `sys.modules`."""
    what: str
    advice: str


BLOCKERS = (
    Blocker("psycopg2", "psycopg2 without its wait hook",
            "leave the group psycopg of monkey_patch() on"),
    Blocker("MySQLdb", "mysqlclient does its own I/O",
            "use PyMySQL (pymysql.install_as_MySQLdb()), or " + _NATIVE),
    Blocker("grpc._cython.cygrpc", "gRPC waits in its own threads and calls",
            "use futures with callbacks, or " + _NATIVE),
    Blocker("pymssql", "FreeTDS does its own I/O", "use python-tds, or " + _NATIVE),
    Blocker("cx_Oracle", "the Oracle client does its own I/O",
            "use oracledb in its thin mode, or " + _NATIVE),
    Blocker("oracledb", "oracledb in its thick mode does its own I/O",
            "do not call init_oracle_client(), or " + _NATIVE),
    Blocker("pyodbc", "ODBC drivers do their own I/O", _NATIVE),
    Blocker("ibm_db", "the DB2 client does its own I/O", _NATIVE),
    Blocker("fdb", "the Firebird client does its own I/O", "use firebirdsql, or " + _NATIVE),
    Blocker("pycurl", "libcurl does its own I/O", "use requests or urllib3, or " + _NATIVE),
    Blocker("zmq.backend", "libzmq waits in C",
            "wait for the socket's FD with select.select before each call, or " + _NATIVE),
    Blocker("plyvel", "LevelDB waits for the disk in C", _NATIVE),
    Blocker("leveldb", "LevelDB waits for the disk in C", _NATIVE),
    Blocker("rocksdb", "RocksDB waits for the disk in C", _NATIVE),
    Blocker("pylibmc", "libmemcached does its own I/O", "use pymemcache, or " + _NATIVE),
    Blocker("confluent_kafka", "librdkafka waits in C",
            "poll(0) in a loop with sleeps, or " + _NATIVE),
    Blocker("libvirt", "libvirt does its own I/O", _NATIVE),
    Blocker("ldap", "libldap does its own I/O", "use ldap3, or " + _NATIVE),
    Blocker("gevent", "gevent has a loop of its own, which does not know this one",
            "do not use both in one OS thread"),
    Blocker("eventlet", "eventlet has a loop of its own, which does not know this one",
            "do not use both in one OS thread"),
)  # fmt: skip


def loaded_blockers() -> list[Blocker]:
    """Those that are loaded, and are in the way as they are configured."""
    return [each for each in BLOCKERS if each.module in sys.modules and _is_in_the_way(each)]


def _is_in_the_way(blocker: Blocker) -> bool:
    module: Any = sys.modules[blocker.module]
    if blocker.module == "psycopg2":
        extensions = getattr(module, "extensions", None)
        return getattr(extensions, "get_wait_callback", lambda: None)() is None
    if blocker.module == "oracledb":
        return not getattr(module, "is_thin_mode", lambda: True)()
    return True
