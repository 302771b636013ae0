"""Which of CPython's test modules are run.

A package stands for its modules. What an interpreter does not have is left out.
"""

from __future__ import annotations

__all__ = ["EXTRA_RESOURCES", "QUICK", "RESOURCES", "STAND_INS", "WHOLE"]

RESOURCES = ("cpu", "subprocess", "walltime", "decimal")
"""What `test.support` may use in a whole run: not the network, nor sound, windows, gigabytes."""

EXTRA_RESOURCES = {
    # They ask for the network but hardly use it: what does fails unpatched without one.
    "test.test_socketserver": ("network",),
    "test.test_timeout": ("network",),
}
"""What single modules may use besides, in a quick run too."""

STAND_INS = {
    f"test.test_multiprocessing_{method}": f"tests.cpython.standins.multiprocessing_{method}"
    for method in ("fork", "spawn", "forkserver")
}
"""Modules of ours for those of CPython's that some releases (3.11.7, 3.12.1) do not install."""

WHOLE = (
    # Sockets and waiting for them
    "test_socket test_ssl test_timeout test_select test_selectors test_poll test_epoll "
    "test_kqueue test_devpoll "
    # Threads
    "test_thread test_threading test_threading_local test_threadsignals test_threadedtempfile "
    "test_queue test_sched test_context "
    "test_importlib.test_locks test_importlib.test_threaded_import "
    "test_concurrent_futures test_asyncio test_logging "
    # Processes, signals, descriptors, time
    "test_subprocess test_signal test_os test_posix test_popen test_pty test_openpty test_fork1 "
    "test_wait3 test_wait4 test_time test_fcntl test_ioctl "
    "test_multiprocessing_fork test_multiprocessing_spawn test_multiprocessing_forkserver "
    "test_multiprocessing_main_handling "
    # Clients and servers
    "test_socketserver test_httplib test_httpservers test_urllib test_urllib2 "
    "test_urllib2_localnet test_urllib_response test_http_cookiejar test_robotparser test_ftplib "
    "test_smtplib test_poplib test_imaplib test_nntplib test_telnetlib test_asyncore "
    "test_asynchat test_smtpd test_xmlrpc test_docxmlrpc test_wsgiref test_syslog"
).split()

QUICK = (
    "test_thread test_threading test_threading_local test_threadsignals test_queue test_sched "
    "test_context test_importlib.test_locks test_select test_selectors test_poll test_epoll "
    "test_timeout test_os test_popen test_fork1 test_wait3 test_wait4 test_time "
    "test_socketserver test_httplib test_httpservers test_urllib2_localnet test_ftplib test_poplib "
    "test_wsgiref test_asyncio.test_base_events test_asyncio.test_streams "
    "test_asyncio.test_unix_events test_concurrent_futures.test_thread_pool"
).split()
"""What takes little time and no more than the loopback interface."""
