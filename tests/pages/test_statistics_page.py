"""The page `statistics.html`."""

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser

import pytest

from memlm.messages import in_language
from memlm.pages.statistics import language_rows, left_out, statistics_page
from memlm.prepare.statistics import Tools, measure_documents
from memlm.records import Document, PersonalData

EVIL = '<script>alert("x")</script><img src="x" onerror="alert(1)">'
VOID = {"meta", "i/", "circle", "line", "rect"}


class Outline(HTMLParser):
    """The tags of a page, nested as they must be, and its words."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.words, self.attributes = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def found(**changes):
    texts = ["The cat saw the dogs. " * 20, "我的猫在北京。" * 20, EVIL]
    documents = [
        Document(id=str(number), text=text, label=EVIL if number == 2 else None)
        for number, text in enumerate(texts)
    ]
    tools = Tools(
        language_of=lambda text: ("zh" if "猫" in text else "en", 1.0),
        stop_words=lambda language: frozenset(["the", "的", "我"]),
        find_personal_data=lambda text: [PersonalData("email", 0, 1)],
    )
    statistics = json.loads(json.dumps(asdict(measure_documents(documents, tools))))
    return statistics | {
        "near_duplicates": 2,
        "removed": [{"tokenizer": "char", "reason": "gutenberg", "count": 18_000}],
        "rejected": [{"code": "not_text", "count": 3, "example": f"{EVIL} is not text."}],
        "dropped": [
            {"tokenizer": "char", "step": "clean", "reason": "empty", "count": 1, "example": EVIL}
        ],
        "tokenizers": [
            {
                "tokenizer": "char",
                "vocabulary_size": 1234,
                "tokens": 5678,
                "characters_per_token": 1.25,
                "unknown": 5,
                "unknown_share": 0.00088,
            }
        ],
        **changes,
    }


@pytest.fixture(scope="module")
def page():
    with in_language("en"):
        return statistics_page(found(), name=f"my{EVIL}")


def test_page_is_well_formed(page):
    assert Outline(page).open == []


def test_page_has_all_its_parts(page):
    outline = Outline(page)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Texts",
        "Words",
        "Parts of speech",
        "Laws of words",
        "Copies and personal data",
        "What was left out, and why",
        "Tokenizers",
    ]
    assert outline.seen.count("svg") == 3
    assert outline.seen.count("h1") == 1


def test_text_of_documents_is_escaped_everywhere(page):
    outline = Outline(page)
    assert not {"script", "img"} & set(outline.seen)
    assert sum(EVIL in words for words in outline.words) >= 4  # title, heading, label, two reasons


def test_name_that_turns_the_direction_of_writing_poses_as_no_other():
    turned = "invoice\u202egnp.exe"
    rejected = [{"code": "not_text", "count": 3, "example": f"\u2067{turned} is not text."}]
    labels = {turned: 1}
    with in_language("en"):
        page = statistics_page(found(rejected=rejected, labels=labels), name=turned)
    assert page.count("invoice\ufffdgnp.exe") >= 4  # title, heading, label, reason
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)


def test_nothing_is_fetched(page):
    names = {name for name, _ in Outline(page).attributes}
    assert not names & {"src", "href", "srcset", "onclick", "onload"}
    assert not re.search(r"url\(|@import|https?:", page)


@pytest.mark.parametrize(
    "words",
    [
        "cat",
        "猫",
        "北京",
        "dog",
        "1,234",
        "5,678",
        "1.25",
        "0.088%",
        '<td class="name" dir="auto">nouns',
    ],
)
def test_page_shows(page, words):
    assert words in page


def test_page_speaks_the_language_in_force():
    with in_language("zh"):
        page = statistics_page(found(), name="我的")
    assert "<h2>词性</h2>" in page
    assert "名词" in page
    assert "Parts of speech" not in page


def test_that_nothing_was_found_is_said():
    with in_language("en"):
        page = statistics_page(found(personal_data={}, near_duplicates=None), name="ws")
    assert "None of the kinds that memlm knows was found." in page
    assert "Nearly the same" not in page


def test_languages_of_a_few_documents_are_one_row():
    with in_language("en"):
        rows = language_rows({"languages": {"en": 990, "zh": 500, "yo": 1, "om": 2, "ab": 1}})
    assert rows == [("English", 990), ("Chinese", 500), ("others (3 languages)", 4)]


def test_reasons_that_tokenizers_share_are_one_row():
    row = {"step": "clean", "reason": "empty", "count": 2, "example": "empty"}
    dropped = [row | {"tokenizer": name} for name in ("bpe", "char")]
    assert left_out({"rejected": [], "dropped": dropped, "removed": []}) == [
        ("bpe, char: clean", "empty", 2)
    ]
