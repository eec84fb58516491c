"""Which pages does a sitemap or a feed list? Its XML is read by expat, and declares no entities."""

from __future__ import annotations

import re
from urllib.parse import urljoin
from xml.parsers import expat

from memlm.collect.addresses import clean_address
from memlm.collect.page_encoding import codec_of
from memlm.errors import InputError

_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,99}?encoding\s{0,9}=\s{0,9}["']([^"'>]{1,40})""")
LISTS = ("urlset", "sitemapindex", "rss", "feed", "rdf")


class ListReader:
    """Reads the addresses out of a sitemap, a sitemap index, an RSS or an Atom feed."""

    def __init__(self, address: str) -> None:
        self.pages: list[str] = []
        self.lists: list[str] = []
        self.refused: list[InputError] = []
        """What is said of entries that are no address that can be asked for."""
        self.root = ""
        self._address, self._names = address, [""]
        self._words: list[str] | None = None

    def is_list(self, head: bytes) -> bool:
        """Say whether XML that begins so is one of these."""
        try:
            self._parse(head, is_whole=False)
        except (expat.ExpatError, InputError):
            return False
        return self.root in LISTS

    def read(self, body: bytes) -> None:
        """Fill `pages` and `lists`; InputError for XML that is not sound or declares entities."""
        try:
            self._parse(body, is_whole=True)
        except expat.ExpatError as error:
            raise InputError("sitemap_bad", address=self._address) from error

    def _parse(self, data: bytes, *, is_whole: bool) -> None:
        try:
            self._parser(None).Parse(data, is_whole)
        except (LookupError, ValueError) as error:  # expat knows no encoding of several bytes
            said = _DECLARED.match(data)
            codec = codec_of(said[1].decode("ascii", "replace")) if said else ""
            if not codec:
                raise InputError("sitemap_bad", address=self._address) from error
            text = data.decode(codec, "replace")  # the head may end within a character
            self._parser("utf-8").Parse(text.encode("utf-8"), is_whole)

    def _parser(self, encoding: str | None) -> expat.XMLParserType:
        parser = expat.ParserCreate(encoding)
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.CharacterDataHandler = self._hear
        return parser

    def _refuse(self, *_: object) -> None:
        # Entities are declared there, and no sitemap needs any.
        raise InputError("sitemap_bad", address=self._address)

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        local, parent = name.rpartition(":")[2].lower(), self._names[-1]
        self.root = self.root or local
        self._names.append(local)
        if (parent, local) in (("url", "loc"), ("sitemap", "loc"), ("item", "link")):
            self._words = []
        is_page = attributes.get("rel", "alternate") == "alternate" and "href" in attributes
        if (parent, local) == ("entry", "link") and is_page:
            self._add(self.pages, attributes["href"])

    def _hear(self, words: str) -> None:
        if self._words is not None:
            self._words.append(words)

    def _close(self, name: str) -> None:
        self._names.pop()
        if self._words is not None:
            self._add(self.lists if self._names[-1] == "sitemap" else self.pages, self._words)
            self._words = None

    def _add(self, found: list[str], words: str | list[str]) -> None:
        try:
            found.append(clean_address(self._whole("".join(words).strip())))
        except InputError as error:
            self.refused.append(error)

    def _whole(self, address: str) -> str:
        try:
            return urljoin(self._address, address)
        except ValueError:  # a bracket that never closes
            return address
