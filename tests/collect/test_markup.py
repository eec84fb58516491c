"""Web pages: the main text without what surrounds it, in whichever encoding, and no traps."""

from __future__ import annotations

import gzip
import json
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from memlm.collect import CollectConfig, Limits, Reading
from memlm.collect.markup import extract_page, extract_page_apart
from memlm.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect.conftest import ReadBytes

pytest.importorskip("trafilatura")
STORY = (
    "The lamp was lit at six, and nobody came until the ninth hour had passed over the town.",
    "Then a boy knocked, and asked whether the keeper would sell him some oil for his mother.",
    "The keeper had none to sell, but he gave the boy what was left in the lamp, and went home.",
)
CHINESE = (
    "夜里没有人来，灯一直亮到天明。看守人坐在门口，听着远处的水声，想起了很多年以前的事情。",
    "后来有一个孩子来敲门，问他能不能卖一点油给他的母亲，因为家里的灯已经灭了三天了。",
    "看守人没有油可以卖，但是他把自己灯里剩下的油都给了孩子，然后一个人慢慢地走回家去了。",
)


def page(*paragraphs: str, head: str = "", around: str = "") -> str:
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    return (
        f"<html><head><title>The Lamp</title>{head}</head><body><nav><a href='/'>Home</a></nav>"
        f"{around}<article><h1>The Lamp</h1>{body}</article><footer>Copyright</footer></body>"
        "</html>"
    )


@pytest.mark.parametrize("ending", [".html", ".htm", ".xhtml", ".HTML"])
def test_main_text_is_read_a_paragraph_a_line(read_bytes: ReadBytes, ending: str) -> None:
    found = read_bytes(f"a{ending}", page(*STORY).encode())
    assert "\n".join(STORY) in found.text
    assert "Home" not in found.text
    assert "Copyright" not in found.text
    assert found.notes == ()


def test_indents_of_the_source_are_no_text_but_those_of_programs_are(
    read_bytes: ReadBytes,
) -> None:
    indented = [f"first<br>\n        {text}" for text in STORY]
    assert "\n " not in read_bytes("a.html", page(*indented).encode()).text
    program = "</p><pre><code>def lamp():\n    return oil</code></pre><p>"
    assert "\n    return oil" in read_bytes("b.html", page(*STORY, program).encode()).text


def test_title_date_and_author_are_those_that_the_page_states(read_bytes: ReadBytes) -> None:
    head = (
        '<meta name="author" content="Ada Writer">'
        '<meta property="article:published_time" content="2019-09-07T10:00:00Z">'
    )
    found = read_bytes("a.html", page(*STORY, head=head).encode())
    assert found.fields == {"title": "The Lamp", "date": "2019-09-07", "author": "Ada Writer"}


def test_page_that_states_no_date_or_author_has_none(read_bytes: ReadBytes) -> None:
    text = "In the year 2003, on the 4th of May 2003, they all left the town."
    found = read_bytes("a.html", page(*STORY, text).encode())
    assert found.fields == {"title": "The Lamp"}


@pytest.mark.parametrize(
    ("encoding", "meta", "notes"),
    [
        ("utf-8", '<meta charset="utf-8">', ()),
        ("utf-8", "", ()),
        ("utf-8-sig", '<meta charset="gbk">', ()),
        ("utf-16", "", ()),
        ("gb18030", '<meta charset="gb2312">', ()),
        ("gb18030", '<meta http-equiv="Content-Type" content="text/html; charset=GBK">', ()),
        ("utf-8", '<meta charset="gb2312">', ("page_encoding_lies",)),
        ("utf-8", '<meta charset="iso-8859-1">', ("page_encoding_lies",)),
        ("gb18030", '<meta charset="utf-8">', ("page_encoding_lies",)),
        ("hz", '<meta charset="hz-gb-2312">', ()),
        ("gb18030", "", ("encoding_found",)),
        ("gb18030", '<meta charset="klingon">', ("page_encoding_lies",)),
    ],
)
def test_encoding_of_a_page_is_heard_and_checked(
    read_bytes: ReadBytes, encoding: str, meta: str, notes: tuple[str, ...]
) -> None:
    found = read_bytes("a.html", page(*CHINESE, head=meta).encode(encoding))
    assert "\n".join(CHINESE) in found.text
    assert found.notes == notes


def test_western_page_is_read_as_browsers_do(read_bytes: ReadBytes) -> None:
    text = "“Où est la clé ?” demanda-t-il, déjà fâché — elle coûtait trois €."
    meta = '<meta charset="iso-8859-1">'
    found = read_bytes("a.html", page(*STORY, text, head=meta).encode("cp1252"))
    assert text in found.text


def test_encoding_of_the_user_decides(read_bytes: ReadBytes) -> None:
    text = "夜裡沒有人來，燈一直亮到天明。看守人坐在門口，聽著遠處的水聲，想起了很多年以前的事情。"
    data = page(text, text, head='<meta charset="utf-8">').encode("big5")
    assert text in read_bytes("a.html", data, encoding="big5").text
    assert read_bytes("a.html", data, encoding="utf-8").error == "not_in_encoding"


def test_few_damaged_bytes_are_said_and_the_rest_is_read(read_bytes: ReadBytes) -> None:
    data = page(*CHINESE, *CHINESE, head='<meta charset="utf-8">').encode()
    data = data.replace("门口".encode(), b"\xe9\x97" + "口".encode(), 1)
    found = read_bytes("a.html", data)
    assert found.notes == ("page_damaged",)
    assert CHINESE[1] in found.text


def test_zero_byte_in_a_page_is_said_and_the_rest_is_read(read_bytes: ReadBytes) -> None:
    found = read_bytes("a.html", page(*STORY).replace("oil", "o\0il", 1).encode())
    assert found.notes == ("page_damaged",)
    assert STORY[0] in found.text


def test_server_may_name_the_encoding() -> None:
    data = page(*CHINESE).encode("gb18030")
    parsed = extract_page_apart(data, Reading(config=CollectConfig()), name="a", charset="gb2312")
    assert CHINESE[0] in parsed.text
    assert parsed.notes == ()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "file_empty"),
        (b"<html></html>", "no_main_text"),
        (b"<html><body><img src='/a.png'></body></html>", "no_main_text"),
        (b"%PDF-1.7\n", "not_of_format"),
        (b"PK\x03\x04", "not_of_format"),
        (b"<html>" + bytes(1000), "not_text"),
    ],
    ids=["nothing", "empty page", "picture", "PDF", "zip", "binary"],
)
def test_what_is_no_page_with_text_is_said(read_bytes: ReadBytes, data: bytes, error: str) -> None:
    assert read_bytes("a.html", data).error == error


@pytest.mark.parametrize(
    "trap",
    [
        "<script>stolen()</script>",
        "<p onclick='stolen()'></p>",
        "<style>.stolen{}</style>",
        "<template><p>stolen goods and more of them</p></template>",
        "<!-- stolen -->",
        "<noscript><img alt='stolen'></noscript>",
    ],
)
def test_what_is_no_text_never_becomes_text(read_bytes: ReadBytes, trap: str) -> None:
    paragraphs = [text + trap for text in STORY]
    assert "stolen" not in read_bytes("a.html", page(*paragraphs, around=trap).encode()).text


@pytest.mark.parametrize(
    "trap",
    ["<div>" * 10**5, "<!--" * 20_000, "<a a" * 20_000, "<![CDATA[" * 20_000, "&" * 10**5,
     "<p " + "a=" * 20_000, "<b><i>" * 20_000, "</p>" * 10**5, "<?" * 20_000],
    ids=["nesting", "comments", "tags", "CDATA", "ampersands", "attributes", "formatting",
         "ends", "instructions"],
)  # fmt: skip
def test_page_that_would_keep_a_parser_busy_ends_soon(read_bytes: ReadBytes, trap: str) -> None:
    started = time.monotonic()
    found = read_bytes("a.html", page(*STORY, trap).encode(), limits=Limits(parse_seconds=5))
    assert time.monotonic() - started < 15
    assert found.text or found.error in ("parser_slow", "no_main_text", "elements_too_deep")


def test_entities_that_a_page_declares_are_not_resolved(
    read_bytes: ReadBytes, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("the secret words")
    declared = f'<!DOCTYPE html [<!ENTITY x SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    found = read_bytes("a.xhtml", (declared + page(*STORY, "&x;")).encode())
    assert STORY[0] in found.text
    assert "secret" not in found.text


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_page_cut_short_gives_what_there_is_or_says_why(
    read_bytes: ReadBytes, share: float
) -> None:
    data = page(*CHINESE).encode()
    found = read_bytes("a.html", data[: int(share * len(data))])
    assert found.error in (None, "no_main_text")
    assert "\ufffd" not in found.text or found.notes == ("page_damaged",)


def test_page_apart_is_the_page_in_this_process() -> None:
    data = page(*STORY).encode()
    here = extract_page(data)
    there = extract_page_apart(data, Reading(config=CollectConfig()), name="a")
    assert here is not None
    assert (here.text, here.fields) == (there.text, there.fields)


def test_page_without_text_is_nothing_here_and_an_error_apart() -> None:
    assert extract_page(b"<html></html>") is None
    with pytest.raises(InputError, match=r"a\.html"):
        extract_page_apart(b"<html></html>", Reading(config=CollectConfig()), name="a.html")


@pytest.mark.shared_data
def test_real_articles_are_found(read_bytes: ReadBytes, shared_data: Path) -> None:
    folder = shared_data / "documents" / "html-en"
    gold = json.loads(gzip.decompress((folder / "ground-truth.json.gz").read_bytes()))
    with zipfile.ZipFile(folder / "html.zip") as archive:
        for name in archive.namelist()[:3]:
            found = read_bytes("a.html", gzip.decompress(archive.read(name)))
            words = gold[name.rpartition("/")[2].partition(".")[0]]["articleBody"].split()
            assert sum(word in found.text for word in words) > 0.9 * len(words)
