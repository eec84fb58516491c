"""The visible characters by which byte-level BPE writes bytes."""

from __future__ import annotations


def byte_alphabet() -> list[str]:
    """Return the visible character that stands for each byte in byte-level BPE (GPT-2's table)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    stand_ins = iter(range(0x100, 0x200))
    shown = set(visible)
    return [chr(value) if value in shown else chr(next(stand_ins)) for value in range(256)]
