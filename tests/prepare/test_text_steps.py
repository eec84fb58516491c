"""Steps that look at one document at a time: what they change, and the way back from it."""

from __future__ import annotations

import random
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlm.errors import ConfigError
from memlm.messages import LANGUAGES, in_language, render
from memlm.prepare.boilerplate import Boilerplate
from memlm.prepare.clean import Controls
from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.draft import Draft, Step
from memlm.prepare.language import KeepLanguages, language_of
from memlm.prepare.quality import Quality, failures
from memlm.prepare.repair import Repair
from memlm.prepare.simplify import Simplify
from memlm.prepare.stop_words import RemoveStopWords, stop_words
from memlm.prepare.text_steps import text_steps
from memlm.records import Document, Dropped

STEPS = [Repair(), Controls(), Boilerplate(), Simplify(), RemoveStopWords()]
PIECES = [
    *"abé後里词👍\t \n",
    "\n" * 7,
    "\x00",
    "\u202e",
    "\u0301" * 7,
    "cafÃ© ",
    "â€œ",
    "&eacute;",
    "&amp;",
    "the ",
    "的",
    "Back to top\n",
    "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n",
    "*** END OF THE PROJECT GUTENBERG EBOOK X ***\n",
]


def draft(text: str) -> Draft:
    return Draft(document=Document(id="d", text=text), text=text)


def after(step: Step, text: str) -> Draft:
    done = step.run(draft(text))
    assert isinstance(done, Draft)
    return done


def dropped(step: Step, text: str) -> Dropped:
    done = step.run(draft(text))
    assert isinstance(done, Dropped)
    return done


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@settings(deadline=None, max_examples=60)
@given(text=st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_every_character_knows_where_it_was(step: Step, text: str) -> None:
    done = after(step, text)
    places = list(range(len(text))) if done.origin is None else done.origin.tolist()
    assert len(places) == len(done.text)
    assert places == sorted(places)
    assert all(0 <= place < len(text) for place in places)


@pytest.mark.parametrize(
    "step", [Controls(), Boilerplate(), RemoveStopWords()], ids=lambda step: step.name
)
@settings(deadline=None, max_examples=60)
@given(text=st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_what_only_removes_changes_no_character(step: Step, text: str) -> None:
    done = after(step, text)
    if done.origin is not None:
        assert [text[place] for place in done.origin.tolist()] == list(done.text)


@pytest.mark.parametrize(
    ("broken", "whole"),
    [("cafÃ© or crÃ¨me", "café or crème"), ("R&amp;D, &eacute;t&eacute;", "R&D, été")],
    ids=["mojibake", "entities"],
)
def test_damage_is_repaired(broken: str, whole: str) -> None:
    done = after(Repair(), broken)
    assert done.text == whole
    assert done.origin is not None
    same = [n for n, place in enumerate(done.origin.tolist()) if whole[n] == broken[place]]
    assert len(same) >= sum(map(str.isascii, whole)) - 1  # the & of &amp; is both old and new


@pytest.mark.parametrize(
    "text",
    ["“é” ﬁn ＡＢＣ", "a <b>&amp;</b>", "Příliš žluťoučký kůň", "Съешь же ещё", "AT&T &c;", "\r\n"],
    ids=["typography", "markup", "Czech", "Russian", "no entity", "line end"],
)
def test_whole_text_is_not_repaired(text: str) -> None:
    assert after(Repair(), text).text == text


def test_joiners_of_emoji_and_persian_stay() -> None:
    assert after(Controls(), "👩\u200d🔬 می\u200cخواهم").text == "👩\u200d🔬 می\u200cخواهم"


def test_useless_characters_are_counted_by_reason() -> None:
    done = after(Controls(), "a" + "\u0301" * 9 + "\n" * 9 + "\x00\u202eb")
    assert done.text == "a" + "\u0301" * 4 + "\n" * 5 + "b"
    assert done.removed == {"control": 2, "marks": 5, "blank_lines": 4}


def test_licence_of_gutenberg_goes_and_the_book_stays() -> None:
    mark = "*** {} OF THE PROJECT GUTENBERG EBOOK ALICE ***\n"
    done = after(Boilerplate(), f"Head\n{mark.format('START')}Alice\n{mark.format('END')}Licence")
    assert done.text == "Alice\n"


def test_page_numbers_and_headers_go() -> None:
    pages = "".join(
        f"{page}\nThe Title\n" + "".join(f"line {page}.{n}\n" for n in range(20))
        for page in range(1, 8)
    )
    done = after(Boilerplate(), pages)
    assert "The Title" not in done.text
    assert done.text.count("line") == 140
    assert done.removed["page_number"] == 14


def test_page_numbers_beside_form_feeds_go() -> None:
    lines = [f"line {number} of all\n" for number in range(140)]
    pages = "".join(
        "".join(lines[20 * page : 20 * page + 20]) + f"{page + 1}\n\f" for page in range(7)
    )
    done = draft(pages)
    for step in text_steps(CleanConfig(quality="off")):
        found = step.run(done)
        assert isinstance(found, Draft)
        done = found
    assert done.text == "".join(lines)


def test_numbers_of_sonnets_stay() -> None:
    sonnets = "".join(f"{n}\n\n" + f"A line of fourteen, {n}\n" * 14 + "\n" for n in range(1, 155))
    assert after(Boilerplate(), sonnets).text == sonnets


START = "*** START OF THE PROJECT GUTENBERG EBOOK ONE ***\n"
END = "*** END OF THE PROJECT GUTENBERG EBOOK ONE ***\n"
OTHER = "Another book\n" * 5_000


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"Head\n{START}One\n{END}Licence\nHead\n{START}Two\n{END}Licence\n", "One\nTwo\n"),
        (f"Diary\n{END}Letters\n", None),
        (f"Diary\n{END}Letters\n{START}One\n{END}Licence", f"Diary\n{END}Letters\nOne\n"),
        (f"Head\n{START}One\n{START}Two\n", "One\nTwo\n"),
        (f"Head\n{START}One\n{END}{OTHER}", f"One\n{OTHER}"),
    ],
    ids=["two books", "end only", "end before start", "no end", "book behind"],
)
def test_no_book_goes_with_a_licence(text: str, rest: str | None) -> None:
    assert after(Boilerplate(), text).text == (text if rest is None else rest)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("We use cookies as the base of the cake.\nBake.", None),
        ("We use cookies to make this website better.\nBake.", "Bake."),
        ("Skip to content\nWe use cookies for this and that.\nBake.", "Bake."),
    ],
    ids=["cake", "website", "second line"],
)
def test_cookies_of_bakers_stay(text: str, rest: str | None) -> None:
    assert after(Boilerplate(), text).text == (text if rest is None else rest)


def test_numbered_verses_stay() -> None:
    verses = "".join(f"{n}\nA verse\nand another\n" for n in range(1, 30))
    assert after(Boilerplate(), verses).text == verses


def test_traditional_becomes_simplified() -> None:
    assert after(Simplify(), "後來乾隆皇帝 and 頭髮").text == "后来乾隆皇帝 and 头发"


def test_stop_words_go_with_their_space() -> None:
    assert after(RemoveStopWords(), "The cat sat on the mat.\nIt is").text == "cat sat mat.\n"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("It is not the end, and she doesn't know", "not end, doesn't know"),
        ("我不是学生", "不是学生"),
        ("她没有去过北京，别去", "没有去过北京别去"),
    ],
    ids=["English", "不", "没有 and 别"],
)
def test_words_that_deny_stay(text: str, rest: str) -> None:
    assert after(RemoveStopWords(), text).text.strip() == rest


def test_stop_words_that_are_taken_out_are_counted() -> None:
    text = "the moon and the sea"
    draft = Draft(document=Document(id="1", text=text), text=text)
    found = RemoveStopWords().run(draft)
    assert found.removed == {"stop_words": len(draft.text) - len(found.text)}


def test_stop_words_hold_no_words_of_meaning() -> None:
    assert {"the", "don't"} <= stop_words("en")
    assert not {"computer", "important", "good"} & stop_words("en")
    assert "的" in stop_words("zh")
    assert stop_words("xx") == frozenset()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("我们的家在北京", "zh"),
        ("これは日本語です", "ja"),
        ("안녕하세요 여러분", "ko"),
        ("The cat sat on the mat and slept", "en"),
        ("Le chat dort sur le tapis de la maison", "fr"),
        ("Hi", "unknown"),
        ("", "unknown"),
        ("12345 67890 !!!", "unknown"),
    ],
)
def test_language_is_told(text: str, code: str) -> None:
    assert language_of(text)[0] == code


def test_only_wished_languages_stay() -> None:
    keep = KeepLanguages(("en",))
    assert dropped(keep, "我们的家在北京").values["language"] == "zh"
    assert after(keep, "Hi").text == "Hi"


def test_paragraphs_of_human_rights_are_told_apart(shared_data: Path) -> None:
    names = {"eng": "en", "fra": "fr", "spa": "es", "rus": "ru", "cmn_hans": "zh", "jpn": "ja"}
    outcomes: Counter[bool] = Counter()
    with zipfile.ZipFile(shared_data / "nlp/nltk/udhr2.zip") as archive:
        for name, code in names.items():
            lines = archive.read(f"udhr2/{name}.txt").decode("utf-8").split("\n")
            outcomes.update(language_of(line)[0] == code for line in lines if len(line) > 40)
    assert outcomes[True] > 0.97 * outcomes.total() > 0


# -- quality ------------------------------------------------------------------------------------


def prose(words: int) -> str:
    rng = random.Random(1)
    known = ["".join(rng.choices("abcdefghij", k=rng.randint(3, 7))) for _ in range(400)]
    return " ".join(rng.choice(["the", "of", *rng.choices(known, k=4)]) for _ in range(words))


def test_prose_passes() -> None:
    assert list(failures(prose(300))) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "few_words"),
        ("the of", "few_words"),
        ("a b " * 100, "short_words"),
        (" ".join(f"{n * 977}" for n in range(1000, 1300)), "few_letters"),
        (prose(300).replace("the", "xqz").replace("of", "yq"), "few_stop_words"),
        ("# " * 60 + prose(300), "symbols"),
        ("\n".join(f"- {prose(300)[n : n + 60]}" for n in range(0, 900, 60)), "bullets"),
        ((prose(30) + "\n") * 10, "repeated_lines"),
        (f"{prose(60)} " * 5, "repeated_words"),
        ("的" * 100, "few_stop_words"),
    ],
)
def test_rule_that_is_broken_is_named(text: str, reason: str) -> None:
    assert reason in [found for found, _, _ in failures(text)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_drop_is_said_with_its_numbers(language: str) -> None:
    done = dropped(Quality(), "too short")
    with in_language(language):  # type: ignore[arg-type]  # LANGUAGES are its choices
        sentence = render(f"dropped.{done.reason}", **done.values)
    assert "2" in sentence
    assert "50" in sentence


# -- the choice of steps ------------------------------------------------------------------------


def test_steps_come_in_their_order() -> None:
    config = CleanConfig(
        without=("boilerplate",),
        quality="on",
        languages=("en",),
        simplify=True,
        remove_stop_words=True,
    )
    config.check()
    names = [step.name for step in text_steps(config)]
    assert names == ["repair", "controls", "simplify", "language", "quality", "stop_words"]


@pytest.mark.parametrize(
    ("quality", "source", "has_address", "is_dropped"),
    [
        ("auto", "https://a.example/", True, True),
        ("auto", "https://a.example:80", True, True),
        ("auto", "crawl/a.warc.gz:3", True, True),
        ("auto", "pages/a.html", True, True),
        ("auto", "pages/a.html", False, False),
        ("auto", "train.csv:12", True, False),
        ("auto", "https://a.example/train.csv:12", True, False),
        ("auto", "texts", True, False),
        ("on", "train.csv:12", False, True),
        ("off", "https://a.example/", True, False),
    ],
)
def test_quality_is_judged_of_web_pages_only_unless_asked(
    quality: str, source: str, has_address: bool, is_dropped: bool
) -> None:
    fields = {"url": "http://a.example/"} if has_address else {}
    document = Document(id="0", text="Too short.", fields=fields, source=source)
    draft = Draft(document=document, text="Too short.")
    for step in text_steps(CleanConfig(quality=quality)):  # type: ignore[arg-type]
        found = step.run(draft)
        if isinstance(found, Dropped):
            break
    assert isinstance(found, Dropped) == is_dropped


@pytest.mark.parametrize(
    "config",
    [CleanConfig(without=("repiar",)), CleanConfig(languages=("English",))],
    ids=["step", "language"],
)
def test_impossible_wish_is_refused(config: CleanConfig) -> None:
    with pytest.raises(ConfigError):
        config.check()


def test_clean_text_is_fast() -> None:
    text = "A line of prose, 词, and more of it.\n" * 30_000
    started = time.perf_counter()
    after(Controls(), text)
    assert time.perf_counter() - started < 1  # 1.1 MB; in fact a few milliseconds
