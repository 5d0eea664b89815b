"""Requests of this site to addresses that people typed in.

Such an address could point into the site's own network, where a request of the site may do what nobody
outside may. So names are resolved here, every address found must be a public one, and the connection goes
to the very address that was looked at, whatever the name answers a moment later.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import urllib3
from django.conf import settings

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where nothing did."""

    status: int
    message: str

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300


def check_url(url: str) -> None:
    """Refuse what is no address of the web, or lies in a private network.

    Raises:
        ValueError: with what is wrong and what to do.
    """
    parts = _split(url)
    _public_address(parts)


def post(url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Send a body; redirects are not followed, proxies of the environment not used, and answers not read."""
    try:
        parts = _split(url)
        address, port = _public_address(parts)
    except ValueError as refused:
        return Answer(0, str(refused)[:300])
    timeout = urllib3.Timeout(total=TIMEOUT_S)
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address, port, timeout=timeout, server_hostname=parts.hostname, assert_hostname=parts.hostname
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, port, timeout=timeout)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with pool:
        try:
            answer = pool.urlopen(
                "POST",
                target,
                body,
                {**headers, "host": parts.netloc},
                retries=False,
                redirect=False,
                preload_content=False,
            )
            answer.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(0, f"no answer: {error}"[:300])
    return Answer(answer.status, f"{answer.status} {answer.reason or ''}".strip()[:300])


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ValueError(f"{url!r} is no address ({error}); write it like https://example.org/hook") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or " " in url:
        raise ValueError(f"{url!r} is no address of the web; write it like https://example.org/hook")
    if parts.username is not None:
        raise ValueError("an address must not hold a name or a password; the signature says who sends")
    if len(url) > 500:
        raise ValueError(f"the address has {len(url)} characters; 500 are allowed")
    return parts


def _public_address(parts: SplitResult) -> tuple[str, int]:
    """The first address of a host, if all that it has may be used."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = [info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (socket.gaierror, UnicodeError):
        raise ValueError(f"the host {host!r} has no address; look for a typing error") from None
    for address in found:
        if not settings.ALLOW_PRIVATE_WEBHOOKS and not _is_public(str(address)):
            raise ValueError(
                f"{host!r} is {address}, which is not a public address: a webhook could reach into this "
                "site's own network. Use a public one; or set ALLOW_PRIVATE_WEBHOOKS=1, if leads may do so"
            )
    return str(found[0]), port


def _is_public(address: str) -> bool:
    ip = ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    return ip.is_global and not ip.is_multicast
