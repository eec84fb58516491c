"""A trained model taken away: what its folder holds, says, and does in transformers."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import memlm
from memlm.errors import InputError, NotFoundError

STORIES = sorted((Path(memlm.__file__).parent / "demo_text" / "alice").glob("0[1-3]*.txt"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taken")
    memlm.collect_documents(folder / "ws", *STORIES)
    memlm.prepare_documents(folder / "ws", config=memlm.PrepareConfig(tokenizer="char"))
    shape = {"embedding_width": 8, "hidden_width": 16, "batch_size": 2, "steps": 5}
    for network in ("lstm", "transformer"):
        memlm.train_model(
            folder / "ws", config=memlm.TrainConfig(network=network, name=network, **shape)
        )
    return folder / "ws"


@pytest.fixture(scope="module", params=["lstm", "transformer"])
def taken(request: pytest.FixtureRequest, workspace: Path) -> Path:
    folder = workspace.parent / "taken" / str(request.param)
    report = memlm.export_model(workspace, folder, model=request.param)
    assert report.layout == {"lstm": "memlm", "transformer": "qwen3"}[request.param]
    assert report.folder == str(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(taken: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    memlm.register_transformers()
    model = AutoModelForCausalLM.from_pretrained(taken).eval()
    return AutoTokenizer.from_pretrained(taken), model


def test_transformers_score_a_text_as_we_do(
    workspace: Path, taken: Path, loaded: tuple[Any, Any]
) -> None:
    tokenizer, model = loaded
    text = "The lamp was lit.\nAlice, who was there, said nothing.\n" * 4
    ours = memlm.load_model(workspace, taken.name, device="cpu")
    found = memlm.score_text(ours, text, memories=[])
    tokens = tokenizer(text, return_tensors="pt")["input_ids"]  # opened by the end of a text
    with torch.no_grad():
        loss = model(tokens, labels=tokens).loss.item()
    assert found.unknown == 0
    assert loss * found.tokens / found.characters == pytest.approx(
        found.nats_per_character, abs=1e-5
    )


def test_pipeline_writes(loaded: tuple[Any, Any]) -> None:
    from transformers import pipeline

    tokenizer, model = loaded
    write = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    how = {"max_new_tokens": 8, "do_sample": False, "batch_size": 2, "return_full_text": False}
    together = write(["The lamp", "Nobody came, and so"], **how)
    alone = write("The lamp", **how)
    assert together[0][0]["generated_text"] == alone[0]["generated_text"]


def test_greedy_text_is_that_of_generate(
    workspace: Path, taken: Path, loaded: tuple[Any, Any]
) -> None:
    tokenizer, model = loaded
    ours = memlm.generate_text(
        memlm.load_model(workspace, taken.name, device="cpu"),
        "The lamp",
        config=memlm.GenerateConfig(tokens=30, temperature=0, ignore_end=True),
        memories=[],
    )
    prompt = tokenizer("The lamp", return_tensors="pt")
    written = model.generate(
        **prompt, max_new_tokens=30, do_sample=False, suppress_tokens=[0], eos_token_id=None
    )
    new = written[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(new, skip_special_tokens=True) == ours[0].text


def test_card_tells_figures_and_no_text(taken: Path) -> None:
    card = (taken / "README.md").read_text("utf-8")
    for words in ("## English", "## 中文", "Loss on held-out text", "留出文本上的损失", "recited"):
        assert words in card
    assert taken.name in card
    story = STORIES[0].read_text("utf-8")
    pieces = [story[start : start + 20] for start in range(0, len(story) - 20, 5)]
    assert [piece for piece in pieces if piece in card] == []


def test_nothing_in_the_folder_says_where_or_by_whom(taken: Path, workspace: Path) -> None:
    forbidden = [str(workspace), str(workspace.parent), str(Path.home()), getpass.getuser()]
    for file in taken.iterdir():
        if file.suffix != ".py":  # which are the same for everybody
            data = file.read_bytes()
            found = [word for word in forbidden if len(word) > 4 and word.encode() in data]
            assert (file.name, found) == (file.name, [])


def test_files_are_those_of_the_layout(taken: Path) -> None:
    names = {file.name for file in taken.iterdir()}
    plain = {"README.md", "config.json", "generation_config.json", "model.safetensors"}
    plain |= {"tokenizer.json", "tokenizer_config.json"}
    code = {"configuration_memlm.py", "cache_memlm.py", "blocks_memlm.py", "modeling_memlm.py"}
    assert names == plain | (code if taken.name == "lstm" else set())
    assert ("auto_map" in json.loads((taken / "config.json").read_text())) == (taken.name == "lstm")


def test_a_folder_in_use_is_left_alone(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        memlm.export_model(workspace, tmp_path)
    assert caught.value.code == "export_folder_taken"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_model_is_named_as_such(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        memlm.export_model(workspace, tmp_path / "out", model="none")
    assert caught.value.code == "model_missing"


@pytest.mark.parametrize("name", ["owner/model", "./folder"])
def test_a_brought_model_is_refused_before_it_is_fetched(
    workspace: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memlm.workflow.taking_away.load_model", lambda *a, **k: pytest.fail("it"))
    with pytest.raises(InputError) as caught:
        memlm.export_model(workspace, tmp_path / "out", model=name)
    assert caught.value.code == "export_brought"


def test_tokenizer_cuts_batches_with_padding_at_the_left(loaded: tuple[Any, Any]) -> None:
    tokenizer, _ = loaded
    found = tokenizer(["The lamp", "A"], padding=True, return_tensors="np")
    assert np.array_equal(found["attention_mask"][1], [0] * 7 + [1, 1])
