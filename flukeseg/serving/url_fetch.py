"""A photo from a URL: from allowed hosts only, within a size and a time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import h11
from fastapi import HTTPException

from flukeseg import __version__

REDIRECTS = 3
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class UrlRules:
    """Which URLs are fetched.

    `hosts`: as `photos.example.org`, for the usual ports, or with another port,
    `photos.example.org:8080`; none allows no URL. `private_addresses`: whether such a host may have
    an address that is not on the public internet. `max_bytes`: of a photo. `seconds`: until it is
    there.
    """

    hosts: tuple[str, ...] = ()
    private_addresses: bool = False
    max_bytes: int = 50_000_000
    seconds: float = 20.0


async def fetch(url: str, rules: UrlRules) -> bytes:
    """Return what a URL gives; each redirect is checked as the URL is.

    The connection goes to the address that was checked, so that a name which resolves to another
    one a moment later makes no difference. Proxies of the environment are not used.

    Raises:
        HTTPException: 403 if the host is not allowed, 413 if there are too many bytes, 400 if the
            host has no such photo, 502 or 504 if it fails or does not answer in time.
    """
    try:
        return await asyncio.wait_for(_follow(url, rules), rules.seconds)
    except asyncio.TimeoutError:
        raise HTTPException(
            504, f"the photo's host did not send it within {rules.seconds:g} seconds"
        ) from None
    except (OSError, h11.RemoteProtocolError) as error:
        raise HTTPException(502, f"the photo's host does not answer properly ({error})") from error


async def _follow(url: str, rules: UrlRules) -> bytes:
    for _ in range(REDIRECTS + 1):
        parts = check_url(url, rules)
        answer = await _get(parts, rules)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise HTTPException(400, f"the photo's host redirects more than {REDIRECTS} times")


def check_url(url: str, rules: UrlRules) -> SplitResult:
    """Return the parts of a URL that may be fetched.

    Raises:
        HTTPException: 400 if it is no complete URL, 403 if its host is not allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise HTTPException(400, f"the URL cannot be read ({error})") from error
    if parts.scheme not in PORTS or not host or "@" in parts.netloc:
        raise HTTPException(400, "a URL must be http://HOST/… or https://HOST/…, without a user")
    is_usual = port in (None, PORTS[parts.scheme])
    if (host if is_usual else f"{host}:{port}") not in rules.hosts:
        raise HTTPException(403, f"photos are not fetched from {parts.netloc}: see url_hosts")
    return parts


async def _get(parts: SplitResult, rules: UrlRules) -> bytes | str:
    """Return what is at a URL, or where it redirects to."""
    reader, writer = await _connect(parts, rules)
    try:
        client = h11.Connection(h11.CLIENT)
        headers = [
            ("Host", parts.netloc),
            ("User-Agent", f"flukeseg/{__version__}"),
            ("Accept", "image/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        request = h11.Request(method="GET", target=_target(parts), headers=headers)
        writer.write(client.send(request) or b"")
        writer.write(client.send(h11.EndOfMessage()) or b"")
        body = bytearray()
        while not isinstance(event := client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                client.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Response):
                location = dict(event.headers).get(b"location", b"").decode("latin-1")
                if event.status_code in (301, 302, 303, 307, 308) and location:
                    return location
                if event.status_code != 200:
                    status = 502 if event.status_code >= 500 else 400
                    raise HTTPException(status, f"the photo's host answered {event.status_code}")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > rules.max_bytes:
                    raise HTTPException(413, f"the photo has more than {rules.max_bytes:,} bytes")
        return bytes(body)
    finally:
        writer.close()


async def _connect(
    parts: SplitResult, rules: UrlRules
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # of a name that is none
        raise HTTPException(400, f"{host} is no host's name ({error})") from error
    addresses = [str(info[4][0]) for info in found]
    allowed = [a for a in addresses if rules.private_addresses or is_public(a)]
    if not allowed:
        raise HTTPException(403, f"{host} is not on the public internet: see private_addresses")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    problem: OSError | None = None
    for address in allowed:
        try:
            return await asyncio.open_connection(
                address, port, ssl=tls, server_hostname=host if tls else None
            )
        except OSError as error:
            problem = error
    raise problem or OSError("no address")


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_global and not ip.is_multicast


def _target(parts: SplitResult) -> str:
    path, query = parts.path or "/", f"?{parts.query}" if parts.query else ""
    if parts.fragment and not query:  # Wildbook leaves the # of a file's name as it is
        path = f"{path}#{parts.fragment}"
    return quote(path, safe="/%:@!$&'()*+,;=~") + quote(query, safe="?/%:@!$&'()*+,;=~[]")
