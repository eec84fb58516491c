"""One answer from the web: asked for politely, bounded in every direction, from no secret place.

A server is trusted with nothing. The host is resolved for every request, every address it has is
checked, and the connection goes to a checked one, so that no name can lead to a machine inside this
network. Only a host that was inside it when it was named may be: its addresses are kept from the
first connection on, and a name that was public then can never turn inwards. The whole answer, head
included, has one deadline; what is read is bounded before and after it is unpacked; redirects are
few and stay on the web.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import math
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from memlm.collect.addresses import WebAddress, is_address, parse_address
from memlm.collect.config import Limits
from memlm.errors import InputError

_BLOCK_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said, its body unpacked."""

    address: str
    """Where it came from in the end."""
    status: int
    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes = b""


class Fetcher:
    """Asks for addresses, on behalf of one source that was named."""

    def __init__(
        self,
        named: str,
        *,
        limits: Limits,
        agent: str,
        ends_at: float = math.inf,
        before: Callable[[str, bool], None] = lambda address, is_page: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        place = parse_address(named)
        self._named = place.host, place.port
        self._inside: list[_IP] | None = None
        """Addresses of the named host if it is in this network, none if not; None: not known."""
        self._limits, self._agent = limits, agent
        self._ends_at, self._before, self._clock = ends_at, before, clock
        self.bytes_read = 0

    def get(
        self, address: str, *, headers: Mapping[str, str] | None = None, is_page: bool = True
    ) -> Answer:
        """Return the answer of the server, redirects followed.

        `before(address, is_page)` is called before each request; it may wait, or raise to forbid
        it. Raises InputError for whatever goes wrong on the way.
        """
        for _ in range(self._limits.redirects + 1):
            place = parse_address(address)
            self._before(place.address, is_page)
            try:
                answer = self._ask(place, headers or {})
            except (OSError, http.client.HTTPException) as error:
                raise _failure(error, place.address) from error
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            address = _next_address(place.address, answer.headers["location"])
        raise InputError("too_many_redirects", address=address, limit=self._limits.redirects)

    def _ask(self, place: WebAddress, headers: Mapping[str, str]) -> Answer:
        deadline = min(self._clock() + self._limits.response_seconds, self._ends_at)
        with closing(self._connect(place)) as plain:
            connection = http.client.HTTPConnection(place.host, place.port)
            connection.sock = _Wire(plain, deadline, self._clock)
            host = place.address.split("/")[2]
            connection.request(
                "GET",
                place.target,
                headers={
                    "Host": host,
                    "User-Agent": self._agent,
                    "Accept-Encoding": "gzip, deflate",
                    "Connection": "close",
                    **headers,
                },
            )
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            body = b"" if response.status in _REDIRECTS else self._body(response, found, place)
            return Answer(address=place.address, status=response.status, headers=found, body=body)

    def _body(
        self, response: http.client.HTTPResponse, headers: Mapping[str, str], place: WebAddress
    ) -> bytes:
        limit = self._limits.page_bytes
        blocks = self._blocks(response, headers, place)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip", "deflate"):
            blocks = _unpacked(blocks, encoding, limit, place.address)
        elif encoding not in ("identity", ""):
            raise InputError("web_encoding", address=place.address, encoding=encoding)
        body = bytearray()
        for block in blocks:
            body += block
            if len(body) > limit:
                raise InputError("page_too_large", address=place.address, limit_mb=limit / 1e6)
        return bytes(body)

    def _blocks(
        self, response: http.client.HTTPResponse, headers: Mapping[str, str], place: WebAddress
    ) -> Iterator[bytes]:
        """Yield the body as it comes; fewer bytes than were promised are an error."""
        promised = None
        length = headers.get("content-length", "")
        if "transfer-encoding" not in headers and length.isascii() and length.isdigit():
            promised = int(length)
        read = 0
        while promised is None or read < promised:
            block = response.read1(_BLOCK_BYTES)
            if not block:
                break
            read += len(block)
            self.bytes_read += len(block)
            yield block
            if read > self._limits.page_bytes:  # packed or not, this is too much
                limit_mb = self._limits.page_bytes / 1e6
                raise InputError("page_too_large", address=place.address, limit_mb=limit_mb)
        if promised is not None and read < promised and response.status not in (204, 304):
            raise InputError("page_cut_short", address=place.address, found=read, promised=promised)

    def _connect(self, place: WebAddress) -> socket.socket:
        plain = self._first_that_answers(self._addresses_of(place), place.port)
        if place.scheme == "http":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=place.host)
        except BaseException:
            plain.close()
            raise

    def _addresses_of(self, place: WebAddress) -> list[_IP]:
        is_named = (place.host, place.port) == self._named
        if is_named and self._inside:
            return self._inside
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        is_public = all(map(_is_public, addresses))
        if is_named and self._inside is None:
            self._inside = [] if is_public else addresses
        elif not is_public:
            raise InputError("address_not_public", address=place.address)
        return addresses

    def _first_that_answers(self, addresses: list[_IP], port: int) -> socket.socket:
        seconds = min(self._limits.response_seconds, 10.0)
        for number, address in enumerate(addresses, start=1):
            try:
                return socket.create_connection((str(address), port), timeout=seconds)
            except OSError:
                if number == len(addresses):
                    raise
        raise OSError


class _Wire:
    """A socket that lets nobody wait past one deadline, however slowly the bytes trickle."""

    def __init__(self, plain: socket.socket, deadline: float, clock: Callable[[], float]) -> None:
        self._socket, self._deadline, self._clock = plain, deadline, clock

    def sendall(self, data: bytes) -> None:
        self.wait()
        self._socket.sendall(data)

    def makefile(self, mode: str, *_: Any) -> io.BufferedReader:  # Any: as http.client calls it
        return io.BufferedReader(_Reader(self))

    def receive(self, buffer: Any) -> int:  # Any: a writable buffer
        self.wait()
        return self._socket.recv_into(buffer)

    def wait(self) -> None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def close(self) -> None:
        """Do nothing: http.client closes before the body is read; the owner does it afterwards."""


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # Any: a writable buffer
        return self._wire.receive(buffer)


def unpack_gzip(data: bytes, *, limit: int, address: str) -> bytes:
    """Return what gzipped data (a sitemap, say) unpacks to; InputError beyond `limit` bytes."""
    return b"".join(_unpacked(iter([data]), "gzip", limit, address))


def _unpacked(blocks: Iterator[bytes], encoding: str, limit: int, address: str) -> Iterator[bytes]:
    """Yield the unpacked body, never more than a block at once and `limit` bytes in all."""
    first = next(blocks, b"")
    # Some servers call it deflate and leave out the header that zlib wants (RFC 9110, 8.4.1.2).
    is_raw = encoding == "deflate" and first[:1] and (first[0] & 0x0F) != 8
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS | 32)
    total, block = 0, first
    try:
        while block and not unpacker.eof:
            part = unpacker.decompress(block, _BLOCK_BYTES)
            total += len(part)
            if total > limit:
                raise InputError("page_too_large", address=address, limit_mb=limit / 1e6)
            yield part
            block = unpacker.unconsumed_tail or (b"" if unpacker.eof else next(blocks, b""))
    except zlib.error as error:
        raise InputError("page_damaged", address=address) from error
    if first and not unpacker.eof:
        raise InputError("page_damaged", address=address)


def _next_address(address: str, location: str) -> str:
    try:
        following = urljoin(address, location)
    except ValueError as error:
        raise InputError("redirect_bad", address=address) from error
    if not is_address(following):
        raise InputError("redirect_bad", address=address)
    return following


def _is_public(address: _IP) -> bool:
    """Say whether an address is one of the open internet, also where IPv6 wraps an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo:
            inner = address.teredo[1]
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _failure(error: Exception, address: str) -> InputError:
    if isinstance(error, TimeoutError):
        return InputError("page_too_slow", address=address)
    if isinstance(error, http.client.IncompleteRead):
        return InputError("page_cut_short", address=address, found="?", promised="?")
    if isinstance(error, ssl.SSLError):
        return InputError("certificate_bad", address=address)
    if isinstance(error, socket.gaierror):
        return InputError("host_unknown", address=address)
    if isinstance(error, ConnectionRefusedError):
        return InputError("host_refuses", address=address)
    if isinstance(error, ConnectionError):
        return InputError("host_breaks_off", address=address)
    if isinstance(error, http.client.HTTPException):
        return InputError("answer_bad", address=address)
    return InputError("host_unreachable", address=address)
