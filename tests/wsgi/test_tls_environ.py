"""Names of certificates as text, and what the environment says of a client's certificate."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from greenworld.wsgi.tls_environ import client_environ, distinguished_name

DER = b"\x30\x03certificate"
CERTIFICATE: dict[str, Any] = {
    "subject": (
        (("countryName", "PL"),),
        (("organizationName", "Green"),),
        (("organizationalUnitName", "one"),),
        (("organizationalUnitName", "two"),),
        (("commonName", "Łucja"), ("userId", "7")),
    ),
    "issuer": ((("commonName", "An authority"),),),
    "version": 3,
    "serialNumber": "0AFF",
    "notBefore": "Nov 22 12:00:00 2026 GMT",
    "notAfter": "Nov 24 12:00:00 2026 GMT",
    "subjectAltName": (
        ("DNS", "a.example"),
        ("DNS", "b.example"),
        ("email", "a@b.example"),
        ("IP Address", "127.0.0.1"),
    ),
}
LUCJA = "Łucja".encode().decode("latin-1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ((), ""),
        (((("countryName", "PL"),), (("commonName", "a"),)), "CN=a,C=PL"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("commonName", 'a,b+c"d\\e<f>g;h'),),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (((("commonName", "#a "),),), "CN=\\#a\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "a\0b"),),), "CN=a\\00b"),
        (((("1.2.3.4", "x"),),), "1.2.3.4=x"),
    ],
)
def test_names_as_text(name: Any, text: str) -> None:
    assert distinguished_name(name) == text


def test_a_clients_certificate() -> None:
    assert client_environ(DER, CERTIFICATE) == {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(DER),
        "SSL_CLIENT_M_VERSION": "3",
        "SSL_CLIENT_M_SERIAL": "0AFF",
        "SSL_CLIENT_V_START": "Nov 22 12:00:00 2026 GMT",
        "SSL_CLIENT_V_END": "Nov 24 12:00:00 2026 GMT",
        "SSL_CLIENT_S_DN": f"CN={LUCJA}+UID=7,OU=two,OU=one,O=Green,C=PL",
        "SSL_CLIENT_S_DN_C": "PL",
        "SSL_CLIENT_S_DN_O": "Green",
        "SSL_CLIENT_S_DN_OU": "one",
        "SSL_CLIENT_S_DN_OU_1": "two",
        "SSL_CLIENT_S_DN_CN": LUCJA,
        "SSL_CLIENT_S_DN_UID": "7",
        "SSL_CLIENT_I_DN": "CN=An authority",
        "SSL_CLIENT_I_DN_CN": "An authority",
        "SSL_CLIENT_SAN_DNS_0": "a.example",
        "SSL_CLIENT_SAN_DNS_1": "b.example",
        "SSL_CLIENT_SAN_Email_0": "a@b.example",
    }


def test_a_certificate_without_a_subject_or_other_names() -> None:
    bare = {
        key: value for key, value in CERTIFICATE.items() if key not in ("subject", "subjectAltName")
    }
    assert client_environ(DER, bare)["SSL_CLIENT_S_DN"] == ""
