"""Crawl a web site with many green threads at once.

With greenworld installed::

    python examples/crawler.py [--workers N] [--pages N]

The site is a WSGI application whose pages link to one another and take 50 ms each to answer; this
very process serves it. `monkey_patch` comes first, so that the standard library's HTTP client and
`time.sleep` below are cooperative.
"""

from __future__ import annotations

import greenworld

greenworld.monkey_patch()

import argparse
import http.client
import re
import time
from typing import TYPE_CHECKING

from greenworld.wsgi import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECONDS_PER_PAGE = 0.05


def make_site(pages: int) -> WSGIApplication:
    """Make an application with `pages` pages: page n links to 2n+1, 2n+2 and back to (n-1)/2."""

    def site(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        number = int(environ["PATH_INFO"].strip("/"))
        time.sleep(SECONDS_PER_PAGE)
        links = [2 * number + 1, 2 * number + 2, max(number - 1, 0) // 2]
        page = "".join(f'<a href="/{link}">{link}</a>\n' for link in links if link < pages)
        start_response("200 OK", [("Content-Type", "text/html")])
        return [page.encode()]

    return site


class Crawler:
    """Follows every link of one site, `workers` pages at a time."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        self.host = host
        self.port = port
        self.workers = workers
        self.found = {"/0"}
        self.sizes: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.todo: greenworld.Queue[str] = greenworld.Queue()

    def crawl(self) -> None:
        """Start at /0 and return when no unread page is left. **Blocks** until then."""
        self.todo.put("/0")
        workers = [greenworld.spawn(self.work) for _ in range(self.workers)]
        self.todo.join()
        for worker in workers:
            worker.kill()

    def work(self) -> None:
        """Read one page after another, until killed."""
        while True:
            path = self.todo.get()
            try:
                self.read(path)
            except (OSError, http.client.HTTPException) as error:
                self.failures[path] = repr(error)
            finally:
                self.todo.task_done()

    def read(self, path: str) -> None:
        """Fetch the page and queue the links that nobody has found before."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            page = reply.read().decode()
        finally:
            connection.close()
        if reply.status != 200:
            raise http.client.HTTPException(f"{path} answered {reply.status} {reply.reason}")
        self.sizes[path] = len(page)
        for link in re.findall('href="(/[^"]*)"', page):
            if link not in self.found:
                self.found.add(link)
                self.todo.put(link)


def main() -> int:
    """Serve the site, crawl it and print what was found; 1 if a page could not be read."""
    parser = argparse.ArgumentParser(description="Crawl a local site with many green threads.")
    parser.add_argument("--workers", type=int, default=100, help="pages at a time (100)")
    parser.add_argument("--pages", type=int, default=500, help="pages the site has (500)")
    options = parser.parse_args()

    server = Server(make_site(options.pages), bind="127.0.0.1:0")
    server.start()
    host, port = server.address
    crawler = Crawler(host, port, options.workers)
    started = time.monotonic()
    crawler.crawl()
    seconds = time.monotonic() - started
    server.stop(timeout=5)

    alone = len(crawler.sizes) * SECONDS_PER_PAGE
    print(f"{len(crawler.sizes)} pages, {sum(crawler.sizes.values())} characters")
    print(f"{seconds:.2f} seconds with {options.workers} workers; one by one at least {alone:.2f}")
    for path, failure in crawler.failures.items():
        print(f"failed: {path}: {failure}")
    return 1 if crawler.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
