"""Headless Chromium loads a page with all that is in it, and submits a form with a file."""

from __future__ import annotations

import hashlib
import os
import ssl

import pytest

from tests.certificates import Authority
from tests.deploy.stage import Stage, need

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_chromium_loads_a_page_and_uploads_a_form(stage: Stage, scheme: str) -> None:
    binary = need("chromium")
    if scheme == "https":
        authority = Authority(stage.folder)
        certificate, key = authority.issue()
        site = stage.serve("page:app", "--certfile", certificate, "--keyfile", key)
        site.context = ssl.create_default_context(cafile=authority.certificate)
    else:
        site = stage.serve("page:app")
    options = [
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--ignore-certificate-errors",
        # Whatever it would like to call home for, it stays on this machine.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={stage.folder}/profile",
    ]
    if os.geteuid() == 0:  # its sandbox does not start as root
        options.append("--no-sandbox")
    stage.run(binary, *options, f"{scheme}://{site.address}/", environ={"HOME": str(stage.folder)})
    seen = site.get("/reports").json()
    page, upload = seen["reports"]
    assert page == {"answers": list(range(20)), "images": 12, "color": "rgb(1, 2, 3)"}
    digest = hashlib.sha256(b"\7" * 300_000).hexdigest()
    assert upload == {"note": "Grüße", "file": ["sevens.bin", digest]}
    assert len(seen["ports"]) >= 35
    assert len(set(seen["ports"])) < len(seen["ports"]) / 2, "over connections that were kept"
    assert "Traceback" not in site.said
