"""The label of a conversation: kept when it goes on, and gone with its documents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memlm import (
    DocumentStore,
    GenerateConfig,
    PrepareConfig,
    collect_documents,
    erase_documents,
    open_chat,
    open_workspace,
    prepare_documents,
)
from memlm.workflow.chats import read_chat, write_chat


def chat_in(workspace, label=None):
    config = GenerateConfig(temperature=0, tokens=8, seed=1, label=label)
    return open_chat(workspace, "tea", model="memory", config=config)


@pytest.fixture
def moody(tmp_path):
    """Return a workspace of texts with three labels."""
    rows = [(f"the {word} cat of {label}", label) for word in ("old", "red") for label in "xyz"]
    file = tmp_path / "moods.csv"
    file.write_text("text,label\n" + "".join(f"{a},{b}\n" for a, b in rows), "utf-8")
    workspace = open_workspace(tmp_path / "moods", create=True)
    collect_documents(workspace, file)
    prepare_documents(workspace, config=PrepareConfig(tokenizer="byte"))
    return workspace


def test_a_conversation_that_goes_on_keeps_the_label_that_was_drawn(moody):
    chat_in(moody).answer("the ")
    kept = read_chat(moody, "tea")
    assert kept.label is not None
    for label in ("x", "y", ""):
        write_chat(moody, replace(kept, label=label))
        chat_in(moody).answer("the ")
        assert read_chat(moody, "tea").label == label
    chat_in(moody, label="z").answer("the ")
    assert read_chat(moody, "tea").label == "z"


def test_a_label_that_only_erased_documents_had_goes_from_conversations(moody):
    chat_in(moody, label="z").answer("the ")
    with DocumentStore(moody.documents_file) as store:
        ids = [one.id for one in store if one.label == "z"]
    erase_documents(moody, ids)
    assert b'"z"' not in moody.chat("tea").read_bytes()
