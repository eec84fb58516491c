"""Addresses of the web: what is one, and its parts. Nothing is asked of anybody here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from memlm.errors import InputError

_PORTS = {"http": 80, "https": 443}
_UNQUOTED = "/?&=;:@!$'()*+,~%[]"


@dataclass(frozen=True)
class WebAddress:
    """The parts of an address that a connection needs."""

    scheme: str
    host: str
    port: int
    target: str
    """What is asked of the host: path and query."""

    @property
    def address(self) -> str:
        """The whole address, as it is asked for and kept: no fragment, everything in ASCII."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def is_address(source: object) -> bool:
    """Say whether a source is a web address and no path."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def clean_address(address: str) -> str:
    """Return an address as it is asked for and kept: no fragment, everything in ASCII.

    Raises InputError for what is no address of the web, or one with a password in it.
    """
    return parse_address(address).address


def parse_address(address: str) -> WebAddress:
    """Return the parts of an address; InputError where `clean_address` raises it."""
    try:
        parts = urlsplit(address.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError) as error:
        raise InputError("address_bad", address=_without_password(address)) from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host or "@" in parts.netloc:
        raise InputError("address_bad", address=_without_password(address))
    path = quote(parts.path or "/", safe=_UNQUOTED)
    target = urlunsplit(("", "", path, quote(parts.query, safe=_UNQUOTED), ""))
    target = "/" + target.lstrip("/") if target.startswith("//") else target
    return WebAddress(scheme, host, port or _PORTS[scheme], target)


def _without_password(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
