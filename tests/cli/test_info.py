"""`memlm info --statistics`."""

import pytest


@pytest.mark.parametrize("language", ["en", "zh"])
def test_statistics_are_printed_and_the_page_is_named(memlm, trained, language):
    done = memlm("info", trained, "--statistics", "--language", language)
    assert done.code == 0, done.err
    assert str(trained / "statistics.html") in done.out
    assert "月亮" in done.out
    assert "the" in done.out.split()
    assert (trained / "statistics.html").exists()


def test_statistics_come_as_json_with_the_rest(memlm, trained):
    found = memlm("info", trained, "--statistics", "--json").json
    assert found["documents"]["documents"] == found["statistics"]["documents"]
    assert {
        "characters_by_script", "words", "zipf", "heaps", "parts_of_speech", "lengths", "languages",
        "labels", "exact_duplicates", "near_duplicates", "personal_data", "rejected", "dropped",
        "tokenizers", "page",
    } <= found["statistics"].keys()  # fmt: skip


def test_page_is_listed_and_becomes_stale(memlm, trained, corpus):
    memlm("info", trained, "--statistics")
    assert memlm("info", trained, "--json").json["statistics_page"]["stale"] is False
    (trained.parent / "more.txt").write_text("one more text\n", "utf-8")
    memlm("collect", trained, trained.parent / "more.txt")
    assert memlm("info", trained, "--json").json["statistics_page"]["stale"] is True


def test_plain_info_measures_nothing(memlm, trained):
    found = memlm("info", trained, "--json").json
    assert "statistics" not in found
    assert not (trained / "statistics.html").exists()


def test_model_whose_tokens_were_replaced_is_stale_and_says_why(memlm, trained, monkeypatch):
    assert memlm("info", trained, "--json").json["models"][0]["stale"] is False
    memlm("prepare", trained, "--remove-stop-words")
    (model,) = memlm("info", trained, "--json").json["models"]
    assert (model["stale"], model["stale_because"]) == (True, ["tokens"])
    monkeypatch.setattr("memlm.cli.console.out._width", 200)
    assert "stale: tokens replaced" in memlm("info", trained).out


def test_model_of_other_documents_says_so(memlm, trained, tmp_path):
    (tmp_path / "more.txt").write_text("one more text\n", "utf-8")
    memlm("collect", trained, tmp_path / "more.txt")
    (model,) = memlm("info", trained, "--json").json["models"]
    assert (model["stale"], model["stale_because"]) == (True, ["documents"])


def test_sealed_tokens_are_shown(memlm, trained, monkeypatch):
    memlm("prepare", trained, "--sealed", "0.3")
    monkeypatch.setattr("memlm.cli.console.out._width", 200)
    (part,) = memlm("info", trained, "--json").json["prepared"]
    assert f"{part['tokens']['sealed']:,} sealed" in memlm("info", trained).out
    assert f"封存 {part['tokens']['sealed']:,}" in memlm("info", trained, "--language", "zh").out


def test_chinese_table_has_no_western_commas_between_chinese_words(memlm, trained, monkeypatch):
    monkeypatch.setattr("memlm.cli.console.out._width", 200)
    shown = memlm("info", trained, "--language", "zh").out
    assert ", " not in shown
    assert "en 7、zh 33" in shown or "en 7，zh 33" in shown


def test_memory_is_listed_and_becomes_stale(memlm, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("memlm.cli.console.out._width", 200)
    assert memlm("info", trained, "--json").json["memories"] == []
    memlm("lookup", trained, "the")
    found = memlm("info", trained, "--json").json
    (part,), (tokens,) = found["memories"], found["prepared"]
    assert (part["kind"], part["tokenizer"], part["stale"]) == ("counts", "char", False)
    # An end token stands in front of each document.
    assert part["tokens"] == sum(tokens["tokens"].values()) + tokens["documents"]
    assert part["segments"] == 2
    assert part["bytes"] > 4 * part["tokens"]
    (line,) = [one for one in memlm("info", trained).out.splitlines() if "memory/" in one]
    assert line.split()[:2] == ["memory/counts/char", f"{part['tokens']:,}"]
    assert {"prepared/char", "current"} <= set(line.split())
    assert f"{part['tokens']:,} 个词元，2 个分段" in memlm("info", trained, "--language", "zh").out
    (tmp_path / "more.txt").write_text("one more text\n", "utf-8")
    memlm("collect", trained, tmp_path / "more.txt")
    memlm("prepare", trained)
    (part,) = memlm("info", trained, "--json").json["memories"]
    assert part["stale"] is True
    memlm("lookup", trained, "the")
    (part,) = memlm("info", trained, "--json").json["memories"]
    assert part["stale"] is False


def test_memory_that_is_damaged_is_said_to_be_and_made_anew(memlm, trained):
    memlm("lookup", trained, "the")
    (trained / "memory" / "counts" / "char" / "segments.json").write_text("{}", "utf-8")
    (part,) = memlm("info", trained, "--json").json["memories"]
    assert part["status"] == "damaged"
    assert memlm("info", trained).code == 0
    assert memlm("lookup", trained, "the").code == 0
    (part,) = memlm("info", trained, "--json").json["memories"]
    assert part["status"] == "finished"
