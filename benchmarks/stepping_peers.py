"""Others that step the networks of `stepping.py`: torch, Hugging Face, llama.cpp, CTranslate2.

All get the same weights: our transformer is a Qwen3 but for its name. Each is a function that
returns `write(count, batch) -> tokens (batch, count)`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from memlm.models import NetworkConfig

Write = Callable[[int, int], np.ndarray]
Weights = Mapping[str, np.ndarray]
_NAMES = {  # ours, Hugging Face's, GGUF's
    "attend.attention_norm": ("input_layernorm", "attn_norm"),
    "attend.attention.query": ("self_attn.q_proj", "attn_q"),
    "attend.attention.key": ("self_attn.k_proj", "attn_k"),
    "attend.attention.value": ("self_attn.v_proj", "attn_v"),
    "attend.attention.output": ("self_attn.o_proj", "attn_output"),
    "attend.attention.query_norm": ("self_attn.q_norm", "attn_q_norm"),
    "attend.attention.key_norm": ("self_attn.k_norm", "attn_k_norm"),
    "feed_forward_norm": ("post_attention_layernorm", "ffn_norm"),
    "gate": ("mlp.gate_proj", "ffn_gate"),
    "up": ("mlp.up_proj", "ffn_up"),
    "down": ("mlp.down_proj", "ffn_down"),
}
CONTEXT = 2048


def torch_lstm(config: NetworkConfig, weights: Weights, *, onednn: bool = True) -> Write:
    """Return a loop over `nn.LSTM`, as one writes it: all layers in one module."""
    width, layers = config.hidden_width, len(config.blocks)
    embed = torch.nn.Embedding.from_pretrained(torch.from_numpy(weights["embed.weight"]))
    lstm = torch.nn.LSTM(config.embedding_width, width, layers, batch_first=True)
    output = torch.nn.Linear(width, config.vocabulary_size)
    with torch.no_grad():
        for name, value in lstm.named_parameters():
            own, layer = name[: name.rindex("_l")], name[name.rindex("_l") + 2 :]
            value.copy_(torch.from_numpy(weights[f"blocks.{layer}.layer.{own}_l0"]))
        output.weight.copy_(torch.from_numpy(weights["output.weight"]))
        output.bias.copy_(torch.from_numpy(weights["output.bias"]))

    @torch.inference_mode()
    def write(count: int, batch: int) -> np.ndarray:
        token, state, found = torch.zeros((batch, 1), dtype=torch.long), None, []
        torch.backends.mkldnn.enabled = onednn
        for _ in range(count):
            seen, state = lstm(embed(token), state)
            token = output(seen[:, -1]).argmax(-1, keepdim=True)
            found.append(token)
        torch.backends.mkldnn.enabled = True
        return torch.cat(found, dim=1).numpy()

    return write


def hugging_face(config: NetworkConfig, weights: Weights, folder: Path) -> Write:
    """Return `generate` of a Qwen3 with these weights, which is also saved to the folder."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    block = config.blocks[0]
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=config.vocabulary_size,
            hidden_size=block.width,
            intermediate_size=block.feed_forward_width,
            num_hidden_layers=len(config.blocks),
            num_attention_heads=block.heads,
            num_key_value_heads=block.heads,
            head_dim=block.width // block.heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    ).eval()
    found = {
        "model.embed_tokens.weight": weights["embed.weight"],
        "model.norm.weight": weights["last_norm.weight"],
        "lm_head.weight": weights["output.weight"],
    }
    for number in range(len(config.blocks)):
        for own, (theirs, _) in _NAMES.items():
            found[f"model.layers.{number}.{theirs}.weight"] = weights[
                f"blocks.{number}.{own}.weight"
            ]
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in found.items()})
    model.save_pretrained(folder)

    @torch.inference_mode()
    def write(count: int, batch: int) -> np.ndarray:
        start = torch.zeros((batch, 1), dtype=torch.long)
        made = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
        )
        return made[:, 1:].numpy()

    return write


def llama_cpp(config: NetworkConfig, weights: Weights, folder: Path, *, threads: int) -> Write:
    """Return llama.cpp's server, in this process, on a GGUF file of these weights."""
    import xllamacpp

    path = folder / "model.gguf"
    write_gguf(path, config, weights)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.warmup = CONTEXT, 1, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)

    def write(count: int, batch: int) -> np.ndarray:
        assert batch == 1
        asked = {
            "prompt": [0], "n_predict": count, "temperature": 0, "ignore_eos": True,
            "cache_prompt": False, "return_tokens": True, "samplers": ["top_k"], "top_k": 1,
        }  # fmt: skip
        said = server.handle_completions(asked)
        answer = json.loads(said) if isinstance(said, str) else said
        # An answer in the form of OpenAI's has the text alone: one token is written <17>.
        text = answer["choices"][0]["text"] if "choices" in answer else answer["content"]
        return np.array([[int(part) for part in text.strip("<>").split("><")]])

    return write


def ctranslate2_generator(config: NetworkConfig, folder: Path, *, threads: int) -> Write:
    """Return CTranslate2's generator, converted from what `hugging_face` saved."""
    import ctranslate2
    from ctranslate2.converters.transformers import _MODEL_LOADERS
    from transformers import Qwen3ForCausalLM

    loader = _MODEL_LOADERS["Qwen3Config"]
    spec = loader.get_model_spec(Qwen3ForCausalLM.from_pretrained(folder))
    names = [f"<{number}>" for number in range(config.vocabulary_size)]
    spec.register_vocabulary(names)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = names[-1]
    spec.validate()
    spec.optimize(quantization="float32")
    place = folder / "ctranslate2"
    place.mkdir(exist_ok=True)
    spec.save(str(place))
    generator = ctranslate2.Generator(
        str(place), device="cpu", inter_threads=1, intra_threads=threads, compute_type="float32"
    )

    def write(count: int, batch: int) -> np.ndarray:
        made = generator.generate_batch(
            [[names[0]]] * batch,
            max_length=count,
            min_length=count,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=[],
        )
        return np.array([one.sequences_ids[0] for one in made])

    return write


def write_gguf(path: Path, config: NetworkConfig, weights: Weights) -> None:
    """Write weights as a GGUF file of the architecture qwen3, in float32."""
    block = config.blocks[0]
    tensors = {
        "token_embd.weight": weights["embed.weight"],
        "output_norm.weight": weights["last_norm.weight"],
        "output.weight": weights["output.weight"],
    }
    for number in range(len(config.blocks)):
        for own, (_, theirs) in _NAMES.items():
            tensors[f"blk.{number}.{theirs}.weight"] = weights[f"blocks.{number}.{own}.weight"]
    size, narrow = config.vocabulary_size, block.width // block.heads
    fields: dict[str, object] = {
        "general.architecture": "qwen3",
        "qwen3.context_length": CONTEXT,
        "qwen3.embedding_length": block.width,
        "qwen3.block_count": len(config.blocks),
        "qwen3.feed_forward_length": block.feed_forward_width,
        "qwen3.attention.head_count": block.heads,
        "qwen3.attention.head_count_kv": block.heads,
        "qwen3.attention.key_length": narrow,
        "qwen3.attention.value_length": narrow,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen3.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [f"<{number}>" for number in range(size)],
        "tokenizer.ggml.scores": [0.0] * size,
        "tokenizer.ggml.token_type": [1] * size,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": size - 1,
        "tokenizer.ggml.unknown_token_id": 1,
    }
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(fields))]
    head += [_text(name) + _value(value) for name, value in fields.items()]
    place = 0
    for name, value in tensors.items():
        shape = value.shape[::-1]
        head.append(_text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
        head.append(struct.pack("<IQ", 0, place))  # 0: float32
        place += -(-value.nbytes // 32) * 32
    with path.open("wb") as file:
        file.write(b"".join(head))
        for value in tensors.values():
            file.write(bytes(-file.tell() % 32))
            file.write(np.ascontiguousarray(value, dtype="<f4").tobytes())


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: object) -> bytes:
    if isinstance(value, list):
        kind, parts = _value(value[0])[:4], [_value(one)[4:] for one in value]
        if isinstance(value[0], int):  # in lists they have a sign
            kind = struct.pack("<I", 5)
        return struct.pack("<I", 9) + kind + struct.pack("<Q", len(parts)) + b"".join(parts)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    assert isinstance(value, int)
    return struct.pack("<II", 4, value)
