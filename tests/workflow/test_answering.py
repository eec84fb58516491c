"""A model that learned a task answers, and shows from which examples the answer may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import memlm
from memlm import AnswerConfig, GenerateConfig, TrainConfig
from memlm.errors import ConfigError, InputError
from memlm.workflow import Answerer, read_questions
from memlm.workflow.preparing import open_tokens
from memlm.workflow.remembering import memory_model
from memlm.workspace import read_run

ANIMALS = {"dog": "Hund", "cat": "Katze", "cow": "Kuh", "hen": "Huhn"}
PLACES = {"park": "Park", "snow": "Schnee", "house": "Haus"}
FAST = {"device": "cpu", "threads": 1, "batch_size": 8, "learning_rate": 1e-2}


class Heard(memlm.Listener):
    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, object]]] = []

    def note(self, code: str, **values: object) -> None:
        self.notes.append((code, values))


def pairs(path: Path, kind: str) -> Path:
    """A table of examples that a tiny network learns in no time."""
    lines = ["source,target"]
    for number in range(4):
        for animal, tier in ANIMALS.items():
            for place, ort in PLACES.items():
                answer = f"{tier} {ort} {number}" if kind == "translate" else tier
                lines.append(f"{animal} in the {place} {number},{answer}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def trained(folder: Path, kind: str, **options: object) -> memlm.Model:
    opened = memlm.open_workspace(folder / "ws", create=True)
    memlm.collect_documents(
        opened, pairs(folder / "pairs.csv", kind), config=memlm.CollectConfig(task=kind)
    )
    config = TrainConfig(**FAST | {"network": "lstm", "hidden_width": 64, "steps": 300} | options)
    prepare = memlm.PrepareConfig(tokenizer="word", held_out_share=0.2)
    report = memlm.train_model(opened, config=config, prepare=prepare)
    return memlm.load_model(opened, report.model, writes=True)


@pytest.fixture(scope="module")
def translator(tmp_path_factory) -> memlm.Model:
    return trained(tmp_path_factory.mktemp("translate"), "translate")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> memlm.Model:
    return trained(tmp_path_factory.mktemp("classify"), "classify")


def test_what_was_learned_is_answered(translator):
    found = memlm.answer_task(translator, ["dog in the snow 1", "cow in the house 2"], memories=[])
    assert [one.text for one in found] == ["Hund Schnee 1", "Kuh Haus 2"]


def test_the_nearest_examples_are_shown_with_their_places(translator):
    (found,) = memlm.answer_task(translator, ["dog in the snow"], memories=[])
    assert len(found.examples) == 3
    first = found.examples[0]
    assert first.asked.startswith("dog in the snow")
    assert first.answer.startswith("Hund Schnee")
    assert first.source.startswith("pairs.csv:")


def test_only_learned_examples_are_shown(translator):
    learned = np.fromfile(
        translator.workspace.model(translator.name) / "documents.bin", dtype="<u8"
    )
    how = AnswerConfig(examples=100)
    (found,) = memlm.answer_task(translator, ["dog in the snow"], answering=how, memories=[])
    assert {int(one.document_id, 16) for one in found.examples} <= set(learned.tolist())


def test_several_answers_are_the_best_of_a_search(translator):
    config = GenerateConfig(samples=3, beams=4)
    (found,) = memlm.answer_task(translator, ["hen in the park 0"], config=config, memories=[])
    assert found.text == "Huhn Park 0"
    assert len(found.others) == 2


def test_an_example_that_is_recalled_is_read_before_the_question(translator):
    with Answerer(translator, answering=AnswerConfig(recall=2), memories=[]).ready() as answerer:
        near = answerer.near.nearest("dog in the snow 1", limit=2)
        ids, _ = answerer._question("dog in the snow 1", near)
    told = translator.tokenizer.decode(ids.tolist())
    assert told.endswith("dog in the snow 1␟")
    for example in near:
        assert f"{example.asked}␟{example.answer}" in told


def test_labels_are_told_with_probabilities(classifier):
    found = memlm.answer_task(classifier, ["dog in the snow", "hen at the lake"])
    for one, label in zip(found, ("Hund", "Huhn"), strict=True):
        assert one.text == label
        assert one.probabilities.keys() == set(ANIMALS.values())
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.text == max(one.probabilities, key=lambda each: one.probabilities[each])


def test_how_sure_labels_are_is_fitted_once_and_kept(classifier):
    memlm.answer_task(classifier, ["dog"])
    path = classifier.workspace.model(classifier.name) / "labels.json"
    before = path.read_bytes()
    memlm.answer_task(classifier, ["cat"])
    assert path.read_bytes() == before


def test_the_weights_alone_are_asked_where_that_is_wished(classifier):
    (alone,) = memlm.answer_task(classifier, ["dog in the snow"], memories=[])
    (helped,) = memlm.answer_task(classifier, ["dog in the snow"])
    assert alone.text == helped.text == "Hund"
    assert alone.examples == helped.examples  # they are shown all the same
    assert alone.probabilities != helped.probabilities


def test_the_training_notes_its_task_and_the_labels(classifier, translator):
    run = read_run(classifier.workspace.model(classifier.name))
    assert run["task"] == "classify"
    assert run["targets"].keys() == set(ANIMALS.values())
    assert read_run(translator.workspace.model(translator.name))["targets"] is None


def test_a_source_that_is_too_long_is_cut_and_that_is_said(tmp_path):
    model = trained(tmp_path, "translate", network="transformer", attention_window=16, steps=2)
    heard = []

    class Ears(memlm.Listener):
        def note(self, code: str, **values: object) -> None:
            heard.append(code)

    (found,) = memlm.answer_task(model, ["dog in the snow " * 30], memories=[], listener=Ears())
    assert found.left_out > 0
    assert "source_cut" in heard


@pytest.mark.parametrize(("source", "code"), [("  ", "source_empty"), ("a␟b", "mark_in_text")])
def test_what_is_no_source_is_refused(translator, source, code):
    with pytest.raises(InputError) as caught:
        memlm.answer_task(translator, [source], memories=[])
    assert caught.value.code == code


def test_unknown_words_are_read_all_the_same(translator):
    assert memlm.answer_task(translator, ["zebra in the snow 1"], memories=[])[0].text


def test_a_model_of_texts_has_no_answers(tmp_path):
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    memlm.collect_documents(opened, texts=["a text", "another one"] * 20)
    report = memlm.train_model(opened, config=TrainConfig(**FAST, steps=1))
    model = memlm.load_model(opened, report.model)
    with pytest.raises(InputError) as caught:
        memlm.answer_task(model, ["a"])
    assert caught.value.code == "model_without_task"


def test_a_workspace_has_one_task(translator, tmp_path):
    with pytest.raises(ConfigError) as caught:
        memlm.collect_documents(
            translator.workspace,
            pairs(tmp_path / "more.csv", "classify"),
            config=memlm.CollectConfig(task="classify"),
        )
    assert caught.value.code == "task_other"


@pytest.mark.parametrize("name", ["questions.csv", "questions.txt"])
def test_questions_come_from_tables_and_lines(translator, tmp_path, name):
    path = tmp_path / name
    head = "id,source,target\n1,dog,x\n2,,y\n3,cat,z\n" if name.endswith("csv") else "dog\n\ncat\n"
    path.write_text(head, encoding="utf-8")
    assert list(read_questions(translator, path)) == ["dog", "cat"]


@pytest.mark.parametrize("name", ["questions.csv", "questions.txt"])
def test_a_question_with_the_sign_in_it_stops_no_others(translator, tmp_path, name):
    path, heard = tmp_path / name, Heard()
    path.write_text("source\ndog\na␟b\ncat\n"[7 * name.endswith("txt") :], encoding="utf-8")
    assert list(read_questions(translator, path, listener=heard)) == ["dog", "cat"]
    assert [code for code, _ in heard.notes] == ["row_left_out"]
    assert heard.notes[0][1]["line"] == 3 - name.endswith("txt")


def test_questions_may_stand_in_a_column_of_another_name(tmp_path):
    model = trained(tmp_path, "translate", steps=1)
    model.workspace.remember(source_column="source", target_column="target")
    path, heard = tmp_path / "other.csv", Heard()
    path.write_text("prompt,id\ndog,1\ncat,2\n", encoding="utf-8")
    assert list(read_questions(model, path, listener=heard)) == ["dog", "cat"]
    assert heard.notes == []
    with pytest.raises(InputError) as caught:
        list(read_questions(model, path, column="source"))
    assert caught.value.code == "column_missing"


def test_a_first_row_that_is_taken_for_a_header_is_said(translator, tmp_path):
    path, heard = tmp_path / "bare.csv", Heard()
    path.write_text("the dog runs\nthe cat sits\nthe hen flies\n", encoding="utf-8")
    found = list(read_questions(translator, path, listener=heard))
    assert found == ["the cat sits", "the hen flies"]
    assert [code for code, _ in heard.notes] == ["header_not_asked"]
    assert heard.notes[0][1]["row"] == "the dog runs"


def test_a_label_that_only_erased_examples_had_is_none_any_more(tmp_path):
    path = pairs(tmp_path / "pairs.csv", "classify")
    rows = path.read_text("utf-8")
    path.write_text(f"{rows}Jane lives here,Secret\n{rows[14:]}", encoding="utf-8")
    workspace = memlm.open_workspace(tmp_path / "ws", create=True)
    config = memlm.CollectConfig(task="classify")
    memlm.collect_documents(workspace, path, config=config)
    options = TrainConfig(**FAST | {"network": "lstm", "hidden_width": 8, "steps": 1})
    prepare = memlm.PrepareConfig(tokenizer="word", held_out_share=0)
    report = memlm.train_model(workspace, config=options, prepare=prepare)
    folder = workspace.model(report.model)
    assert "Secret" in read_run(folder)["targets"]
    path.write_text(rows, encoding="utf-8")
    memlm.collect_documents(workspace, path, config=config, prune=True, may_remove=lambda _: True)
    assert set(read_run(folder)["targets"]) == set(ANIMALS.values())
    assert not any(b"Secret" in one.read_bytes() for one in folder.rglob("*") if one.is_file())
    model = memlm.load_model(workspace, report.model, writes=True)
    (found,) = memlm.answer_task(model, ["Jane lives here"])
    assert set(found.probabilities) == set(ANIMALS.values())


def test_the_memory_shows_no_sealed_example(tmp_path):
    workspace = memlm.open_workspace(tmp_path / "ws", create=True)
    config = memlm.CollectConfig(task="translate")
    memlm.collect_documents(workspace, pairs(tmp_path / "pairs.csv", "translate"), config=config)
    prepare = memlm.PrepareConfig(tokenizer="word", sealed=0.4)
    report = memlm.prepare_documents(workspace, config=prepare)
    tokens = open_tokens(workspace.prepared(report.tokenizer))
    sealed = {tokens.document_ids[one] for one in tokens.units_of("sealed")["document"].tolist()}
    with Answerer(memory_model(workspace)).ready() as answerer:
        shown = {one.document_id for one in answerer.near.nearest("dog cat cow hen", limit=100)}
    assert sealed
    assert shown == set(tokens.document_ids) - sealed
