"""A model is taught further: ours and those of others, whole or by an adapter that PEFT loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import memlm
from foreign_makers import TEXT
from memlm.errors import ConfigError, CorruptArtefactError, InputError, NotFoundError
from memlm.train import TrainConfig
from memlm.workflow import export_adapter, export_model
from memlm.workspace import read_run

NEW = "The red queen ran and ran, and nobody but Alice came near her. "
FAST = {"steps": 4, "checkpoint_every": 2, "batch_size": 2, "device": "cpu", "threads": 1}


@pytest.fixture
def workspace(tmp_path: Path) -> memlm.Workspace:
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    lines = TEXT.splitlines()
    memlm.collect_documents(opened, texts=[f"{line} {number}" for number, line in enumerate(lines)])
    memlm.prepare_documents(opened, config=memlm.PrepareConfig(held_out_share=0.3))
    return opened


@pytest.fixture(params=["gpt2", "mamba"])
def folder(
    request: pytest.FixtureRequest, foreign_models: Callable[[str], Path], tmp_path: Path
) -> Path:
    return Path(shutil.copytree(foreign_models(request.param), tmp_path / "theirs"))


def teach(workspace: memlm.Workspace, begin_with: Path | str, **options: object) -> memlm.Model:
    report = memlm.train_model(
        workspace, begin_with=str(begin_with), config=TrainConfig(**FAST | options)
    )
    return memlm.load_model(workspace, report.model, device="cpu")


def logits_of(network: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(input_ids=tokens).logits


def predicted(model: memlm.Model, tokens: torch.Tensor) -> np.ndarray:
    return model.predictor.read(model.predictor.start(1), tokens.numpy())[0]


def some(model: memlm.Model) -> torch.Tensor:
    return torch.arange(1, 15)[None] % (model.predictor.vocabulary_size - 2)


def test_all_weights_of_a_brought_model_are_taught(workspace, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = teach(workspace, folder, learning_rate=3e-3, steps=12)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert model.name == "theirs-tuned-1"
    brought = memlm.load_model(workspace, str(folder), device="cpu")
    text = TEXT.splitlines()[3]
    found, was = (memlm.score_text(one, text, memories=()) for one in (model, brought))
    assert found.nats_per_character < was.nats_per_character - 0.1
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(workspace.model(model.name) / "huggingface")
    expected = logits_of(theirs, some(model)).log_softmax(-1).numpy()
    np.testing.assert_allclose(
        predicted(model, some(model))[:, :, : expected.shape[2]], expected, atol=2e-5
    )


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_adapter_of_a_brought_model_is_what_peft_loads(workspace, folder, tmp_path):
    model = teach(workspace, folder, adapter="lora", learning_rate=1e-2, adapter_rank=3)
    assert model.name == "theirs-lora-1"
    files = {path.name for path in workspace.model(model.name).rglob("*.safetensors")}
    assert files == {"adapter_model.safetensors"}
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    report = export_adapter(workspace, tmp_path / "adapter", model=model.name)
    held = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    about = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert about["base_model_name_or_path"] == "theirs"
    assert report.parameters == sum(one.numel() for one in held.values())
    plain = AutoModelForCausalLM.from_pretrained(folder)
    alone = logits_of(plain, some(model))
    adapted = PeftModel.from_pretrained(plain, tmp_path / "adapter")
    expected = logits_of(adapted, some(model))
    assert (expected - alone).abs().max() > 1e-2
    found = predicted(model, some(model))[:, :, : expected.shape[2]]
    np.testing.assert_allclose(found, expected.log_softmax(-1).numpy(), atol=2e-5)

    merged = export_model(workspace, tmp_path / "merged", model=model.name)
    assert merged.layout == "huggingface"
    whole = logits_of(AutoModelForCausalLM.from_pretrained(merged.folder), some(model))
    np.testing.assert_allclose(whole.numpy(), expected.numpy(), atol=2e-5)
    card = (tmp_path / "merged" / "README.md").read_text(encoding="utf-8")
    assert "theirs" in card
    assert str(tmp_path) not in card


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("network", ["gru", "lstm-attention", "transformer"])
def test_adapter_of_our_own_model_is_what_peft_loads(workspace, network, tmp_path):
    config = TrainConfig(network=network, hidden_width=16, **FAST)
    base = memlm.train_model(workspace, config=config).model
    model = teach(workspace, base, adapter="lora", learning_rate=1e-2, adapter_rank=3)
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    memlm.register_transformers()
    export_model(workspace, tmp_path / "base", model=base)
    export_adapter(workspace, tmp_path / "adapter", model=model.name)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    alone = logits_of(plain, some(model))
    expected = logits_of(PeftModel.from_pretrained(plain, tmp_path / "adapter"), some(model))
    assert (expected - alone).abs().max() > 1e-3
    np.testing.assert_allclose(
        predicted(model, some(model)), expected.log_softmax(-1).numpy(), atol=2e-5
    )


def test_our_own_model_goes_on_in_its_own_tokens(workspace):
    config = TrainConfig(network="gru", hidden_width=16, **FAST)
    base = memlm.train_model(workspace, config=config).model
    memlm.collect_documents(workspace, texts=[f"{NEW}ÄÖ {number}" for number in range(9)])
    model = teach(workspace, base)
    assert model.name == "gru-tuned-1"
    first, second = (workspace.model(name) for name in (base, model.name))
    symbols = [json.loads((one / "tokenizer.json").read_text("utf-8")) for one in (first, second)]
    assert symbols[0]["symbols"] == symbols[1]["symbols"]
    ids = [set(np.fromfile(one / "documents.bin", dtype="<u8")) for one in (first, second)]
    assert ids[0] < ids[1]
    assert read_run(second)["origin"]["model"] == base
    assert teach(workspace, model.name).name == "gru-tuned-2"


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_teaching_that_was_stopped_goes_on_to_the_same_bytes(
    workspace, foreign_models, tmp_path, adapter
):
    folder = shutil.copytree(foreign_models("gpt2"), tmp_path / "theirs")

    class Stops(memlm.Listener):
        def step(self, run, step, sample) -> None:
            if step.step == 3:
                raise KeyboardInterrupt

    config = {"adapter": adapter, "learning_rate": 1e-3}
    whole = teach(workspace, folder, name="whole", **config)
    options = TrainConfig(**FAST | config | {"name": "parts"})
    with pytest.raises(KeyboardInterrupt):
        memlm.train_model(workspace, begin_with=str(folder), config=options, listener=Stops())
    memlm.train_model(workspace, config=TrainConfig(name="parts"), given=["name"], resume=True)
    files = [
        {
            path.name: path.read_bytes()
            for path in workspace.model(name).rglob("*.safetensors")
            if "checkpoints" not in path.parts
        }
        for name in (whole.name, "parts")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 1


@pytest.mark.parametrize("begin_with", ["gpt2", "gru-1"])
def test_training_that_is_taken_up_is_told_its_model_again_or_no_other(
    workspace, foreign_models, begin_with
):
    class Stops(memlm.Listener):
        def step(self, run, step, sample) -> None:
            raise KeyboardInterrupt

    memlm.train_model(workspace, config=TrainConfig(network="gru", hidden_width=16, **FAST))
    places = {"gpt2": str(foreign_models("gpt2")), "gru-1": "gru-1"}
    config = TrainConfig(**FAST, name="taught")
    with pytest.raises(KeyboardInterrupt):
        memlm.train_model(workspace, begin_with=places[begin_with], config=config, listener=Stops())
    for other in {"gpt2", "gru-1"} - {begin_with}:
        with pytest.raises(ConfigError) as refused:
            memlm.train_model(workspace, begin_with=places[other], config=config, resume=True)
        assert refused.value.code == "resume_changed"
    report = memlm.train_model(workspace, begin_with=places[begin_with], config=config, resume=True)
    assert report.steps == FAST["steps"]


def test_adapter_says_what_has_become_of_its_model(workspace, foreign_models, tmp_path):
    folder = shutil.copytree(foreign_models("gpt2"), tmp_path / "theirs")
    model = teach(workspace, folder, adapter="lora")
    with pytest.raises(InputError) as refused:
        teach(workspace, model.name)
    assert refused.value.code == "origin_is_adapter"
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(NotFoundError) as gone:
        memlm.load_model(workspace, model.name)
    assert gone.value.code == "origin_missing"
    shutil.copytree(foreign_models("llama"), folder)
    with pytest.raises(InputError) as changed:
        memlm.load_model(workspace, model.name)
    assert changed.value.code == "origin_changed"


def test_brought_model_that_is_taught_twice_has_learned_from_the_documents_of_both(
    workspace, foreign_models, tmp_path
):
    folder = shutil.copytree(foreign_models("gpt2"), tmp_path / "theirs")
    first = teach(workspace, folder).name
    memlm.prepare_documents(workspace, config=memlm.PrepareConfig(held_out_share=0.7))
    notes: dict[str, dict[str, object]] = {}

    class Hears(memlm.Listener):
        def note(self, code, **values) -> None:
            notes[code] = values

    config = TrainConfig(**FAST, adapter="lora")
    report = memlm.train_model(workspace, begin_with=first, config=config, listener=Hears())
    second = teach(workspace, workspace.model(first) / "huggingface").name
    assert (first, report.model, second) == ("theirs-tuned-1", "theirs-lora-1", "theirs-tuned-2")
    before, *after = (
        set(np.fromfile(workspace.model(name) / "documents.bin", dtype="<u8"))
        for name in (first, report.model, second)
    )
    assert all(before <= ids for ids in after)
    assert notes["origin_has_read"]["model"] == first
    export_model(workspace, tmp_path / "taken", model=report.model)
    card = (tmp_path / "taken" / "README.md").read_text("utf-8")
    assert f"| Began with | {first}, which had learned from {len(before)} documents |" in card
    about = workspace.model(report.model) / "adapter" / "adapter_config.json"
    assert json.loads(about.read_text("utf-8"))["base_model_name_or_path"] == first
    assert memlm.load_model(workspace, report.model, device="cpu").name == report.model


def test_what_cannot_be_taught_is_refused_before_the_documents_are_prepared(tmp_path, folder):
    fresh = memlm.open_workspace(tmp_path / "fresh", create=True)
    memlm.collect_documents(fresh, texts=TEXT.splitlines())
    with pytest.raises(ConfigError):
        teach(fresh, folder, dropout=0.1)
    assert not list(fresh.path.glob("prepared/*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sequence_length": 33}, "--sequence-length"),
        ({"batch_size": None, "phases": "0.5:2x8,0.5:2x33"}, "--phases"),
    ],
)
def test_stretches_are_no_longer_than_what_the_model_reads(
    workspace, foreign_models, options, said
):
    with pytest.raises(ConfigError) as refused:
        teach(workspace, foreign_models("gpt2"), **options)
    assert (refused.value.code, refused.value.values["option"]) == ("window_too_long", said)


def test_dropouts_are_those_of_the_training_that_teaches(workspace):
    config = TrainConfig(network="gru", hidden_width=16, weight_dropout=0.3, dropout=0.2, **FAST)
    base = memlm.train_model(workspace, config=config).model
    names = [base, teach(workspace, base, dropout=0.1).name]
    names.append(teach(workspace, base, weight_dropout=0.5, dropout=0.0).name)
    shapes = [read_run(workspace.model(name))["plan"]["network"] for name in names]
    found = [(shape["dropout"], shape["weight_dropout"]) for shape in shapes]
    assert found == [(0.2, 0.3), (0.1, 0.0), (0.0, 0.5)]


def test_adapter_needs_no_room_for_moments_of_all_weights(workspace, foreign_models, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(
        "memlm.train.run.require_free_disk", lambda folder, size_bytes: asked.append(size_bytes)
    )
    folder = foreign_models("gpt2")
    weights = teach(workspace, folder, adapter="lora").predictor.network.num_parameters()
    teach(workspace, folder)
    assert asked == [4 * weights, 20 * weights]


def test_trace_says_that_a_model_learned_from_documents_which_are_not_here(workspace):
    name = memlm.train_model(workspace, config=TrainConfig(network="gru", **FAST)).model
    model, learned = memlm.load_model(workspace, name), workspace.model(name) / "documents.bin"
    here, elsewhere = np.fromfile(learned, dtype="<u8"), np.array([1, 2], dtype="<u8")
    short = memlm.GenerateConfig(tokens=5, ignore_end=True, seed=1)
    for ids in (here, np.union1d(here, elsewhere)):
        hears = Heard()
        ids.tofile(learned)
        memlm.generate_text(
            model, "Alice", config=short, trace_in=workspace, memories=(), listener=hears
        )
        said = hears.notes.get("learned_not_here", {"count": 0})
        assert said["count"] == len(ids) - len(here)


@pytest.mark.parametrize(("optimizer", "is_idle"), [("adamw", True), ("muon", False)])
def test_rate_of_muon_is_said_to_do_nothing_where_another_learns(workspace, optimizer, is_idle):
    hears = Heard()
    config = TrainConfig(network="gru", optimizer=optimizer, muon_learning_rate=0.01, **FAST)
    memlm.train_model(workspace, config=config, listener=hears)
    idle = {"option": "--muon-learning-rate", "other": "--optimizer adamw"}
    assert hears.notes.get("option_idle") == (idle if is_idle else None)


def test_damaged_adapter_is_said_to_be(workspace, foreign_models):
    model = teach(workspace, foreign_models("gpt2"), adapter="lora")
    file = workspace.model(model.name) / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CorruptArtefactError):
        memlm.load_model(workspace, model.name)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"layers": 2}, "option_idle"),
        ({"network": "gru"}, "option_idle"),
        ({"adapter_rank": 4}, "option_idle"),
        ({"dropout": 0.1}, "option_idle"),
        ({"optimizer": "muon"}, "option_idle"),
    ],
)
def test_options_that_the_model_decides_are_refused(workspace, foreign_models, options, code):
    with pytest.raises(ConfigError) as refused:
        teach(workspace, foreign_models("gpt2"), **options)
    assert refused.value.code == code


def test_what_needs_a_model_or_excludes_one(workspace, foreign_models):
    config = TrainConfig(**FAST, adapter="lora")
    with pytest.raises(ConfigError) as needs:
        memlm.train_model(workspace, config=config)
    assert needs.value.code == "adapter_needs_from"
    cut = memlm.PrepareConfig(tokenizer="byte")
    with pytest.raises(ConfigError) as excluded:
        memlm.train_model(workspace, begin_with=str(foreign_models("gpt2")), prepare=cut)
    assert excluded.value.code == "options_exclude"
    with pytest.raises(ConfigError) as memory:
        memlm.train_model(workspace, begin_with="memory")
    assert memory.value.code == "origin_is_memory"


def test_whole_model_has_no_adapter_to_take_away(workspace, tmp_path):
    name = memlm.train_model(workspace, config=TrainConfig(network="gru", **FAST)).model
    with pytest.raises(InputError) as refused:
        export_adapter(workspace, tmp_path / "adapter", model=name)
    assert refused.value.code == "export_no_adapter"


class Heard(memlm.Listener):
    """Remembers what was noted, and with which values."""

    def __init__(self) -> None:
        self.notes: dict[str, dict[str, object]] = {}

    def note(self, code: str, **values: object) -> None:
        self.notes[code] = values


@pytest.fixture
def labelled(tmp_path: Path) -> memlm.Workspace:
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    lines = TEXT.splitlines()
    memlm.collect_documents(
        opened, texts=[(f"{line} {n}", "ab"[n % 2]) for n, line in enumerate(lines * 3)]
    )
    return opened


def test_a_training_after_a_teaching_has_a_vocabulary_and_labels_of_its_own(labelled, folder):
    heard = Heard()
    config = TrainConfig(**FAST)
    memlm.train_model(labelled, begin_with=str(folder), config=config, listener=heard)
    assert heard.notes["teaching_without_labels"]["count"] > 0
    assert "tokenizer" not in labelled.settings()
    report = memlm.train_model(labelled, config=TrainConfig(**FAST, network="lstm"))
    assert set(memlm.load_model(labelled, report.model).label_counts) == {"a", "b"}


def test_a_rank_beyond_every_matrix_is_refused(workspace, folder):
    with pytest.raises(ConfigError) as caught:
        teach(workspace, folder, adapter="lora", adapter_rank=100_000)
    assert caught.value.values["option"] == "--adapter-rank"
    assert 1 < caught.value.values["high"] < 1000


def test_what_the_model_knew_before_is_said(workspace, folder):
    heard = Heard()
    report = memlm.train_model(
        workspace,
        begin_with=str(folder),
        config=TrainConfig(**FAST, adapter="lora"),
        listener=heard,
    )
    after = report.held_out_nats_per_character
    assert heard.notes["before_teaching"]["loss"] == pytest.approx(after, rel=0.3)


def test_an_exported_lstm_that_was_taught_is_taken_away_with_its_code(workspace, tmp_path):
    first = memlm.train_model(workspace, config=TrainConfig(**FAST, network="lstm"))
    export_model(workspace, tmp_path / "taken", model=first.model)
    taught = teach(workspace, tmp_path / "taken")
    report = export_model(workspace, tmp_path / "again", model=taught.name)
    assert report.layout == "memlm"
    assert (tmp_path / "again" / "modeling_memlm.py").is_file()
    assert "auto_map" in json.loads((tmp_path / "again" / "config.json").read_text("utf-8"))
    assert "register_transformers" in (tmp_path / "again" / "README.md").read_text("utf-8")


def test_what_is_no_model_is_told_what_it_is(workspace, folder, tmp_path, monkeypatch):
    own = memlm.train_model(workspace, config=TrainConfig(**FAST, network="lstm")).model
    adapted = teach(workspace, folder, adapter="lora").name
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, code in (
        (str(workspace.model(own)), "foreign_is_ours"),
        (str(workspace.model(adapted) / "adapter"), "model_path_is_adapter"),
        (str(folder / "config.json"), "model_path_is_file"),
        ("empty", "model_path_is_empty"),
        ("", "model_unnamed"),
    ):
        with pytest.raises((InputError, NotFoundError)) as caught:
            memlm.load_model(workspace, name)
        assert caught.value.code == code
