"""Models by their names on the Hugging Face hub: found on this machine, or fetched once.

Only the files that memlm reads are fetched; `huggingface_hub` keeps them in its own cache, which
other programs share.
"""

from __future__ import annotations

import re
from pathlib import Path

from memlm.errors import ResourceError
from memlm.models.foreign_weights import shown
from memlm.runtime import is_installed, require_package

_NAME = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]*", re.ASCII)
_WANTED = ["*.safetensors", "*.json"]
_UNWANTED = ["*/*", "consolidated*"]
"""Folders hold other forms of the same weights."""


def is_hub_name(name: str) -> bool:
    """Say whether this can be the name of a model on the hub: `owner/model`, or an old `model`."""
    return _NAME.fullmatch(name) is not None


def cached_folder(name: str) -> Path | None:
    """Return the folder of a model that was fetched before, by whatever program; None if none."""
    if not is_installed("huggingface_hub"):  # so nothing was fetched
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return found if any(found.glob("*.safetensors")) else None


def fetch_folder(name: str) -> Path:
    """Fetch a model and return its folder; ResourceError where it cannot be had."""
    require_package("huggingface_hub", extra="hf")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except Exception as error:  # the libraries beneath it fail in ways of their own
        reason = shown(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise ResourceError("download_failed", model=name, reason=reason) from error
