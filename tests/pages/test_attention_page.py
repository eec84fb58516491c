"""The page `attention.html`."""

import base64
import hashlib
import json
import math
import re
import tracemalloc
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from memlm.messages import in_language
from memlm.pages.attention import attention_page, grouped, last_row
from memlm.pages.page import page_script
from memlm.records import Attention, AttentionLayer, ReadToken, rounded_weights

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def found(pieces=("月", "\n", EVIL), *, kind="attention", parts=(3, 1, 1), heads=2):
    tokens, start = [ReadToken(start=0, end=0, text="", log_probability=None)], 0
    for text, number in zip(pieces, parts, strict=True):
        for part in range(1, number + 1):
            tokens.append(
                ReadToken(
                    start=start,
                    end=start + len(text),
                    text=text,
                    log_probability=-part,
                    part=part,
                    parts=number,
                )
            )
        start += len(text)
    draw = np.random.default_rng(1)
    weights = np.tril(draw.random((heads, len(tokens), len(tokens)))).astype(np.float32)
    weights /= weights.sum(axis=2, keepdims=True)
    layers = [AttentionLayer(layer=2, block="transformer", heads=weights)]
    if kind == "saliency":
        layers = [AttentionLayer(layer=0, block="embedding", heads=weights[:1])]
    return Attention(
        text="".join(pieces),
        model="<b>m</b>",
        kind=kind,
        tokens=tuple(tokens),
        layers=tuple(layers),
    )


@pytest.fixture(params=["en", "zh"])
def page(request):
    with in_language(request.param):
        yield attention_page(found().to_json())


def test_text_and_names_are_escaped(page):
    assert "<img" not in page
    assert "<b>" not in page
    assert page.count("<script>") == 1
    assert unescape(page).count(EVIL) == 1


def test_policy_lets_the_script_of_the_page_run_and_no_other(page):
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_script_writes_words_as_words_and_fetches_nothing():
    script = page_script("attention.js")
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "fetch(",
                "XMLHttpRequest", "import(", "Function("):  # fmt: skip
        assert way not in script


def test_page_names_no_address(page):
    assert not re.search(r"https?://|url\(|@import|\bsrc=", page.replace("src=x", ""))


def test_every_weight_is_on_the_page_within_a_percent():
    record = found()
    packed = re.findall(r'data-weights="([^"]*)"', attention_page(record.to_json()))
    size = len(record.tokens)
    for head, text in zip(record.layers[0].heads, packed, strict=True):
        roots = np.frombuffer(base64.b64decode(text), dtype=np.uint8) / 255
        assert len(roots) == size * (size + 1) // 2
        assert roots**2 == pytest.approx(head[np.tril_indices(size)], abs=0.01)


def test_rows_of_weights_make_the_same_page_as_json_and_say_the_same():
    record = found()
    rows = record.to_rows()
    assert attention_page(rows) == attention_page(record.to_json())
    assert json.loads(json.dumps(rows, default=rounded_weights)) == record.to_json()


def test_the_page_of_many_weights_takes_little_memory():
    weights = np.tril(np.ones((8, 500, 500), dtype=np.float32))
    weights /= weights.sum(axis=2, keepdims=True)
    record = found(["a"] * 499, parts=[1] * 499)
    layer = AttentionLayer(layer=1, block="transformer", heads=weights)
    tracemalloc.start()
    try:
        attention_page(replace(record, layers=(layer,)).to_rows())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16e6  # each of the 1 million weights took 64 bytes as a number of Python's


def test_tokens_that_spell_a_character_together_stand_as_one_piece():
    record = found()
    assert grouped(record.to_json()["tokens"]) == [
        ("", [0]), ("月", [1, 2, 3]), ("\n", [4]), (EVIL, [5])
    ]  # fmt: skip
    page = attention_page(record.to_json())
    assert 'data-tokens="1 2 3"' in page
    assert page.count("月") == 1


def test_page_as_written_shows_what_the_last_token_looked_at():
    record = found(("a", "b"), parts=(1, 1))
    row = record.layers[0].heads[:, -1].mean(axis=0)
    assert last_row(record.to_json()) == pytest.approx(row, abs=1e-5)
    shares = re.findall(r"--fill: [^;]*var\(--look\) (\d+)%", attention_page(record.to_json()))
    expected = [min(1, weight / max(row[1:])) for weight in row]
    assert [int(share) for share in shares] == [round(80 * share) for share in expected]


def test_page_says_how_probable_each_token_was():
    page = attention_page(found(("a",), parts=(1,)).to_json())
    assert f'data-chances=" {math.exp(-1):.1%}"' in page


def test_saliency_is_called_so_and_never_attention_weights_of_a_head():
    with in_language("en"):
        page = attention_page(found(kind="saliency").to_json())
    assert "This network has no attention" in page
    assert "Head 1" not in page
    assert "Shown are attention weights" not in page


def test_page_says_that_attention_is_no_explanation(page):
    assert "Jain" in page


def test_record_shows_itself_in_a_notebook_as_a_frame_without_rights():
    shown = found()._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert shown.count("<") == 2
    assert 'sandbox="allow-scripts"' in shown
