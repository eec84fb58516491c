"""Pages: escaped, offline, in two languages."""

import re

import pytest

from memlm.messages import LANGUAGES, catalogue, in_language
from memlm.pages import render_page
from memlm.pages.page import TEMPLATES

NAMED = [
    pytest.param(path.name, key, id=f"{path.name} {key}")
    for path in sorted(TEMPLATES.glob("*.html"))
    for key in sorted(set(re.findall(r"""\bt\(["']([\w.]+)["']""", path.read_text("utf-8"))))
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("template", "key"), NAMED)
def test_sentence_that_a_template_names_exists(template, key, language):
    assert key in catalogue(language)


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_template_switches_no_escaping_off_and_names_no_address(path):
    text = path.read_text("utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup|https?:|url\(|@import|<script|src=", text)


@pytest.mark.parametrize(("language", "code"), [("en", "en"), ("zh", "zh-Hans")])
def test_page_says_its_language(language, code):
    with in_language(language):
        assert f'<html lang="{code}">' in render_page("layout.html")


def test_page_forbids_scripts_and_addresses():
    assert "default-src 'none'" in render_page("layout.html")
