"""Our networks in transformers: padding, caches, beams, streams, adapters, remote code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_networks import OWN, large_random_network, logits_of, some_tokens
from torch import Tensor

from memlm.models.exporting.modelling import modelling_files
from memlm.models.network import Network

Both = Callable[[str], tuple[Network, Any]]
EVERY = pytest.mark.parametrize("name", OWN)
LENGTHS = (9, 4, 1)


def padded(side: str) -> tuple[Tensor, Tensor]:
    """Rows of three lengths, and their mask; what pads is a token as good as any."""
    tokens, mask = some_tokens(rows=3, columns=9), torch.ones(3, 9, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        columns = slice(0, 9 - length) if side == "left" else slice(length, 9)
        mask[row, columns] = 0
    return tokens, mask


@EVERY
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_logit(both: Both, name: str, side: str) -> None:
    ours, theirs = both(name)
    tokens, mask = padded(side)
    with torch.no_grad():
        found = theirs(tokens, attention_mask=mask).logits
    for row in range(3):
        is_real = mask[row].bool()
        alone = logits_of(ours, tokens[row, is_real][None])[0]
        torch.testing.assert_close(found[row, is_real], alone, rtol=1e-5, atol=1e-5)


@EVERY
def test_padded_rows_go_on_from_their_own_states(both: Both, name: str) -> None:
    ours, theirs = both(name)
    tokens, mask = padded("left")
    new = some_tokens(rows=3, columns=7, seed=8)
    with torch.no_grad():
        cache = theirs(tokens, attention_mask=mask, use_cache=True)["cache"]
        for start, stop in ((0, 1), (1, 2), (2, 7)):  # token by token, then several
            longer = torch.cat([mask, torch.ones(3, stop, dtype=torch.long)], dim=1)
            after = theirs(new[:, start:stop], attention_mask=longer, cache=cache)
            cache = after["cache"]
    assert cache.get_seq_length() == 16
    for row in range(3):
        whole = torch.cat([tokens[row, mask[row].bool()], new[row]])[None]
        expected = logits_of(ours, whole)[0, -5:]
        torch.testing.assert_close(after.logits[row], expected, rtol=1e-5, atol=1e-5)


@EVERY
@pytest.mark.parametrize("beams", [1, 3], ids=["greedy", "beams"])
def test_cached_text_is_the_text_without_a_cache(both: Both, name: str, beams: int) -> None:
    _, theirs = both(name)
    tokens, mask = padded("left")
    how = {"num_beams": beams, "max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    cached, plain = (
        theirs.generate(tokens, attention_mask=mask, use_cache=use_cache, **how)
        for use_cache in (True, False)
    )
    assert cached.tolist() == plain.tolist()


def test_text_is_sampled_alike_with_and_without_a_cache(both: Both) -> None:
    _, theirs = both("lstm-attention")
    written = []
    for use_cache in (True, False):
        torch.manual_seed(7)
        tokens, mask = padded("left")
        how = {"do_sample": True, "top_k": 5, "max_new_tokens": 10, "num_return_sequences": 2}
        written.append(theirs.generate(tokens, attention_mask=mask, use_cache=use_cache, **how))
    assert written[0].tolist() == written[1].tolist()
    assert len(written[0]) == 6


def test_streamed_tokens_are_those_returned(both: Both) -> None:
    from transformers.generation.streamers import BaseStreamer

    class Heard(BaseStreamer):  # type: ignore[misc]  # transformers is not read by the checker
        def __init__(self) -> None:
            self.tokens: list[int] = []

        def put(self, value: Tensor) -> None:
            self.tokens += value.flatten().tolist()

        def end(self) -> None:
            self.tokens.append(-1)

    _, theirs = both("lstm")
    tokens, heard = torch.tensor([[0, 5, 9]]), Heard()
    mask = torch.ones_like(tokens)
    how = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    written = theirs.generate(tokens, attention_mask=mask, streamer=heard, **how)
    assert heard.tokens == [*written[0].tolist(), -1]


def test_a_recurrent_state_is_never_cropped(both: Both) -> None:
    _, theirs = both("lstm")
    cache = theirs(some_tokens(), use_cache=True)["cache"]
    with pytest.raises(ValueError, match="cropped"):
        cache.crop(1)


@pytest.mark.parametrize("name", ["lstm", "adaptive softmax"])
def test_loss_is_that_of_the_next_tokens(both: Both, name: str) -> None:
    ours, theirs = both(name)
    tokens = some_tokens()
    found = theirs(tokens, labels=tokens).loss
    expected, _ = ours.losses(tokens[:, :-1], tokens[:, 1:], ours.start(len(tokens)))
    torch.testing.assert_close(found, expected.mean(), rtol=1e-5, atol=0)


def test_last_logits_alone_are_asked_for(both: Both) -> None:
    _, theirs = both("mixed")
    with torch.no_grad():
        every = theirs(some_tokens()).logits
        last = theirs(some_tokens(), logits_to_keep=2, return_dict=False)[0]
    torch.testing.assert_close(last, every[:, -2:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "gru residual"])
def test_network_begun_anew_has_biases_and_is_finite(name: str) -> None:
    from memlm.models.exporting.modelling.configuration_memlm import MemlmConfig
    from memlm.models.exporting.modelling.modeling_memlm import MemlmForCausalLM

    network = large_random_network(**OWN[name]).config.to_json()
    model = MemlmForCausalLM(MemlmConfig(network=network))
    assert model.blocks[0].layer.bias_hh_l0.abs().max() > 0
    assert all(bool(weights.isfinite().all()) for weights in model.parameters())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
def test_adapter_learns_and_the_model_stays(
    write_folder: Callable[[Network], Path],
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = write_folder(large_random_network(**OWN["lstm-attention"]))
    model = AutoModelForCausalLM.from_pretrained(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = LoraConfig(target_modules=["query", "value", "output"], r=2, task_type="CAUSAL_LM")
    adapted, tokens = get_peft_model(model, config), some_tokens()
    optimizer = torch.optim.AdamW(
        [one for one in adapted.parameters() if one.requires_grad], lr=0.05
    )
    losses = []
    for _ in range(8):
        loss = adapted(tokens, labels=tokens).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1
    plain = adapted.unload().state_dict()
    assert all(torch.equal(plain[name], value) for name, value in before.items())


_REMOTE = """
import sys
from transformers import AutoModelForCausalLM
import torch
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
assert "memlm" not in sys.modules
tokens = torch.tensor([[0, 5, 9, 7]])
print(model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=9,
                     do_sample=False, num_beams=2, eos_token_id=None).tolist())
"""


def test_folder_is_loaded_by_its_own_code_where_memlm_is_not(
    both: Both, write_folder: Callable[[Network], Path], tmp_path: Path
) -> None:
    _, theirs = both("mixed")
    folder = write_folder(large_random_network(**OWN["mixed"]))
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", _REMOTE, folder], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    tokens = torch.tensor([[0, 5, 9, 7]])
    how = {"max_new_tokens": 9, "do_sample": False, "num_beams": 2, "eos_token_id": None}
    expected = theirs.generate(tokens, attention_mask=torch.ones_like(tokens), **how)
    assert done.stdout.strip() == str(expected.tolist())


@pytest.mark.parametrize("name", ["lstm tied", "labels, attention"])
def test_what_transformers_saves_is_such_a_folder_again(
    both: Both, tmp_path: Path, name: str
) -> None:
    from transformers import AutoModelForCausalLM

    _, theirs = both(name)
    theirs.save_pretrained(tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert {file.name for file in modelling_files()} <= names
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(some_tokens()).logits, theirs(some_tokens()).logits)


@EVERY
def test_a_cache_that_was_reset_knows_nothing(both: Both, name: str) -> None:
    _, theirs = both(name)
    with torch.no_grad():
        cache = theirs(some_tokens(seed=9), use_cache=True)["cache"]
        cache.reset()
        again = theirs(some_tokens(), cache=cache).logits
        fresh = theirs(some_tokens()).logits
    torch.testing.assert_close(again, fresh, rtol=0, atol=1e-6)
