"""docs/deploying.md keeps its word: each of its commands and configurations runs here.

Paths and ports are exchanged for those of the test; nothing else is.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.deploy.program import CLIENT, LIMIT, Program
from tests.deploy.stage import HOME, SITES, Stage, need, need_module

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
TEXT = PAGE.read_text("utf-8")
BLOCK = re.compile(r"^<!-- (?:sh|file): (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(BLOCK.findall(TEXT))


class Shop:
    """The page's application, in the place of `/srv/shop`, and what the page would do with it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.folder = stage.folder
        (self.folder / "shop.py").write_text("from probe import app\n")
        (self.folder / "static").mkdir()
        (self.folder / "static" / "logo.txt").write_text("logo\n")
        self._script("python", sys.executable)
        self._script("gunicorn", f"{sys.executable} -m gunicorn")
        self.environ = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin:/usr/sbin",
            "PYTHONPATH": f"{HOME}:{SITES}",
            "SITE_FILE": str(stage.file),
        }

    def _script(self, name: str, command: str) -> None:
        for folder in ("bin", "venv/bin"):
            path = self.folder / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            path.chmod(0o755)

    def text(self, name: str) -> str:
        """A block of the page, with the test's paths and whatever port is free."""
        found = BLOCKS[name]
        found = found.replace("/srv/mysite", f"{self.folder}/mysite")
        for place in ("/srv/shop", "/etc/ssl", "/run/shop"):
            found = found.replace(place, str(self.folder))
        return re.sub(r"(127\.0\.0\.1|--bind )?:8[04]\d\d\b", r"\1:0", found)

    def write(self, name: str) -> Path:
        """Put a file of the page in its place."""
        path = self.folder / name
        path.write_text(self.text(name))
        return path

    def start(self, name: str, listening: str = r"Listening on http://(\S+)") -> Program:
        """Run a command of the page, which must serve."""
        # The shell is not to stand between the test and the program.
        command = re.sub(r"(^|&& )(python|gunicorn)", r"\1exec \2", self.text(name))
        program = self.stage.run("bash", "-c", command, environ=self.environ)
        program.address = program.wait_for(listening).replace("0.0.0.0", "127.0.0.1")
        return program

    def pair(self) -> tuple[ssl.SSLContext, str]:
        """Certificate and key where the page has them; a client's context; the path of both."""
        authority = Authority(self.folder)
        pair = authority.issue("shop.example.org", "127.0.0.1")
        certificate, key = (Path(path).read_text() for path in pair)
        (self.folder / "shop.pem").write_text(certificate)
        (self.folder / "shop.key").write_text(key)
        both = self.folder / "shop-with-key.pem"
        both.write_text(certificate + key)
        return ssl.create_default_context(cafile=authority.certificate), str(both)


@pytest.fixture
def shop(stage: Stage) -> Shop:
    return Shop(stage)


def stop(program: Program) -> None:
    program.signal(signal.SIGTERM)
    assert program.end() == 0, program.said


def ask_tls(address: str, context: ssl.SSLContext, path: str) -> tuple[int, bytes]:
    client = http.client.HTTPSConnection(
        address, context=context, timeout=LIMIT, source_address=(CLIENT, 0)
    )
    try:
        client.request("GET", path, headers={"Host": "shop.example.org"})
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def connect_tls(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    host, _, port = address.partition(":")
    raw = socket.create_connection((host, int(port)), LIMIT, (CLIENT, 0))
    return context.wrap_socket(raw, server_hostname="shop.example.org")


def switches_protocols(address: str, context: ssl.SSLContext) -> None:
    """Upgrade through a proxy, as WebSocket does."""
    with connect_tls(address, context) as client, client.makefile("rb") as answer:
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: shop.example.org\r\n"
            b"Connection: upgrade\r\nUpgrade: echo\r\n\r\n"
        )
        assert answer.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while answer.readline() != b"\r\n":
            pass
        for word in (b"one\n", b"two\n"):
            client.sendall(word)
            assert answer.readline() == word


def test_every_block_is_marked_and_tested() -> None:
    assert TEXT.count("\n```") == 2 * len(BLOCK.findall(TEXT)), "each with a marker above it"
    source = Path(__file__).read_text("utf-8")
    assert [name for name in BLOCKS if f'"{name}"' not in source] == []


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT):
        assert (PAGE.parent / link).exists(), link
    headings = re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


@pytest.mark.parametrize("name", ["alone", "config"])
def test_commands_serve(shop: Shop, name: str) -> None:
    shop.write("shop.toml")
    program = shop.start(name)
    assert program.get("/healthz").text == "ok\n"
    assert program.get("/").text == "hello\n"
    program.signal(signal.SIGHUP)
    stop(program)


def test_options_from_the_environment(shop: Shop) -> None:
    shop.environ |= {"GREENWORLD_WORKERS": "2", "GREENWORLD_BIND": ":0"}
    command = (sys.executable, "-m", "greenworld.wsgi", "shop:app", "--access-format", "json")
    program = shop.stage.run(*command, environ=shop.environ)
    program.address = program.wait_for(r"Listening on http://0\.0\.0\.0(:\d+)")
    program.address = f"127.0.0.1{program.address}"
    assert program.get("/").text == "hello\n"
    program.wait_for(r'^\{.*"status":\s*200')
    stop(program)


def test_show_config(shop: Shop) -> None:
    shop.write("shop.toml")
    said = shop.stage.check("bash", "-c", shop.text("show-config"), environ=shop.environ)
    assert re.search(r"^workers = 2 +# .*shop\.toml", said, re.MULTILINE), said


def test_nginx(shop: Shop) -> None:
    context, _ = shop.pair()
    site = shop.stage.serve("probe:app", "--trusted-proxies", "127.0.0.1")
    config = shop.text("nginx.conf").replace("127.0.0.1:0", site.address)
    config = config.replace("listen 80;", "listen LISTEN;")
    config = config.replace("listen 443", "listen LISTEN_TLS")
    nginx = shop.stage.nginx(config.replace("/events/ {", "/gated {"))
    reply = nginx.get("/a?b", Host="shop.example.org")
    assert reply.status == 301
    assert reply.headers["location"] == "https://shop.example.org/a?b"
    assert ask_tls(nginx.tls_address, context, "/static/logo.txt") == (200, b"logo\n")
    status, body = ask_tls(nginx.tls_address, context, "/environ")
    environ = json.loads(body)
    assert (status, environ["REMOTE_ADDR"]) == (200, CLIENT)
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "shop.example.org")
    assert environ["HTTP_X_REQUEST_ID"]
    assert "HTTP_CONNECTION" not in environ
    with connect_tls(nginx.tls_address, context) as client, client.makefile("rb") as answer:
        client.sendall(b"GET /gated HTTP/1.1\r\nHost: shop.example.org\r\n\r\n")
        while answer.readline() != b"first\n":
            pass
        ask_tls(nginx.tls_address, context, "/go-on")
        while answer.readline() != b"second\n":
            pass
    switches_protocols(nginx.tls_address, context)


def test_haproxy(shop: Shop) -> None:
    context, _ = shop.pair()
    options = ("probe:app", "--trusted-proxies", "127.0.0.1", "--health-path", "/healthz")
    sites = [shop.stage.serve(*options) for _ in range(2)]
    config = BLOCKS["haproxy.cfg"].replace("/etc/ssl", str(shop.folder))
    for port, site in zip((8000, 8001), sites, strict=True):
        config = config.replace(f"127.0.0.1:{port}", site.address)
    config = config.replace("bind :80\n", "bind LISTEN\n").replace("bind :443", "bind LISTEN_TLS")
    haproxy = shop.stage.haproxy(config)
    assert haproxy.get("/").status == 302
    status, body = ask_tls(haproxy.tls_address, context, "/environ")
    environ = json.loads(body)
    assert (status, environ["REMOTE_ADDR"]) == (200, CLIENT)
    assert environ["wsgi.url_scheme"] == "https"
    switches_protocols(haproxy.tls_address, context)
    stop(sites[0])
    haproxy.wait_for("Server shop/one is DOWN")
    assert ask_tls(haproxy.tls_address, context, "/") == (200, b"hello\n")


def served_names(address: str, context: ssl.SSLContext, name: str = "127.0.0.1") -> set[str]:
    """What the certificate that is shown for a name is valid for."""
    host, _, port = address.partition(":")
    with (
        socket.create_connection((host, int(port)), LIMIT) as raw,
        context.wrap_socket(raw, server_hostname=name) as client,
    ):
        certificate: Any = client.getpeercert()
        return {value for _, value in certificate["subjectAltName"]}


def test_passthrough(shop: Shop) -> None:
    context, _ = shop.pair()
    site = shop.start("passthrough", r"Listening on https://(\S+)")
    config = BLOCKS["passthrough.cfg"].replace("127.0.0.1:8000", site.address)
    haproxy = shop.stage.haproxy(config.replace("bind :443", "bind LISTEN"))
    status, body = ask_tls(haproxy.address, context, "/environ")
    environ = json.loads(body)
    assert (status, environ["REMOTE_ADDR"]) == (200, CLIENT)
    assert environ["wsgi.url_scheme"] == "https"
    stop(site)


def test_tls(shop: Shop) -> None:
    context, _ = shop.pair()
    program = shop.start("tls", r"Listening on https://(\S+)")
    assert ask_tls(program.address, context, "/") == (200, b"hello\n")
    assert program.get("/").status == 400
    context, _ = shop.pair()  # by another authority
    program.signal(signal.SIGHUP)
    while True:
        try:
            assert served_names(program.address, context)
            break
        except ssl.SSLCertVerificationError:  # still the old one
            pass
    stop(program)


def test_tls_config(shop: Shop) -> None:
    context, _ = shop.pair()
    clients = shop.folder / "clients"
    clients.mkdir()
    authority = Authority(clients)
    (shop.folder / "clients.pem").write_text(Path(authority.certificate).read_text())
    context.load_verify_locations(authority.certificate)
    context.load_cert_chain(*authority.issue(subject="/CN=somebody"))
    for name, host in (("admin", "admin.example.org"), ("shops", "*.shops.example.org")):
        for path, ending in zip(authority.issue(host), ("pem", "key"), strict=True):
            (shop.folder / f"{name}.{ending}").write_text(Path(path).read_text())
    shop.write("shop-tls.toml")
    program = shop.start("tls-config", r"Listening on https://(\S+)")
    for name in ("admin.example.org", "one.shops.example.org"):
        assert served_names(program.address, context, name)
    status, body = ask_tls(program.address, context, "/environ")
    environ = json.loads(body)
    assert (status, environ["SSL_CLIENT_VERIFY"]) == (200, "SUCCESS")
    assert environ["SSL_CLIENT_S_DN"] == "CN=somebody"
    stop(program)


def test_gunicorn(shop: Shop) -> None:
    need_module("gunicorn")
    shop.write("gunicorn.conf.py")
    program = shop.start("gunicorn", r"Listening at: http://(\S+)")
    assert program.get("/").text == "hello\n"
    program.wait_for('"GET / HTTP/1.1" 200')
    stop(program)


def test_a_django_project(shop: Shop) -> None:
    need_module("django")
    # The module, not the script beside it: it is there wherever the library is.
    shop.stage.check(sys.executable, "-m", "django", "startproject", "mysite")
    program = shop.start("django")
    assert "The install worked successfully" in program.get("/").text
    stop(program)


def test_a_factory(shop: Shop) -> None:
    (shop.folder / "pages.py").write_text(
        "import flask\n"
        "def create_app(title):\n"
        "    app = flask.Flask(__name__)\n"
        "    app.get('/')(lambda: title)\n"
        "    return app\n"
    )
    program = shop.start("factory")
    assert program.get("/").text == "Shop"
    stop(program)


def test_systemd_units_are_valid(shop: Shop) -> None:
    units = [str(shop.write(name)) for name in ("shop.service", "shop.socket")]
    said = shop.stage.check(need("systemd-analyze"), "verify", *units)
    assert str(shop.folder) not in said, "it says nothing of these units"


def test_systemd_service_takes_its_socket_and_says_how_it_is(shop: Shop) -> None:
    activate = need("systemd-socket-activate")
    (start,) = re.findall(r"^ExecStart=(.+)$", shop.text("shop.service"), re.MULTILINE)
    address = str(shop.folder / "http.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(shop.folder / "notify"))
        notices.settimeout(LIMIT)

        def wait_for(notice: bytes) -> None:
            heard = [notices.recv(4096)]
            while notice not in heard[-1]:
                assert len(heard) < 200, heard
                heard.append(notices.recv(4096))

        shop.environ["NOTIFY_SOCKET"] = str(shop.folder / "notify")
        shop.environ["WATCHDOG_USEC"] = "500000"
        passed = [f"-E{name}={value}" for name, value in shop.environ.items()]
        program = shop.stage.run(activate, "-l", address, *passed, *start.split(" "))
        program.address = address
        program.wait_for("Listening on ")
        # The first connection starts the service, which finds it in the queue.
        environ = program.get("/environ", X_Forwarded_For="192.0.2.7").json()
        assert environ["REMOTE_ADDR"] == "192.0.2.7"
        wait_for(b"READY=1")
        wait_for(b"WATCHDOG=1")
        program.signal(signal.SIGHUP)
        wait_for(b"RELOADING=1")
        wait_for(b"READY=1")
        program.signal(signal.SIGTERM)
        wait_for(b"STOPPING=1")
        assert program.end() == 0, program.said
