"""A conversation in a workspace: kept, traced, remembered into, and erased with what it quotes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from memlm import (
    DocumentStore,
    GenerateConfig,
    Listener,
    PrepareConfig,
    collect_documents,
    describe_workspace,
    erase_documents,
    open_chat,
    open_workspace,
    prepare_documents,
)
from memlm.errors import ConfigError, CorruptArtefactError, InputError, NotFoundError
from memlm.workflow.chats import keep_chat, read_chat, write_chat

SECRET = "The Quoxelbridge was built by seven zyxwvqk masons in a single night of rain. 龘"
PLAIN = [
    "The cat sees the moon over the old town, and a dog follows it home at dusk.",
    "The old town sleeps under the rain, and nobody hears the river by the mill.",
    "A dog sees the river and follows the rain to the mill, where the moon stands.",
]
GREEDY = GenerateConfig(temperature=0, tokens=60, seed=1)
DAY = date(2026, 3, 5)


class Notes(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def note(self, code: str, **values: object) -> None:
        self.codes.append(code)


@pytest.fixture
def ws(tmp_path):
    workspace = open_workspace(tmp_path / "ws", create=True)
    collect_documents(workspace, texts=[*(f"{text}\n\n" for text in PLAIN), SECRET])
    prepare_documents(workspace, config=PrepareConfig(tokenizer="byte"))
    return workspace


def chat_in(ws, name=None, **options):
    options = {"model": "memory", "config": GREEDY, "today": DAY} | options
    return open_chat(ws, name, **options)


def id_of(ws, text: str) -> str:
    with DocumentStore(ws.documents_file) as store:
        return next(one.id for one in store if text in one.text)


def bytes_under(path: Path) -> bytes:
    return b"\0".join(file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file())


def assert_gone(ws, words=("Quoxel", "uoxelb", "zyxwvqk", "seven", "masons", "龘")) -> None:
    held = bytes_under(ws.chats)
    for word in words:
        assert word.encode() not in held, word
        assert json.dumps(word)[1:-1].encode() not in held, word


# -- kept ---------------------------------------------------------------------------------------


def test_a_new_conversation_is_called_after_the_day_and_lies_nowhere_before_it_has_a_turn(ws):
    chat = chat_in(ws)
    assert (chat.name, ws.chat_names()) == ("2026-03-05-1", [])
    chat.answer("The cat")
    assert ws.chat_names() == ["2026-03-05-1"]
    assert chat_in(ws).name == "2026-03-05-2"


def test_a_conversation_goes_on_where_it_was(ws):
    chat = chat_in(ws, "tea")
    first, second = (chat.answer(line).turn for line in ("The cat", "A dog"))
    again = chat_in(ws, "tea")
    assert again.turns == (first, second)
    chat.undo()
    assert chat_in(ws, "tea").answer("A dog").turn.answer == second.answer


def test_a_conversation_goes_on_with_the_model_it_had(ws):
    chat_in(ws, "tea").answer("The cat")
    assert chat_in(ws, "tea", model=None).model == "memory"


def test_a_conversation_that_goes_on_with_another_model_says_so(ws):
    chat_in(ws, "tea").answer("The cat")
    kept = read_chat(ws, "tea")
    turns = tuple(replace(one, model="lstm-7") for one in kept.turns)
    write_chat(ws, replace(kept, turns=turns))
    notes = Notes()
    chat_in(ws, "tea", listener=notes)
    assert "chat_other_model" in notes.codes
    chat_in(ws, "tea").answer("A dog")
    notes = Notes()
    chat_in(ws, "tea", listener=notes)
    assert "chat_other_model" not in notes.codes


def test_a_conversation_of_a_brought_model_asks_for_its_folder(ws):
    chat_in(ws, "tea").answer("The cat")
    kept = json.loads(ws.chat("tea").read_text("utf-8"))
    kept["turns"][0]["model"] = "guest"
    ws.chat("tea").write_text(json.dumps(kept), "utf-8")
    ws.model("guest").mkdir(parents=True)
    (ws.model("guest") / "brought.json").write_text("{}", "utf-8")
    notes = Notes()
    with pytest.raises(ConfigError) as caught:
        chat_in(ws, "tea", model=None, listener=notes)
    assert (caught.value.code, notes.codes) == ("brought_by_folder", [])


def test_a_conversation_that_should_read_ahead_is_refused(ws):
    with pytest.raises(ConfigError) as caught:
        chat_in(ws, config=GenerateConfig(read_ahead="on"))
    assert caught.value.code == "chat_read_ahead"


def test_undoing_all_turns_leaves_no_file(ws):
    chat = chat_in(ws, "tea")
    chat.answer("The cat")
    assert chat.undo() is not None
    assert (chat.undo(), ws.chat_names()) == (None, [])


@pytest.mark.parametrize("name", ["../tea", "", ".tea", "a/b", "a b"])
def test_a_name_that_cannot_be_that_of_a_file_is_refused(ws, name):
    if not name:
        assert chat_in(ws, name).name == "2026-03-05-1"
        return
    with pytest.raises(InputError) as caught:
        chat_in(ws, name)
    assert caught.value.code == "chat_name"


def test_another_pattern_for_the_same_conversation_is_refused(ws):
    chat_in(ws, "tea").answer("The cat")
    with pytest.raises(ConfigError) as caught:
        chat_in(ws, "tea", pattern="{you} {model}")
    assert caught.value.code == "chat_pattern_kept"


def test_a_damaged_conversation_is_said_to_be_one(ws):
    chat_in(ws, "tea").answer("The cat")
    ws.chat("tea").write_text('{"format": 1}', "utf-8")
    with pytest.raises(CorruptArtefactError):
        chat_in(ws, "tea")
    assert describe_workspace(ws)["chats"][0]["status"] == "damaged"


def test_what_a_workspace_holds_names_its_conversations(ws):
    chat_in(ws, "tea").answer("The cat")
    (found,) = describe_workspace(ws)["chats"]
    assert (found["name"], found["turns"], found["models"]) == ("tea", 1, ["memory"])


def test_two_that_hold_the_same_conversation_do_not_overwrite_each_other(ws):
    one, other = chat_in(ws, "tea"), chat_in(ws, "tea")
    one.answer("The cat")
    other.answer("A dog")  # which first reads what the other has said
    assert [turn.line for turn in chat_in(ws, "tea").turns] == ["The cat", "A dog"]


def test_a_conversation_that_cannot_be_written_goes_on_and_says_so_once(ws, monkeypatch):
    notes = Notes()
    chat = chat_in(ws, "tea", listener=notes)

    def refuse(*_: object, **__: object) -> None:
        raise InputError("workspace_busy", path=ws.path, process="1")

    with monkeypatch.context() as patched:
        patched.setattr("memlm.workflow.chatting.keep_chat", refuse)
        chat.answer("The cat")
        chat.answer("A dog")
        assert (notes.codes.count("chat_not_kept"), chat.is_kept) == (1, False)
    chat.answer("The old")
    assert chat.is_kept
    assert len(chat_in(ws, "tea").turns) == 3


# -- where it comes from ------------------------------------------------------------------------


def test_an_answer_says_where_it_comes_from_and_whose_it_is(ws):
    found = chat_in(ws).answer("The cat sees the")
    assert found.trace is not None
    assert found.trace.text == found.turn.shown
    assert found.trace.recited_share == 1.0
    assert found.shares == {"counts": 1.0}


def test_sources_are_those_of_the_last_answer_with_its_line(ws):
    chat = chat_in(ws)
    with pytest.raises(InputError) as caught:
        chat.sources()
    assert caught.value.code == "chat_untraced"
    chat.answer("A dog")
    turn = chat.answer("The cat sees the").turn
    found = chat.sources()
    assert (found.prompt, found.text) == (turn.line, turn.shown)
    assert found.trace is not None
    assert found.trace.excerpts


def test_the_memory_cannot_be_left_out_where_it_is_all_there_is(ws):
    with pytest.raises(ConfigError) as caught:
        chat_in(ws).use_memory(False)
    assert caught.value.code == "chat_memory_alone"


@pytest.mark.parametrize("value", [-1.0, float("nan"), 101.0])
def test_an_impossible_temperature_is_refused_and_changes_nothing(ws, value):
    chat = chat_in(ws)
    with pytest.raises(ConfigError):
        chat.set_temperature(value)
    first = chat.answer("The cat").turn.answer
    assert chat_in(ws).answer("The cat").turn.answer == first


# -- remembering --------------------------------------------------------------------------------


def test_the_answer_after_remembering_draws_on_the_file(ws, tmp_path):
    file = tmp_path / "new.txt"
    file.write_text("Grandmother Ünal keeps the blue key beneath the oven.\n", "utf-8")
    chat = chat_in(ws)
    chat.answer("The cat")
    found = chat.remember(file)
    assert (found.file, found.takes_part, found.characters > 40) == ("new.txt", True, True)
    answer = chat.answer("Grandmother Ü")
    assert answer.turn.answer.startswith("nal keeps the blue key beneath the oven.")
    assert chat.remember(file).characters == 0


def test_a_file_that_is_not_there_is_not_remembered(ws, tmp_path):
    with pytest.raises(NotFoundError):
        chat_in(ws).remember(tmp_path / "none.txt")


def test_a_file_that_is_no_text_is_not_remembered(ws, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(InputError) as caught:
        chat_in(ws).remember(tmp_path / "a.pdf")
    assert caught.value.code == "nothing_readable"


# -- erased -------------------------------------------------------------------------------------


def test_an_answer_that_recites_an_erased_document_goes_with_it(ws):
    chat = chat_in(ws, "tea")
    kept = chat.answer("The cat sees the").turn
    assert "uoxelbridge" in chat.answer("The Q").turn.answer
    chat.answer("A dog sees")
    notes = Notes()
    report = erase_documents(ws, id_of(ws, "Quoxel"), listener=notes)
    assert "chats/tea.json" in report.rewritten
    assert "chat_shortened" in notes.codes
    assert_gone(ws)
    assert chat_in(ws, "tea").turns == (kept,)


def test_a_conversation_that_quotes_nothing_erased_stays_to_the_byte(ws):
    chat_in(ws, "tea").answer("The cat sees the")
    before = ws.chat("tea").read_bytes()
    report = erase_documents(ws, id_of(ws, "Quoxel"))
    assert "chats/tea.json" not in report.rewritten
    assert ws.chat("tea").read_bytes() == before


def test_what_stands_in_another_document_too_stays(ws):
    collect_documents(ws, texts=[f"{SECRET} And so on."])
    chat_in(ws, "tea").answer("The Q")
    with DocumentStore(ws.documents_file) as store:
        identity = next(one.id for one in store if one.text == SECRET)
    erase_documents(ws, identity)
    assert len(chat_in(ws, "tea").turns) == 1


@pytest.mark.parametrize("line", ["龘", "I know of masons", "zyx", "seven"])
def test_what_a_person_quoted_goes_too_be_it_one_rare_character(ws, line):
    chat = chat_in(ws, "tea")
    chat.answer(line, should_stop=lambda: True)
    erase_documents(ws, id_of(ws, "Quoxel"))
    assert ws.chat_names() == []
    assert_gone(ws)


def test_an_answer_that_goes_on_with_an_erased_text_goes_too(ws):
    config = GenerateConfig(temperature=0, tokens=3, seed=1)
    chat = chat_in(ws, "tea", config=config)
    for line in ("The Q", "", ""):
        chat.answer(line)
    erase_documents(ws, id_of(ws, "Quoxel"))
    assert_gone(ws)
    assert ws.chat_names() == []


def test_what_was_remembered_in_a_conversation_goes_with_all_after_it(ws, tmp_path):
    (tmp_path / "new.txt").write_text("moon moon moon\n", "utf-8")
    chat = chat_in(ws, "tea")
    chat.answer("The cat")
    chat.remember(tmp_path / "new.txt")
    chat.answer("The cat")
    erase_documents(ws, id_of(ws, "moon moon moon"))
    assert len(chat_in(ws, "tea").turns) == 1


def test_what_was_remembered_before_a_turn_that_was_taken_back_goes_too(ws, tmp_path):
    (tmp_path / "new.txt").write_text("moon moon moon\n", "utf-8")
    chat = chat_in(ws, "tea")
    chat.remember(tmp_path / "new.txt")
    chat.answer("The cat")
    chat.undo()
    chat.answer("The cat")
    erase_documents(ws, id_of(ws, "moon moon moon"))
    assert ws.chat_names() == []


def test_a_conversation_of_a_newer_memlm_is_not_touched_and_nothing_is_erased(ws):
    chat_in(ws, "tea").answer("The Q")
    newer = json.loads(ws.chat("tea").read_text("utf-8")) | {"format": 2}
    ws.chat("tea").write_text(json.dumps(newer), "utf-8")
    (ws.chats / "stray.txt").write_text("mine", "utf-8")
    identity = id_of(ws, "Quoxel")
    for attempt in (lambda: erase_documents(ws, identity), lambda: chat_in(ws, "tea")):
        with pytest.raises(InputError) as caught:
            attempt()
        assert caught.value.code == "workspace_is_newer"
    assert json.loads(ws.chat("tea").read_text("utf-8")) == newer
    assert (ws.chats / "stray.txt").exists()
    assert id_of(ws, "Quoxel") == identity


def test_a_quotation_that_was_said_before_the_document_came_goes_too(ws):
    chat_in(ws, "tea").answer("the blue vault", should_stop=lambda: True)
    collect_documents(ws, texts=["The keeper of the blue vault is called Bartholomew."])
    chat_in(ws, "other").answer("The cat")  # which brings the index in step
    erase_documents(ws, id_of(ws, "Bartholomew"))
    assert "tea" not in ws.chat_names()
    assert b"blue vault" not in bytes_under(ws.path)


def test_text_that_was_replaced_is_erased_from_conversations(ws, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("Grandmother keeps the blue key beneath the oven.\n", "utf-8")
    collect_documents(ws, file)
    chat_in(ws, "tea").answer("Grandmother keeps")
    file.write_text("Nothing to see here.\n", "utf-8")
    collect_documents(ws, file, prune=True)
    assert b"beneath the oven" not in bytes_under(ws.chats)


def test_a_damaged_conversation_is_deleted_for_nobody_knows_what_it_quotes(ws):
    chat_in(ws, "tea").answer("The Q")
    whole = ws.chat("tea").read_bytes()
    assert b"uoxel" in whole
    ws.chat("tea").write_bytes(whole[:-20])
    # Cut where its text has been, and nothing that a turn is known by.
    ws.chat("pot").write_bytes(whole[: whole.index(b"uoxel") + 5])
    assert b"finds" not in ws.chat("pot").read_bytes()
    erase_documents(ws, id_of(ws, "Quoxel"))
    assert_gone(ws)
    assert ws.chat_names() == []


def test_what_memlm_did_not_write_beside_the_conversations_stays_and_is_named_once(ws):
    chat_in(ws, "tea").answer("The Q")
    mine = {"stray.txt": SECRET, "my notes.json": "[", "list.json": '{"turns": 3}'}
    for name, text in mine.items():
        (ws.chats / name).write_text(text, "utf-8")
    (ws.chats / "folder").mkdir()
    notes = Notes()
    erase_documents(ws, id_of(ws, "Quoxel"), listener=notes)
    assert "tea" not in ws.chat_names()
    assert {name: (ws.chats / name).read_text("utf-8") for name in mine} == mine
    assert (ws.chats / "folder").is_dir()
    assert notes.codes.count("chats_strangers") == 1
    assert describe_workspace(ws)["chats"][0]["name"] == "list"


def test_without_documents_no_conversation_is_left_that_quoted_any(ws):
    chat_in(ws, "tea").answer("The cat sees")
    with DocumentStore(ws.documents_file) as store:
        ids = list(store.ids())
    erase_documents(ws, ids)
    assert ws.chat_names() == []


def test_a_crash_between_two_steps_of_erasing_leaves_nothing_in_the_end(ws, monkeypatch):
    chat_in(ws, "tea").answer("The Q")

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("memlm.workflow.chat_erasing._clean_turns", die)
        with pytest.raises(Killed):
            erase_documents(ws, id_of(ws, "Quoxel"))
    chat_in(ws, "other")  # whatever comes next finishes it
    assert_gone(ws)


def test_a_conversation_under_way_forgets_what_is_erased_elsewhere(ws):
    notes = Notes()
    chat = chat_in(ws, "tea", listener=notes)
    kept = chat.answer("The cat sees the").turn
    chat.answer("The Q")
    erase_documents(ws.path, id_of(ws, "Quoxel"))
    answer = chat.answer("The").turn
    assert "chat_changed_elsewhere" in notes.codes
    assert chat.turns == (kept, answer)
    assert_gone(ws)


def test_a_turn_is_not_kept_if_documents_go_while_it_is_written(ws):
    chat = chat_in(ws, "tea")
    is_done = []

    def erase_meanwhile() -> bool:
        if not is_done:
            is_done.append(True)
            erase_documents(ws.path, id_of(ws, "Quoxel"))
        return False

    with pytest.raises(InputError) as caught:
        chat.answer("The Q", should_stop=erase_meanwhile)
    assert (caught.value.code, chat.turns, ws.chat_names()) == ("chat_changed", (), [])
    assert_gone(ws)
    assert "uoxel" not in chat.answer("The").turn.answer


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(ws):
    chat_in(ws, "tea").answer("The cat")
    kept = read_chat(ws, "tea")
    assert kept is not None
    with pytest.raises(InputError):
        keep_chat(ws, kept, before=None, digest=None)
