"""What a request's environment says of its TLS connection, under the names of Apache's mod_ssl.

1. Names and values of the client's certificate are there only if the certificate was checked:
   `SSL_CLIENT_VERIFY` is `SUCCESS` then, else `NONE`. A client that fails the check gets no
   connection.
2. Texts beyond Latin-1 are UTF-8, read as Latin-1, as everywhere in an environment (PEP 3333).
3. Connections without a client's certificate share one dictionary for each protocol and cipher:
   idle ones must stay cheap.

**Source**: Apache HTTP Server, mod_ssl, "Environment Variables"; RFC 4514 (names as text).
"""

from __future__ import annotations

from ssl import DER_cert_to_PEM_cert, SSLObject
from typing import Any, Final

__all__ = ["tls_environ"]

_MAX_SHARED: Final = 256
_shared: dict[tuple[Any, ...], dict[str, Any]] = {}

# RFC 4514, section 3, and the further ones that OpenSSL abbreviates; others stand as they are.
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "emailAddress",
    "givenName": "GN",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "surname": "SN",
    "userId": "UID",
}

Name = tuple[tuple[tuple[str, str], ...], ...]
"""A distinguished name as the standard library gives it: sets of attributes, in order."""


def tls_environ(tls: SSLObject) -> dict[str, Any]:
    """Return what is known after the handshake. Not to be changed: it may be shared."""
    der = tls.getpeercert(binary_form=True)
    certificate: Any = tls.getpeercert()
    if der is not None and certificate:
        return {**_basics(tls), **client_environ(der, certificate)}
    key = (tls.version(), tls.cipher(), tls.session_reused, tls.selected_alpn_protocol())
    known = _shared.get(key)
    if known is None:
        if len(_shared) >= _MAX_SHARED:
            _shared.clear()
        known = _shared[key] = {**_basics(tls), "SSL_CLIENT_VERIFY": "NONE"}
    return known


def _basics(tls: SSLObject) -> dict[str, Any]:
    name, _, bits = tls.cipher() or ("", "", 0)
    return {
        "HTTPS": "on",
        "wsgi.url_scheme": "https",
        "SSL_PROTOCOL": tls.version() or "",
        "SSL_CIPHER": name,
        "SSL_CIPHER_USEKEYSIZE": str(bits),
        "SSL_SESSION_RESUMED": "Resumed" if tls.session_reused else "Initial",
        "SSL_ALPN_PROTOCOL": tls.selected_alpn_protocol() or "",
    }


def client_environ(der: bytes, certificate: dict[str, Any]) -> dict[str, Any]:
    """Return what a client's certificate says; `certificate` is as `getpeercert()` gives it."""
    found = {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_CERT": DER_cert_to_PEM_cert(der),
        "SSL_CLIENT_M_VERSION": str(certificate["version"]),
        "SSL_CLIENT_M_SERIAL": certificate["serialNumber"],
        "SSL_CLIENT_V_START": certificate["notBefore"],
        "SSL_CLIENT_V_END": certificate["notAfter"],
    }
    for letter, field in (("S", "subject"), ("I", "issuer")):
        name: Name = certificate.get(field, ())
        found[f"SSL_CLIENT_{letter}_DN"] = _native(distinguished_name(name))
        counts: dict[str, int] = {}
        for attribute, value in (pair for each in name for pair in each):
            key = f"SSL_CLIENT_{letter}_DN_{_short(attribute)}"
            count = counts[key] = counts.get(key, -1) + 1
            found[f"{key}_{count}" if count else key] = _native(value)
    counts = {}
    for kind, value in certificate.get("subjectAltName", ()):
        label = {"DNS": "DNS", "email": "Email"}.get(kind)
        if label is not None:
            count = counts[label] = counts.get(label, -1) + 1
            found[f"SSL_CLIENT_SAN_{label}_{count}"] = _native(value)
    return found


def distinguished_name(name: Name) -> str:
    """Return a name as text, the last part first (RFC 4514, section 2)."""
    return ",".join(
        "+".join(f"{_short(attribute)}={_escaped(value)}" for attribute, value in part)
        for part in reversed(name)
    )


def _short(attribute: str) -> str:
    return _SHORT.get(attribute, attribute)


def _escaped(value: str) -> str:
    """Escape what means something in a name (RFC 4514, section 2.4)."""
    text = "".join("\\" + char if char in '"+,;<>\\' else char for char in value)
    text = text.replace("\0", "\\00")
    if text.endswith(" "):
        text = text[:-1] + "\\ "
    if text.startswith((" ", "#")):
        text = "\\" + text
    return text


def _native(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
