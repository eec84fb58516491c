"""XML as a stream of events, from files that nobody vouches for.

No tree is built, so depth and size cost no memory. A document type declaration ends the reading:
what harm XML can do (entities that grow without bound, that read local files or call the network)
begins with one, and the formats read here have no need of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol
from xml.parsers import expat

from memlm.errors import InputError


class Listener(Protocol):
    """Who hears of elements and text. Names come as `prefix:name`, the prefix from `prefixes`."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, data: str) -> None: ...


def read_xml(
    pieces: Iterable[bytes],
    listener: Listener,
    *,
    path: str,
    format: str,
    prefixes: Mapping[str, str],
) -> None:
    """Tell `listener` what is in an XML document; names outside `prefixes` have the prefix `?`.

    Raises InputError where it has a document type declaration or is not well formed.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.ordered_attributes = False

    def short(name: str) -> str:
        space, _, local = name.rpartition(" ")
        return f"{prefixes.get(space, '?')}:{local}" if space else local

    def start(name: str, attributes: Mapping[str, str]) -> None:
        listener.start(short(name), {short(key): value for key, value in attributes.items()})

    def refuse(*_: object) -> None:
        raise InputError("xml_with_dtd", path=path)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: listener.end(short(name))
    parser.CharacterDataHandler = listener.text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        for piece in pieces:
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise InputError("file_damaged", path=path, format=format) from error
