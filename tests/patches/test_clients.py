"""The standard library's clients and servers, many at once in one patched process.

Nobody gets an answer before all have asked, and before a ticking thread has
ticked: whoever blocks the process makes the program hang.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

PRELUDE = '''
from greenworld.patches import monkey_patch
monkey_patch()
import contextlib, io, os, socketserver, sys, threading, time

N = 20
everybody = threading.Barrier(N + 1)
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1

threading.Thread(target=tick, daemon=True).start()

def meet():
    everybody.wait(35)

def at_once(function):
    """What N threads return that call `function(number)` at the same time."""
    results = [None] * N

    def call(number):
        results[number] = function(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(N)]
    for thread in threads:
        thread.start()
    goal = ticks + 10
    while ticks < goal:
        time.sleep(0.001)
    meet()
    for thread in threads:
        thread.join()
    return results

@contextlib.contextmanager
def serving(server):
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with server:
        yield server.server_address
        server.shutdown()
    thread.join()

class Lines(socketserver.StreamRequestHandler):
    """A server that speaks lines: each command is a method that returns lines to answer."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\\r\\n")

    def handle(self):
        self.say(self.greeting)
        for line in self.rfile:
            words = line.decode().split()
            self.answer(words)
            if "QUIT" in words or "LOGOUT" in words:
                break

class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 2 * N
'''


def run(program: Callable[..., str], code: str) -> None:
    assert program(f"{PRELUDE}\n{code}\nprint('done')") == "done\n"


@pytest.mark.parametrize("kind", ["TCP", "UDP", "UnixStream", "UnixDatagram"])
def test_socketserver_with_threads(program: Callable[..., str], kind: str) -> None:
    run(
        program,
        f"""
import socket, tempfile

class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        if isinstance(self.request, tuple):
            data, sock = self.request
            meet()
            sock.sendto(data * 2, self.client_address)
        else:
            data = self.request.recv(100)
            meet()
            self.request.sendall(data * 2)

class {kind}(socketserver.Threading{kind}Server):
    request_queue_size = 2 * N

folder = tempfile.TemporaryDirectory()
unix = "{kind}".startswith("Unix")
address = folder.name + "/server" if unix else ("127.0.0.1", 0)
server = {kind}(address, Handler)

def ask(number):
    with socket.socket(server.address_family, server.socket_type) as sock:
        if "{kind}" == "UnixDatagram":
            sock.bind(f"{{folder.name}}/client{{number}}")
        sock.connect(server.server_address)
        sock.settimeout(30)
        sock.sendall(b"%d." % number)
        return sock.recv(100)

with serving(server):
    assert at_once(ask) == [b"%d.%d." % (n, n) for n in range(N)]
folder.cleanup()
""",
    )


def test_socketserver_with_processes(program: Callable[..., str]) -> None:
    run(
        program,
        """
import socket

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"%d " % os.getpid())
        self.wfile.write(self.rfile.readline())

class Forking(socketserver.ForkingTCPServer):
    request_queue_size = 2 * N
    max_children = 2 * N

def ask(number):
    with socket.create_connection(address, 30) as sock, sock.makefile("rwb") as file:
        pid = int(sock.recv(20))
        meet()
        sock.sendall(b"%d\\n" % number)
        assert int(file.readline()) == number
        return pid

with serving(Forking(("127.0.0.1", 0), Handler)) as address:
    pids = at_once(ask)
assert len(set(pids)) == N and os.getpid() not in pids
""",
    )


HTTP = """
import http.client, http.server, shutil, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/meet"):
            meet()
        body = self.path.encode() * 10_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *args):
        pass

class Web(http.server.ThreadingHTTPServer):
    request_queue_size = 2 * N
"""


def test_http_server_and_client(program: Callable[..., str]) -> None:
    run(
        program,
        HTTP
        + """
def ask(number):
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("POST", "/", body=b"%d" % number * 100_000)
    assert connection.getresponse().read() == (b"%d" % number * 100_000)[::-1]
    connection.request("GET", f"/meet/{number}")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, f"/meet/{number}".encode() * 10_000)
    connection.close()

with serving(Web(("127.0.0.1", 0), Handler)) as address:
    at_once(ask)
""",
    )


def test_urllib_and_files(program: Callable[..., str]) -> None:
    run(
        program,
        HTTP
        + """
import tempfile, urllib.error
from functools import partial

class Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        meet()
        super().do_GET()

    def log_message(self, *args):
        pass

def ask(number):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=30) as answer:
        return answer.read()

with tempfile.TemporaryDirectory() as folder:
    for number in range(N):
        with open(f"{folder}/{number}", "wb") as file:
            file.write(b"%d" % number * 100_000)
    with serving(Web(("127.0.0.1", 0), partial(Files, directory=folder))) as (_, port):
        assert at_once(ask) == [b"%d" % number * 100_000 for number in range(N)]
""",
    )


def test_xmlrpc(program: Callable[..., str]) -> None:
    run(
        program,
        """
import xmlrpc.client
from xmlrpc.server import SimpleXMLRPCServer

class Rpc(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
    request_queue_size = 2 * N

def square(number):
    meet()
    if number == 7:
        raise ValueError("seven")
    return number * number

def ask(number):
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/") as proxy:
        try:
            return proxy.square(number)
        except xmlrpc.client.Fault as fault:
            return "seven" in fault.faultString

server = Rpc(("127.0.0.1", 0), logRequests=False)
server.register_function(square)
with serving(server) as (_, port):
    assert at_once(ask) == [True if n == 7 else n * n for n in range(N)]
""",
    )


def test_wsgiref(program: Callable[..., str]) -> None:
    run(
        program,
        """
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

class Web(socketserver.ThreadingMixIn, WSGIServer):
    request_queue_size = 2 * N

def application(environ, start_response):
    meet()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()] * 1000

def ask(number):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=30) as answer:
        return answer.read()

server = make_server("127.0.0.1", 0, application, Web, Quiet)
with serving(server) as (_, port):
    assert at_once(ask) == [f"/{number}".encode() * 1000 for number in range(N)]
""",
    )


def test_ftplib(program: Callable[..., str]) -> None:
    run(
        program,
        """
import ftplib, socket
stored = {}

class Ftp(Lines):
    greeting = "220 ready"

    def data(self):
        sock, _ = self.passive.accept()
        self.passive.close()
        return sock

    def answer(self, words):
        match words:
            case ["USER", _]:
                self.say("331 password?")
            case ["PASS", _]:
                meet()
                self.say("230 welcome")
            case ["TYPE", _]:
                self.say("200 fine")
            case ["PASV"]:
                self.passive = socket.create_server(("127.0.0.1", 0))
                port = self.passive.getsockname()[1]
                self.say(f"227 (127,0,0,1,{port // 256},{port % 256})")
            case ["STOR", name]:
                self.say("150 go")
                with self.data() as sock, sock.makefile("rb") as file:
                    stored[name] = file.read()
                self.say("226 done")
            case ["RETR", name]:
                self.say("150 come")
                with self.data() as sock:
                    sock.sendall(stored[name])
                self.say("226 done")
            case ["QUIT"]:
                self.say("221 bye")

def ask(number):
    content = b"%d" % number * 200_000
    received = []
    with ftplib.FTP() as ftp:
        ftp.connect(*address, timeout=30)
        ftp.login("me", "secret")
        ftp.storbinary(f"STOR {number}", io.BytesIO(content))
        ftp.retrbinary(f"RETR {number}", received.append)
    assert b"".join(received) == content

with serving(Server(("127.0.0.1", 0), Ftp)) as address:
    at_once(ask)
""",
    )


def test_smtplib(program: Callable[..., str]) -> None:
    run(
        program,
        """
import smtplib
mails = {}

class Smtp(Lines):
    greeting = "220 ready"

    def answer(self, words):
        match words:
            case ["ehlo", _]:
                self.say("250 hello")
            case ["mail", sender]:
                self.sender = sender.upper()
                self.say("250 fine")
            case ["rcpt", _]:
                meet()
                self.say("250 fine")
            case ["data"]:
                self.say("354 go")
                lines = []
                for line in self.rfile:
                    if line == b".\\r\\n":
                        break
                    lines.append(line)
                mails[self.sender] = b"".join(lines)
                self.say("250 sent")
            case _:
                self.say("221 bye")

    def handle(self):
        super().handle()

def ask(number):
    with smtplib.SMTP(*address, timeout=30) as smtp:
        smtp.sendmail(f"{number}@here", ["you@there"], f"Subject: {number}\\n\\n" + "x\\n" * 50_000)

with serving(Server(("127.0.0.1", 0), Smtp)) as address:
    at_once(ask)
assert len(mails) == N
for number in range(N):
    mail = mails[f"FROM:<{number}@HERE>"]
    assert mail.startswith(b"Subject: %d\\r\\n" % number) and mail.count(b"x\\r\\n") == 50_000
""",
    )


def test_poplib(program: Callable[..., str]) -> None:
    run(
        program,
        """
import poplib

class Pop(Lines):
    greeting = "+OK ready"

    def answer(self, words):
        match words:
            case ["USER", name]:
                self.name = name
                self.say("+OK")
            case ["PASS", _]:
                meet()
                self.say("+OK")
            case ["STAT"]:
                self.say("+OK 1 5")
            case ["RETR", _]:
                self.say("+OK")
                for _ in range(10_000):
                    self.say(self.name)
                self.say(".")
            case ["QUIT"]:
                self.say("+OK")

def ask(number):
    pop = poplib.POP3(*address, timeout=30)
    pop.user(str(number))
    pop.pass_("secret")
    assert pop.stat() == (1, 5)
    _, lines, _ = pop.retr(1)
    pop.quit()
    assert lines == [b"%d" % number] * 10_000

with serving(Server(("127.0.0.1", 0), Pop)) as address:
    at_once(ask)
""",
    )


def test_imaplib(program: Callable[..., str]) -> None:
    run(
        program,
        """
import imaplib

class Imap(Lines):
    greeting = "* OK IMAP4rev1"

    def answer(self, words):
        tag, command, *rest = words
        match command:
            case "CAPABILITY":
                self.say("* CAPABILITY IMAP4rev1")
            case "LOGIN":
                self.name = rest[0]
                meet()
            case "SELECT":
                self.say("* 1 EXISTS")
            case "FETCH":
                body = self.name * 50_000
                self.say(f"* 1 FETCH (RFC822 {{{len(body)}}}")
                self.wfile.write(body.encode())
                self.say(")")
            case "LOGOUT":
                self.say("* BYE")
        self.say(f"{tag} OK {command}")

def ask(number):
    with imaplib.IMAP4(*address, timeout=30) as imap:
        imap.login(str(number), "secret")
        assert imap.select() == ("OK", [b"1"])
        _, [(_, body), _] = imap.fetch("1", "(RFC822)")
        assert body == b"%d" % number * 50_000

with serving(Server(("127.0.0.1", 0), Imap)) as address:
    at_once(ask)
""",
    )
