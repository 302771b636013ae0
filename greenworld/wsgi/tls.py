"""The certificates of a server, and the SSLContext that new connections are encrypted with.

1. Loaded only where TLS is asked for: a plain server does not import `ssl`.
2. The files are looked at when a connection comes, once a second at most. When one has changed
   all of them are loaded anew; if that fails, the old ones stay in use, and the reason is logged
   once. Connections that are open keep what they began with.
3. Each further host has a context of its own, alike but for its certificate; which one is taken
   is decided by the name that the client asks for (RFC 6066, section 3).
4. A context that the caller made is used as it is, and never replaced.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from greenworld.wsgi.config import Tls
    from greenworld.wsgi.log import ErrorLog

__all__ = ["Certificates"]

LOOK_EVERY: Final = 1.0
"""Seconds for which the files are taken to be unchanged."""

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKS: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """What `Tls` names, loaded. `now` is a monotonic clock.

    Raises ValueError for settings that make no sense and for what is not a certificate or a key,
    OSError for a file that cannot be read.
    """

    def __init__(self, tls: Tls, errors: ErrorLog, now: Callable[[], float] = monotonic) -> None:
        self._tls = tls
        self._errors = errors
        self._now = now
        self._context = tls.context
        self._stamp: _Stamp = ()
        self._paths: list[str] = []
        if self._context is None:
            _check(tls)
            self._paths = _paths(tls)
            self._stamp = self._read_stamp()
            self._context = _load(tls)
        elif self._context.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise ValueError("the context is for clients: make it with ssl.PROTOCOL_TLS_SERVER")
        self._until = now() + LOOK_EVERY

    @property
    def context(self) -> ssl.SSLContext:
        """What the next connection is encrypted with. Looks at the files now and then."""
        assert self._context is not None
        if self._paths and (now := self._now()) >= self._until:
            self._until = now + LOOK_EVERY
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._reload(stamp)
        return self._context

    def reload(self) -> bool:
        """Load the files again, changed or not; return whether that went well."""
        return not self._paths or self._reload(self._read_stamp())

    def _reload(self, stamp: _Stamp) -> bool:
        self._stamp = stamp  # also of files that cannot be used: said once, until they change
        try:
            self._context = _load(self._tls)
        except (OSError, ValueError) as error:
            self._errors.write(
                f"greenworld.wsgi: the changed certificates cannot be used, the old ones stay "
                f"in use: {error}"
            )
            return False
        return True

    def _read_stamp(self) -> _Stamp:
        """What tells that a file is not the one that was loaded."""
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _check(tls: Tls) -> None:
    if not tls.certificate:
        raise ValueError("TLS needs a certificate: name the file it is in")
    if tls.client_certificate != "none" and not tls.client_ca:
        raise ValueError(
            "clients' certificates cannot be checked without client_ca, the file of the "
            "authorities that sign them"
        )
    if tls.client_ca and tls.client_certificate == "none":
        raise ValueError(
            "client_ca has no effect while client_certificate is 'none': make it 'optional' or "
            "'required'"
        )
    for name in tls.hosts:
        plain = name.removeprefix("*.")
        if not plain or "*" in plain or _fold(name) is None:
            raise ValueError(f"a host is a name such as example.org or *.example.org, not {name!r}")


def _paths(tls: Tls) -> list[str]:
    """Every file that is loaded, each once."""
    pairs = [(tls.certificate, tls.key), *tls.hosts.values()]
    named = [tls.client_ca, *(path for pair in pairs for path in pair)]
    return list(dict.fromkeys(path for path in named if path))


def _load(tls: Tls) -> ssl.SSLContext:
    context = _context(tls, tls.certificate, tls.key)
    hosts = {_fold(name): _context(tls, *pair) for name, pair in tls.hosts.items()}
    if hosts:

        def choose(connection: Any, name: str | None, first: ssl.SSLContext) -> None:
            """Take the context for that name. OpenSSL calls it in the handshake."""
            folded = _fold(name) if name else None
            if folded:
                found = hosts.get(folded) or hosts.get("*." + folded.partition(".")[2])
                if found is not None:
                    connection.context = found

        context.sni_callback = choose
    return context


def _fold(name: str) -> str | None:
    """The name as it is compared (RFC 6066: A-labels, any case); None for what is no name."""
    try:
        return name.lower().rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return None


def _context(tls: Tls, certificate: str, key: str | None) -> ssl.SSLContext:
    """A context with one certificate and all the other settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    # A client that could ask for new handshakes on and on would have the server do the hard part.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.ciphers is not None:
        try:
            context.set_ciphers(tls.ciphers)
        except ssl.SSLError:
            raise ValueError(
                f"no cipher is named by {tls.ciphers!r}: see `openssl ciphers`"
            ) from None
    if tls.alpn:
        context.set_alpn_protocols(list(tls.alpn))
    _load_pair(context, certificate, key, tls.password)
    if tls.client_ca is not None:
        _need(tls.client_ca)
        try:
            context.load_verify_locations(tls.client_ca)
        except ssl.SSLError as error:
            raise ValueError(
                f"there is no certificate in PEM in {tls.client_ca!r} ({_reason(error)})"
            ) from error
    context.verify_mode = _ASKS[tls.client_certificate]
    return context


def _load_pair(
    context: ssl.SSLContext, certificate: str, key: str | None, password: str | None
) -> None:
    def give_password() -> str:
        # Without one, OpenSSL would ask on the terminal and wait.
        if password is None:
            raise ValueError(f"the key in {key or certificate!r} is encrypted: give its password")
        return password

    for path in (certificate, key):
        if path is not None:
            _need(path)
    try:
        context.load_cert_chain(certificate, key, give_password)
    except ssl.SSLError as error:
        raise ValueError(
            f"the certificate in {certificate!r} and the key in {key or certificate!r} cannot be "
            f"used ({_reason(error)})"
        ) from error


def _need(path: str) -> None:
    """Raise the OSError that says which file cannot be read: OpenSSL's does not."""
    with open(path, "rb"):
        pass


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
