"""A port to listen at, and the server that answers there."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from flukeseg.errors import InputError

LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
"""Names that this machine has for itself; under any other, a page elsewhere could read along."""

HEADER_SECONDS = 10.0
"""For a request's headers, and between two requests of a connection."""

MOST_CONNECTIONS = 512


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address of this machine.

    Args:
        host: name or address; 0.0.0.0 is every IPv4 address of the machine.
        port: 0 takes any that is free.

    Raises:
        InputError: the port is taken or may not be used, or the machine has no such address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise InputError(
                f"port={port} is taken by another program; give port={port + 1}"
            ) from error
        if number == errno.EACCES:
            raise InputError(
                f"port={port} is for the administrator only; give one above 1023"
            ) from error
        raise InputError(f"host={host} is no address of this machine; give 127.0.0.1") from error


def is_loopback(connection: socket.socket) -> bool:
    """Tell whether a socket can be reached from this machine only."""
    return ipaddress.ip_address(connection.getsockname()[0]).is_loopback


def address_of(connection: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = connection.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def run(app: Any, connection: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM; those at work are finished first."""
    uvicorn.Server(configure(app)).run(sockets=[connection])


def configure(app: Any) -> uvicorn.Config:
    """Return how uvicorn serves an application."""
    return uvicorn.Config(
        app,
        http=TimedProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=30,
    )


class TimedProtocol(H11Protocol):
    """HTTP as uvicorn speaks it; a connection that sends no complete headers is closed in time.

    uvicorn itself waits for them without end, so that a few hundred silent connections would take
    up all there are.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the connection."""
        super().connection_made(transport)
        self._watch = self.loop.call_later(HEADER_SECONDS, self._check, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching the connection."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _check(self, before: Any) -> None:
        """Close the connection if no request has begun since the last check."""
        cycle = cast(Any, self.cycle)
        is_idle = cycle is None or cycle.response_complete
        if is_idle and cycle is before:
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()
        else:
            self._watch = self.loop.call_later(
                HEADER_SECONDS, self._check, cycle if is_idle else object()
            )
