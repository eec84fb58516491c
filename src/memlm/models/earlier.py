"""How networks were described and named before there were blocks: read, never written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

_LAYER = re.compile(r"recurrent\.(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)")
Value = TypeVar("Value")


def migrate_fields(fields: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """Return the fields of a `NetworkConfig`; what has blocks already comes back as it is."""
    if "layers" not in fields:
        return dict(fields)
    now = {name: fields[name] for name in fields if name not in ("layers", "hidden_width")}
    layers = fields["layers"]
    if type(layers) is not int or not 0 < layers <= 1000:
        raise TypeError
    block = {"kind": fields["kind"], "width": fields["hidden_width"]}
    return now | {"blocks": [block] * layers, "cutoffs": []}


def migrate_weights(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Return the weights under the names that they have now."""
    return {_LAYER.sub(r"blocks.\2.layer.\1_l0", name): found for name, found in weights.items()}
