"""A TCP echo server: one green thread per client, nothing patched.

With greenworld installed::

    python examples/echo_server.py [PORT]

Talk to it with ``nc 127.0.0.1 7000``; Ctrl-C stops it. Port 0 takes any free port.
"""

import sys

import greenworld
from greenworld.patches import socket


def echo(connection: socket.socket, address: tuple[str, int]) -> None:
    """Send everything that comes back to where it came from, until the client is done."""
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except ConnectionError as error:
            print(f"{address[0]}:{address[1]} went away: {error}", flush=True)


def main(port: int) -> None:
    """Serve on loopback until interrupted."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        print("Listening on {}:{}".format(*listener.getsockname()), flush=True)
        while True:
            greenworld.spawn_n(echo, *listener.accept())


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 7000)
    except KeyboardInterrupt:
        print("stopped", flush=True)
