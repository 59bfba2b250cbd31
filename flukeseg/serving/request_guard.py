"""What is asked of a request before anything reads it: token, size, time, and a place to wait."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/health", "/openapi.json")
"""What is answered without a token."""

LINGER = 2.0
"""Seconds in which the rest of a refused upload is thrown away, so that its sender reads why."""


@dataclass(frozen=True)
class RequestLimits:
    """What a service takes on.

    `max_bytes`: of a request's body. `max_requests`: that are received, waiting or at work; the
    next are refused. `upload_seconds`: for a body to arrive. `seconds`: for an answer to be ready.
    """

    max_bytes: int = 50_000_000
    max_requests: int = 32
    upload_seconds: float = 20.0
    seconds: float = 60.0


class RequestGuard:
    """Receives the body of each request within its limits, and passes it on.

    Args:
        app: gets the requests that are not refused.
        limits: of size, number and time.
        token: that a request must carry as `Authorization: Bearer TOKEN`; None asks for none.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits, token: str | None = None) -> None:
        self.app, self.limits, self.token = app, limits, token
        self.busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        if refusal := self._refuse_headers(request):
            await _refuse(request, refusal, send)
        elif scope["method"] != "POST":  # no other has a body
            await self.app(scope, receive, send)
        elif self.busy >= self.limits.max_requests:
            await _refuse(request, busy(self.limits.max_requests), send)
        else:
            self.busy += 1
            try:
                await self._receive(request, send)
            finally:
                self.busy -= 1

    async def _receive(self, request: Request, send: Send) -> None:
        try:
            body = await asyncio.wait_for(
                read_body(request, self.limits.max_bytes), self.limits.upload_seconds
            )
        except asyncio.TimeoutError:
            sentence = f"the request did not arrive within {self.limits.upload_seconds:g} seconds"
            await _refuse(request, problem(408, sentence), send, LINGER / 10)
        except HTTPException as error:
            await _refuse(request, problem(error.status_code, error.detail), send)
        except ClientDisconnect:
            pass
        else:
            await self.app(request.scope, _replay(body, request.receive), send)

    def _refuse_headers(self, request: Request) -> JSONResponse | None:
        if is_foreign(request):
            return problem(403, "this is for programs, not for pages of other sites")
        if self.token is not None and request.url.path not in OPEN_PATHS:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                return problem(
                    401,
                    "send the header Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": "Bearer"},
                )
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.max_bytes:
            return problem(413, f"more than {self.limits.max_bytes:,} bytes were sent")
        return None


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request that is refused."""
    return JSONResponse({"detail": sentence}, status, headers)


def busy(waiting: int) -> JSONResponse:
    """Return the answer to a request that there is no room for now."""
    return problem(503, f"{waiting} requests are waiting; try again later", {"Retry-After": "2"})


def is_foreign(request: Request) -> bool:
    """Tell whether a page of another site makes a request."""
    origin = request.headers.get("origin")
    return bool(origin) and origin != f"http://{request.headers.get('host')}"


async def read_body(request: Request, most: int) -> bytes:
    """Read what was sent with a request, up to so many bytes.

    Raises:
        HTTPException: it is more.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, f"more than {most:,} bytes were sent")
    return bytes(body)


async def _refuse(
    request: Request, answer: JSONResponse, send: Send, linger: float = LINGER
) -> None:
    """Send an answer, and throw away what still arrives, for a while.

    A connection that is closed with unread bytes is reset, and many clients then never read the
    answer.
    """
    headers = [*answer.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})

    async def discard() -> None:
        while (await request.receive()).get("more_body", False):
            pass

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(discard(), linger)
    await send({"type": "http.response.body", "body": b""})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a channel that gives a body once, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
