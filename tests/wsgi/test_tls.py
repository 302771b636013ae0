"""The certificates of a server: loading them, refusing what makes no sense, and their renewal."""

from __future__ import annotations

import io
import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenworld.wsgi import Config, Server
from greenworld.wsgi.config import Tls
from greenworld.wsgi.log import ErrorLog
from greenworld.wsgi.tls import LOOK_EVERY, Certificates
from tests.certificates import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue()


class Site:
    """A certificate that is renewed, a clock that stands, and what the log says."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.authority = authority
        self.now = 0.0
        self.log = io.StringIO()
        self.install()
        tls = Tls(str(self.certificate), str(self.key))
        self.certificates = Certificates(tls, ErrorLog(self.log), lambda: self.now)

    def install(self) -> None:
        made = self.authority.issue()
        for target, source in zip((self.certificate, self.key), made, strict=True):
            fresh = target.with_suffix(".new")
            fresh.write_bytes(Path(source).read_bytes())
            os.replace(fresh, target)

    def context(self, later: float = 0.0) -> ssl.SSLContext:
        self.now += later
        return self.certificates.context


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Site:
    return Site(tmp_path, authority)


def test_files_that_stay_are_loaded_once(site: Site) -> None:
    first = site.context()
    assert site.context(10 * LOOK_EVERY) is first


def test_changed_files_are_loaded_after_a_while(site: Site) -> None:
    first = site.context()
    site.install()
    assert site.context(LOOK_EVERY / 2) is first
    assert site.context(LOOK_EVERY) is not first
    assert site.log.getvalue() == ""


def test_files_that_cannot_be_used_are_complained_of_once(site: Site) -> None:
    first = site.context()
    site.certificate.write_text("half a certif")
    for _ in range(5):
        assert site.context(LOOK_EVERY) is first
    said = site.log.getvalue()
    assert said.startswith(
        "greenworld.wsgi: the changed certificates cannot be used, the old ones stay in use: "
    )
    assert said.count("\n") == 1
    os.unlink(site.key)
    for _ in range(5):
        assert site.context(LOOK_EVERY) is first
    assert site.log.getvalue().count("\n") == 2
    assert f"No such file or directory: '{site.key}'" in site.log.getvalue()
    site.install()
    assert site.context(LOOK_EVERY) is not first
    assert site.log.getvalue().count("\n") == 2


def test_they_can_be_loaded_at_once(site: Site) -> None:
    first = site.context()
    assert site.certificates.reload()
    second = site.context()
    assert second is not first
    site.key.write_text("")
    assert not site.certificates.reload()
    assert site.context() is second


def test_hosts_and_authorities_are_looked_at_too(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    copies = []
    for number, source in enumerate((*authority.issue("a.example.org"), authority.certificate)):
        copies.append(tmp_path / str(number))
        copies[-1].write_bytes(Path(source).read_bytes())
    tls = Tls(
        *pair,
        hosts={"a.example.org": (str(copies[0]), str(copies[1]))},
        client_ca=str(copies[2]),
        client_certificate="optional",
    )
    now = 0.0
    certificates = Certificates(tls, ErrorLog(io.StringIO()), lambda: now)
    for path in copies:
        before = certificates.context
        path.write_bytes(path.read_bytes() + b"\n")
        now += LOOK_EVERY
        assert certificates.context is not before


def test_a_context_of_the_callers_is_never_replaced() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = 0.0
    certificates = Certificates(Tls(context=context), ErrorLog(io.StringIO()), lambda: now)
    now += LOOK_EVERY
    assert certificates.context is context
    assert certificates.reload()


def test_settings_of_the_context(pair: Pair, authority: Authority) -> None:
    tls = Tls(
        *pair,
        minimum_version="1.3",
        client_ca=authority.certificate,
        client_certificate="required",
        ciphers="ECDHE-ECDSA-AES128-GCM-SHA256",
    )
    context = Certificates(tls, ErrorLog()).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.options & ssl.OP_NO_RENEGOTIATION
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in names
    assert "ECDHE-RSA-AES128-GCM-SHA256" not in names


def test_a_key_with_a_password(authority: Authority) -> None:
    pair = authority.issue(password="open sesame")
    Certificates(Tls(*pair, password="open sesame"), ErrorLog())
    with pytest.raises(ValueError, match=f"the key in '{pair.key}' is encrypted: give its pass"):
        Certificates(Tls(*pair), ErrorLog())
    with pytest.raises(ValueError, match="cannot be used"):
        Certificates(Tls(*pair, password="guess"), ErrorLog())


def test_a_key_in_the_file_of_the_certificate(pair: Pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(Path(path).read_bytes() for path in pair))
    Certificates(Tls(str(both)), ErrorLog())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"certificate": ""}, "TLS needs a certificate"),
        ({"key": "OTHER"}, r"cannot be used \(key values mismatch\)"),
        ({"key": None}, "cannot be used"),
        ({"certificate": "KEY"}, "cannot be used"),
        ({"ciphers": "NONE-SUCH"}, "no cipher is named by 'NONE-SUCH'"),
        ({"client_certificate": "required"}, "cannot be checked without client_ca"),
        ({"client_ca": "KEY"}, "client_ca has no effect"),
        ({"client_ca": "KEY", "client_certificate": "optional"}, "no certificate in PEM"),
        ({"hosts": {"": ("x", None)}}, "a host is a name"),
        ({"hosts": {"*": ("x", None)}}, "a host is a name"),
        ({"hosts": {"a.*.org": ("x", None)}}, "a host is a name"),
        ({"hosts": {"a..org": ("x", None)}}, "a host is a name"),
        ({"context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, "the context is for clients"),
    ],
)
def test_what_makes_no_sense_is_said(
    pair: Pair, authority: Authority, changes: dict[str, Any], why: str
) -> None:
    known = {"KEY": pair.key, "OTHER": authority.issue().key}
    changes = {
        name: known.get(value, value) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    with pytest.raises(ValueError, match=why):
        Certificates(replace(Tls(*pair), **changes), ErrorLog())


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_a_file_that_is_missing_is_named(pair: Pair, name: str) -> None:
    changes: dict[str, Any] = {name: "/none/such.pem"}
    if name == "client_ca":
        changes["client_certificate"] = "optional"
    tls = replace(Tls(*pair), **changes)
    with pytest.raises(FileNotFoundError, match=r"'/none/such\.pem'"):
        Certificates(tls, ErrorLog())


def test_a_server_whose_certificates_are_wrong_listens_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = Server(lambda *_: [], bind=f"unix:{path}", config=Config(tls=Tls("/none/such")))
    with pytest.raises(FileNotFoundError):
        server.start()
    assert not path.exists()
