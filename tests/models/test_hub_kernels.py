"""Code that transformers would fetch from the hub: not where we import it first."""

from __future__ import annotations

import os
import sys

import pytest

from memlm.models.huggingface.library import quietly

pytest.importorskip("transformers")
KERNELS = "transformers.integrations.hub_kernels"


@pytest.mark.parametrize(("is_there", "said"), [(False, "0"), (True, None)], ids=["first", "late"])
def test_the_environment_is_changed_only_before_the_library_asks_it(monkeypatch, is_there, said):
    monkeypatch.setenv("USE_HUB_KERNELS", "")  # so that it is put back
    monkeypatch.delenv("USE_HUB_KERNELS")
    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    if is_there:
        monkeypatch.setitem(sys.modules, KERNELS, pytest)
    with quietly():
        assert os.environ.get("USE_HUB_KERNELS") == said
