"""Certificates for tests: an authority of one's own, made with the `openssl` command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

LIMIT = 60.0
CURVE = "-newkey ec -pkeyopt ec_paramgen_curve:P-256"


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """Signs certificates; its own is `certificate`. Skips the test where `openssl` is missing."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl command to make a certificate with")
        self._folder = folder
        self._issued = 0
        self.certificate = str(folder / "authority.pem")
        self._key = str(folder / "authority.key")
        self._openssl(
            f"req -x509 {CURVE} -nodes -days 2 -addext keyUsage=critical,keyCertSign,cRLSign",
            *("-subj", "/CN=Tests' authority"),
        )

    def _openssl(self, command: str, *more: str) -> None:
        words = ["openssl", *command.split(), *more]
        if "-x509" in words:
            words += ["-keyout", self._key, "-out", self.certificate]
        subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)

    def issue(self, *hosts: str, subject: str = "/CN=localhost", password: str = "") -> Pair:
        """A certificate for these host names (default: localhost), and its key."""
        self._issued += 1
        path = self._folder / f"issued-{self._issued}"
        pair = Pair(f"{path}.pem", f"{path}.key")
        names = hosts or ("localhost", "127.0.0.1")
        extensions = self._folder / "extensions"
        extensions.write_text(
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
            f"subjectAltName={','.join(map(_alternative, names))}\n"
        )
        lock = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        self._openssl(
            f"req -new {CURVE} -utf8 -keyout {pair.key} -out {path}.csr", "-subj", subject, *lock
        )
        self._openssl(
            f"x509 -req -days 2 -in {path}.csr -CA {self.certificate} -CAkey {self._key}"
            f" -CAcreateserial -extfile {extensions} -out {pair.certificate}"
        )
        return pair


NOT_ENDED = "(?i)unexpected.eof|EOF occurred in violation"
"""What an SSLError says of an end without close_notify; SSLEOFError came with 3.11.3."""


def strict_client(authority: Authority) -> ssl.SSLContext:
    """A client's context for which an end without close_notify is none."""
    context = ssl.create_default_context(cafile=authority.certificate)
    # Set by default in CPython 3.11.0 to 3.11.2.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def _alternative(name: str) -> str:
    if "@" in name:
        return f"email:{name}"
    return f"{'IP' if name.replace('.', '').isdigit() else 'DNS'}:{name}"
