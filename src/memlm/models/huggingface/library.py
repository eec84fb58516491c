"""The library `transformers`: without code from elsewhere, and without its own words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from memlm.runtime import require_package

_KERNELS = "transformers.integrations.hub_kernels"


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the library's own warnings and progress bars to itself."""
    require_package("transformers", extra="hf")
    if _KERNELS not in sys.modules:
        # Kernels that it would fetch from the hub are code. It asks the environment once, when it
        # builds its first network, so that this must stay set; whoever has imported it before us
        # has decided already, and keeps the environment as it is.
        os.environ.setdefault("USE_HUB_KERNELS", "0")
    from transformers.utils import logging

    before, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if has_bars:
            logging.enable_progress_bar()
