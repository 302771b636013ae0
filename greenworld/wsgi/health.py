"""`Config.health_path`: a path that the server itself answers, for balancers and orchestrators.

1. 200 while the server serves, 503 from the moment that it stops. The application is not asked:
   what it needs (a database, a cache) is no reason to have this process taken out or restarted.
2. Not in the access log, which would hold little else on a quiet server.
3. It is compared with the path as it was requested, before any proxy's prefix is taken off, and
   once for each request line that is new: the other requests pay nothing.
4. Nobody knows what a request is for before it is read: where `max_in_flight` is reached, this one
   waits for its turn like any other.
"""

from __future__ import annotations

from greenworld.wsgi.errors import ClientDisconnected
from greenworld.wsgi.gateway import Application, Exchange
from greenworld.wsgi.response import response_head

__all__ = ["HealthCheck"]


class HealthCheck(Exchange):
    """A request for the health path, and its answer."""

    __slots__ = ()

    def run(self, application: Application) -> None:
        """Answer without the application. **Blocks** while the client does not read."""
        headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
        if self.line.method not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", b"only GET and HEAD are answered here\n"
            headers.append(("Allow", "GET, HEAD"))
        elif self.connection.server.stopping:
            status, body = "503 Service Unavailable", b"stopping\n"
        else:
            status, body = "200 OK", b"ok\n"
        self.head = response_head(status, headers)
        try:
            self._send_all([body])
        except ClientDisconnected:
            self.close = True
