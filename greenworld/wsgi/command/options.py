"""The table of options: the one place that knows what can be set, and how it is called.

`--help`, the environment variables, the keys of the TOML file, `--show-config` and
`docs/wsgi-options.md` are made from it. A default is that of the field an option stands for.
"""

from __future__ import annotations

from typing import Final

from greenworld.wsgi.command.kinds import Choice, Count, Hosts, Many, Seconds, Switch, Text
from greenworld.wsgi.command.limit_options import LIMITS, TIMES
from greenworld.wsgi.command.option import Option, Section
from greenworld.wsgi.command.settings import DEFAULT_BIND

__all__ = ["BY_NAME", "SECTIONS"]

_SWITCH: Final = Switch()
_FILE: Final = Text("FILE")
_FILE_OR_NONE: Final = Text("FILE", optional=True)

SECTIONS: Final = (
    Section(
        "Application",
        (
            Option(
                "app",
                Text("APP"),
                "MODULE:ATTRIBUTE, also with dots (module:object.app) or a call with literal"
                " arguments (module:make(debug=True)); MODULE alone stands for its 'application'"
                " or 'app'; on the command line without --app",
                record="settings",
            ),
            Option(
                "app_dir",
                Text("DIRECTORY", optional=True),
                "import from this directory before all others; none: from the working directory",
                record="settings",
            ),
            Option(
                "chdir",
                Text("DIRECTORY", optional=True),
                "change to this directory first; relative paths of all other options but --config"
                " are then below it",
                record="settings",
            ),
            Option(
                "patch",
                _SWITCH,
                "make the standard library cooperative before the application is imported",
                record="settings",
            ),
            Option(
                "reload",
                _SWITCH,
                "for development: restart when a Python file below the application's directory"
                " changes, and answer with the traceback when the application cannot be loaded",
                record="settings",
            ),
            Option(
                "reload_dir",
                Many("DIRECTORY"),
                "with --reload, watch every file below this directory too",
                record="settings",
            ),
        ),
    ),
    Section(
        "Configuration",
        (
            Option(
                "config",
                Text("FILE", optional=True),
                "a TOML file of options; else the table [tool.greenworld.wsgi] of"
                " ./pyproject.toml, if it is there",
                record="none",
                source="not a file",
            ),
            Option(
                "show_config",
                _SWITCH,
                "print every option's value, as TOML, and where it came from; then end",
                record="none",
                source="command line",
            ),
        ),
    ),
    Section(
        "Addresses",
        (
            Option(
                "bind",
                Many("ADDRESS"),
                "HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH, unix:PATH?mode=660, unix:@NAME or fd://N;"
                " port 0 lets the system choose; none: the sockets that systemd passed, or else"
                f" {DEFAULT_BIND}",
                record="settings",
            ),
            Option(
                "backlog",
                Count(),
                "how many connections the kernel keeps until they are accepted",
                "bursts of new connections, which would be refused",
            ),
            Option(
                "reuse_port",
                _SWITCH,
                "give each worker listening sockets of its own (SO_REUSEPORT)",
                record="settings",
            ),
        ),
    ),
    Section(
        "Processes",
        (
            Option(
                "workers",
                Count(optional=True),
                "how many processes serve, under a supervisor that replaces the ones that end;"
                " none: this process serves alone",
                record="settings",
            ),
            Option(
                "preload",
                _SWITCH,
                "import the application in the supervisor, before workers are forked",
                record="settings",
            ),
            Option(
                "worker_timeout",
                Seconds(zero=True),
                "how long a worker may not give a sign of life before it is killed; 0: for ever",
                "a worker that computes for ever or blocks outside green threads",
                record="settings",
            ),
            Option(
                "max_requests",
                Count(least=0),
                "after how many requests a worker is replaced by a fresh one; 0: never",
                "an application that leaks memory",
                record="settings",
            ),
            Option(
                "max_requests_jitter",
                Count(least=0),
                "the most requests that are added to max_requests, for each worker at random",
                "all workers being replaced at the same time",
                record="settings",
            ),
        ),
    ),
    TIMES,
    LIMITS,
    Section(
        "Behind a proxy",
        (
            Option(
                "trusted_proxies",
                Many("ADDRESS"),
                "addresses and networks whose word on client and scheme is taken; 'unix' for"
                " Unix sockets, '*' for any peer",
                "clients that pretend to be someone else",
            ),
            Option(
                "forwarded_header",
                Choice("x-forwarded|forwarded", choices=("x-forwarded", "forwarded")),
                "where a trusted proxy says it: the X-Forwarded-* headers, or Forwarded",
            ),
            Option(
                "forwarded_parts",
                Many("PART", choices=("for", "proto", "host", "port", "prefix")),
                "what of it is believed: for, proto, host, port, prefix; the proxy must set each of"
                " these itself in every request",
            ),
            Option(
                "proxy_protocol",
                _SWITCH,
                "each connection begins with a PROXY header (version 1 or 2)",
            ),
        ),
    ),
    Section(
        "TLS",
        (
            Option(
                "certfile",
                _FILE_OR_NONE,
                "the server's certificate and its chain, in PEM; makes it speak TLS",
                record="tls",
                field="certificate",
            ),
            Option(
                "keyfile",
                _FILE_OR_NONE,
                "the private key, if it is not in the file of the certificate",
                record="tls",
                field="key",
            ),
            Option(
                "key_password_file",
                _FILE_OR_NONE,
                "a file whose first line is the password of the key",
                record="settings",
            ),
            Option(
                "client_ca",
                _FILE_OR_NONE,
                "the authorities that clients' certificates are checked against, in PEM",
                record="tls",
            ),
            Option(
                "client_cert",
                Choice("none|optional|required", choices=("none", "optional", "required")),
                "whether a client is asked for a certificate, and refused without one",
                record="tls",
                field="client_certificate",
            ),
            Option(
                "tls_min",
                Choice("1.2|1.3", choices=("1.2", "1.3")),
                "the oldest version of TLS that is spoken",
                record="tls",
                field="minimum_version",
            ),
            Option(
                "ciphers",
                Text("LIST", optional=True),
                "OpenSSL's cipher list for TLS 1.2; none: the standard library's",
                record="tls",
            ),
            Option(
                "alpn",
                Many("PROTOCOL"),
                "the protocols offered, the most wanted first",
                record="tls",
            ),
            Option(
                "sni",
                Hosts(),
                "the certificate for a further server name (example.org, *.example.org); in a file"
                " also a table: NAME = 'CERT:KEY'",
                record="tls",
                field="hosts",
            ),
        ),
    ),
    Section(
        "Logs and health",
        (
            Option(
                "access_log",
                _FILE_OR_NONE,
                "where a line per request goes; -: standard output",
                record="settings",
                off_flag="--no-access-log",
            ),
            Option(
                "access_format",
                Text("FORMAT"),
                "what that line holds: common, combined, json, or atoms such as '%h %r %s'",
            ),
            Option(
                "error_log",
                _FILE,
                "where errors go; -: standard error",
                record="settings",
            ),
            Option(
                "log_config",
                _FILE_OR_NONE,
                "a file for logging.config; both logs then go through logging",
                record="settings",
            ),
            Option(
                "request_id_header",
                Text("NAME", optional=True),
                "the header in which a trusted proxy names a request, for the logs",
            ),
            Option(
                "request_id_environ",
                _SWITCH,
                "put the request's name into the environment too, as greenworld.request_id",
            ),
            Option(
                "health_path",
                Text("PATH", True, "/[!-~]*", "a path that begins with '/', without spaces"),
                "a path that the server itself answers: 200, and 503 while it stops; it is not in"
                " the access log",
            ),
        ),
    ),
)
"""The options, in the order in which they are explained."""

BY_NAME: Final = {option.name: option for section in SECTIONS for option in section.options}
