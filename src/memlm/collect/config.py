"""What a person may say about how sources are to be read."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """How to read the sources."""

    text_column: str | None = None
    """Column (or key of JSON lines) that holds the text; found by its name if not given."""
    label_column: str | None = None
    """Column that holds the label; found by its name if not given."""
    id_column: str | None = None
    """Column that names each row for good; `id` if there is one."""
    encoding: str | None = None
    """Encoding of all the sources; found for each file if not given."""
