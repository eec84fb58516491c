"""A brought model is asked as ours are: scored, blended, written with, traced, looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import memlm
from foreign_makers import TEXT
from memlm.errors import ConfigError, InputError, NotFoundError, ResourceError
from memlm.generate import GenerateConfig
from memlm.models import hub
from memlm.predict.score import read_long
from memlm.workflow import attend_text, lookup_text

LINES = TEXT.splitlines()[0]


class Heard(memlm.Listener):
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def note(self, code: str, **values: object) -> None:
        self.codes.append(code)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> memlm.Workspace:
    folder = tmp_path_factory.mktemp("brought") / "ws"
    rng = np.random.default_rng(1)
    words = ("Alice lamp bank sister nobody was lit came the her tired sitting " * 2).split()
    texts = [LINES + " " + " ".join(rng.choice(words, 40)) for _ in range(44)]
    memlm.collect_documents(memlm.open_workspace(folder, create=True), texts=texts)
    memlm.prepare_documents(folder, config=memlm.PrepareConfig(held_out_share=0.5))
    return memlm.open_workspace(folder)


@pytest.fixture(scope="module", params=["gpt2", "llama", "qwen3", "mamba"])
def folder(request: pytest.FixtureRequest, foreign_models: Callable[[str], Path]) -> Path:
    return foreign_models(request.param)


@pytest.fixture
def gpt2(workspace: memlm.Workspace, foreign_models: Callable[[str], Path]) -> memlm.Model:
    return memlm.load_model(workspace, str(foreign_models("gpt2")), device="cpu")


def test_score_counts_each_token_once(workspace, folder):
    model = memlm.load_model(workspace, str(folder), device="cpu")
    found = memlm.score_text(model, TEXT[:400], memories=())
    ids = model.tokenizer.encode(TEXT[:400]).ids
    stream = np.concatenate([[model.tokenizer.end], ids.astype(np.int64)])
    nats = np.concatenate(list(read_long(model.predictor, stream)))
    assert found.tokens == len(ids)
    assert found.nats_per_character == pytest.approx(nats.sum() / 400, abs=1e-5)
    assert found.window == model.predictor.context


def test_memory_of_its_own_tokens_helps(workspace, folder):
    model = memlm.load_model(workspace, str(folder), device="cpu")
    heard = Heard()
    found = memlm.score_text(model, LINES, listener=heard)
    assert found.memories == ("counts",)
    assert found.nats_per_character < memlm.score_text(model, LINES, memories=()).low / 2
    if "blend_fitting" in heard.codes:
        assert "brought_may_have_read" in heard.codes
    again = Heard()
    memlm.score_text(model, LINES, listener=again)
    assert "blend_fitting" not in again.codes


def test_nothing_is_written_into_the_models_folder(workspace, folder):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    model = memlm.load_model(workspace, str(folder), device="cpu")
    memlm.score_text(model, LINES)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    kept = workspace.path / "models" / model.name
    assert {"blend.json", "brought.json", "tokenizer.json"} <= {one.name for one in kept.iterdir()}
    assert str(folder.parent) not in "".join(one.read_text("utf-8") for one in kept.iterdir())


def test_tokens_prepared_last_stay_those_of_the_workspace(workspace, gpt2):
    memlm.score_text(gpt2, LINES)
    assert workspace.settings()["tokenizer"] != gpt2.name
    assert gpt2.name in workspace.tokenizer_names()


def test_cache_and_vectors_join_it(gpt2):
    found = memlm.score_text(gpt2, LINES * 2, memories=["counts", "cache", "vectors"])
    assert "counts" in found.memories
    assert np.isfinite(found.nats_per_character)


def test_written_text_is_traced_with_shares(workspace, gpt2):
    config = GenerateConfig(tokens=30, seed=1)
    found = memlm.generate_text(gpt2, "Alice was", config=config, trace_in=workspace)[0]
    assert found.text
    assert found.trace is not None
    assert {name for one in found.shares for name in one.shares} == {"weights", "counts"}


def test_lookup_is_in_its_own_tokens(workspace, gpt2):
    found = lookup_text(workspace, "Alice was", model=gpt2)
    assert found.tokenizer == gpt2.name
    assert found.continuations[0].text.startswith(" beg")
    assert found.continuations[0].sources


def test_attention_is_shown_of_every_layer(workspace, gpt2):
    found = attend_text(workspace, TEXT, model=gpt2)
    assert found.kind == "attention"
    assert [layer.layer for layer in found.layers] == [1, 2]
    assert len(found.tokens) == found.layers[0].heads.shape[1] <= gpt2.predictor.longest


def test_network_without_attention_says_so(workspace, foreign_models):
    model = memlm.load_model(workspace, str(foreign_models("mamba")), device="cpu")
    with pytest.raises(InputError) as caught:
        attend_text(workspace, LINES, model=model)
    assert caught.value.code == "attends_without_weights"


def test_window_is_the_users_up_to_what_the_model_can_read(gpt2):
    assert memlm.score_text(gpt2, TEXT[:300], memories=(), window=16).window == 16
    with pytest.raises(ConfigError) as caught:
        memlm.score_text(gpt2, TEXT[:300], window=33)
    assert caught.value.code == "window_too_long"


def test_it_does_not_learn_while_reading(gpt2):
    with pytest.raises(ConfigError) as caught:
        memlm.score_text(gpt2, LINES, adapt=True)
    assert caught.value.code == "adapting_brought"


def test_info_lists_it(workspace, gpt2):
    (found,) = [one for one in memlm.describe_models(workspace) if one["model"] == gpt2.name]
    assert (found["status"], found["network"]) == ("brought", "gpt2")


def test_its_name_alone_is_not_enough(workspace, gpt2):
    with pytest.raises(ConfigError) as caught:
        memlm.load_model(workspace, gpt2.name)
    assert caught.value.code == "brought_by_folder"


@pytest.mark.parametrize(
    "name", ["./nowhere", "~/nowhere", "../no/such/folder", "~nobody-is-called-so/x"]
)
def test_folder_that_is_not_there_is_said(workspace, name):
    with pytest.raises(NotFoundError) as caught:
        memlm.load_model(workspace, name)
    assert caught.value.code == "model_folder_missing"


def test_folder_beside_those_that_are_here_is_not_asked_of_the_network(
    workspace, monkeypatch, tmp_path
):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch_folder", lambda name: pytest.fail("it asked"))
    with pytest.raises(NotFoundError) as caught:
        memlm.load_model(workspace, "out/modle")
    assert caught.value.code == "model_folder_missing"


def test_slip_of_the_pen_asks_no_network(workspace, monkeypatch):
    monkeypatch.setattr(hub, "fetch_folder", lambda name: pytest.fail("it asked"))
    with pytest.raises(NotFoundError) as caught:
        memlm.load_model(workspace, "lstn")
    assert caught.value.code == "model_missing"


def test_name_that_is_not_here_is_fetched_once_and_only_what_is_read(
    workspace, foreign_models, monkeypatch
):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def snapshot_download(name, **options):
        if options.get("local_files_only"):
            raise LocalEntryNotFoundError("not here")
        asked.append((name, options["allow_patterns"]))
        return str(foreign_models("gpt2"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    heard = Heard()
    memlm.load_model(workspace, "owner/tiny", device="cpu", listener=heard)
    assert asked == [("owner/tiny", ["*.safetensors", "*.json"])]
    assert "downloading" in heard.codes


def test_failing_network_is_one_line(workspace, monkeypatch):
    import huggingface_hub

    def snapshot_download(name, **options):
        if options.get("local_files_only"):
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        raise OSError("no route\nto the host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ResourceError) as caught:
        memlm.load_model(workspace, "owner/tiny")
    assert "\n" not in str(caught.value)
    assert "no route" in str(caught.value)


def test_erased_documents_leave_its_memory(tmp_path, foreign_models):
    path = tmp_path / "ws"
    texts = [f"{LINES} The secret of number {number} is kept." for number in range(30)]
    memlm.collect_documents(memlm.open_workspace(path, create=True), texts=texts)
    model = memlm.load_model(path, str(foreign_models("gpt2")), device="cpu")
    memlm.score_text(model, LINES)
    with memlm.DocumentStore(path / "documents.sqlite") as store:
        doomed = list(store.ids())[:3]
    memlm.erase_documents(path, doomed)
    names = (path / "prepared" / model.name / "documents.txt").read_text("ascii").split()
    assert not set(doomed) & set(names)
    kept = json.loads((path / "models" / model.name / "tokenizer.json").read_text("utf-8"))
    assert kept == model.tokenizer.to_json()
