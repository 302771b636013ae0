"""From values to `Settings`: each value goes into its field, and those that clash are refused."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, Final

from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.command.options import BY_NAME
from greenworld.wsgi.command.reading import Given
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.config import Config, Tls
from greenworld.wsgi.http1 import Limits

__all__ = ["build", "change_directory"]

_NEEDS: Final = {
    "key_password_file": "certfile",
    "client_ca": "certfile",
    "proxy_protocol": "trusted_proxies",
    "max_requests_jitter": "max_requests",
    **dict.fromkeys(("keyfile", "client_cert", "tls_min", "ciphers", "alpn", "sni"), "certfile"),
}
"""Options that mean nothing without another one."""
_NEED_WORKERS: Final = ("preload", "max_requests")
_READERS: Final = {
    "access_format": ("greenworld.wsgi.access_format", "compile_format"),
    "bind": ("greenworld.wsgi.binds", "parse"),
    "request_id_header": ("greenworld.wsgi.request_id", "header_key"),
    "trusted_proxies": ("greenworld.wsgi.trust", "TrustedProxies"),
}
"""Who reads a value that has a grammar of its own, and raises ValueError; loaded when it is set."""


def change_directory(given: Mapping[str, Given]) -> None:
    """Change to the directory of `chdir`: relative paths are below it. Raises `SettingsError`."""
    directory = given["chdir"]
    if directory.value is None:
        return
    try:
        os.chdir(directory.value)
    except OSError as error:
        raise SettingsError(
            f"{directory.where}: cannot change to {directory.value!r}: {error.strerror}"
        ) from None


def build(given: Mapping[str, Given]) -> Settings:
    """Return what these values amount to. Raises `SettingsError`. Reads the password's file."""
    _check_app(given)
    _check_needs(given)
    _check_processes(given)
    _check_logs(given)
    _check_directories(given)
    _check_files(given)
    _check_values(given)
    fields: dict[str, dict[str, Any]] = {"settings": {}, "server": {}, "limits": {}, "tls": {}}
    for name, option in BY_NAME.items():
        if option.record != "none" and given[name].value != option.default:
            fields[option.record][option.field or name] = given[name].value
    server = Config(
        limits=Limits(**fields["limits"]), tls=_tls(fields["tls"], given), **fields["server"]
    )
    return Settings(server=server, **fields["settings"])


def _check_app(given: Mapping[str, Given]) -> None:
    if given["app"].value is None:
        raise SettingsError(
            "no application: name it on the command line, as MODULE:ATTRIBUTE"
            " (--help lists the options)"
        )


def _check_needs(given: Mapping[str, Given]) -> None:
    for name, other in _NEEDS.items():
        if _is_set(given, name) and not _is_set(given, other):
            raise SettingsError(f"{given[name].where} needs {BY_NAME[other].flag}")
    if given["client_cert"].value != "none" and not _is_set(given, "client_ca"):
        raise SettingsError(f"{given['client_cert'].where} needs --client-ca")


def _check_processes(given: Mapping[str, Given]) -> None:
    workers, reload = given["workers"], given["reload"]
    if reload.value and workers.value is not None:
        here = workers.source == reload.source
        remedy = f"leave out {workers.where}" if here else f"add --workers none ({workers.where})"
        raise SettingsError(f"{reload.where} serves from one process: {remedy}")
    for name in _NEED_WORKERS:
        if _is_set(given, name) and workers.value is None and not reload.value:
            raise SettingsError(f"{given[name].where} needs --workers")


def _check_logs(given: Mapping[str, Given]) -> None:
    for name in ("access_log", "error_log"):
        if _is_set(given, "log_config") and given[name].value not in (None, "-"):
            raise SettingsError(
                f"{given[name].where} names a file, against {given['log_config'].where}:"
                " with that, name the file in it"
            )


def _check_directories(given: Mapping[str, Given]) -> None:
    app_dir, reload_dir = given["app_dir"], given["reload_dir"]
    wanted = [(app_dir.where, app_dir.value)] if app_dir.value is not None else []
    for where, directory in (*wanted, *((reload_dir.where, name) for name in reload_dir.value)):
        if not os.path.isdir(directory):
            raise SettingsError(f"{where}: there is no directory {directory!r}")


def _check_files(given: Mapping[str, Given]) -> None:
    """Raise for a file that cannot be opened: later, nobody could say which option named it."""
    for name in ("certfile", "keyfile", "client_ca", "log_config"):
        if given[name].value is not None:
            _check_file(given[name].value, given[name].where)
    for host in given["sni"].value:
        for path in _host(host)[1]:
            if path is not None:
                _check_file(path, given["sni"].where)


def _check_file(path: str, where: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise SettingsError(f"{where}: cannot read {path!r}: {error.strerror}") from None


def _check_values(given: Mapping[str, Given]) -> None:
    for name, (module, reader) in _READERS.items():
        value, _, where = given[name]
        if not _is_set(given, name) or value is None:
            continue
        read = getattr(importlib.import_module(module), reader)
        try:
            for text in value if name == "bind" else (value,):
                read(text)
        except ValueError as error:
            raise SettingsError(f"{where}: {error}") from None


def _is_set(given: Mapping[str, Given], name: str) -> bool:
    return bool(given[name].value != BY_NAME[name].default)


def _tls(fields: dict[str, Any], given: Mapping[str, Given]) -> Tls | None:
    if not fields:
        return None
    fields["hosts"] = dict(_host(text) for text in given["sni"].value)
    return Tls(password=_password(given["key_password_file"]), **fields)


def _host(text: str) -> tuple[str, tuple[str, str | None]]:
    name, _, files = text.partition("=")
    certificate, _, key = files.partition(":")
    return name, (certificate, key or None)


def _password(path: Given) -> str | None:
    if path.value is None:
        return None
    try:
        with open(path.value, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path.where}: cannot read {path.value!r}: {reason}") from None
