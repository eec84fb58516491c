"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .grams import ending_counts
from .matches import Match, maximal_matches
from .places import places_of
from .segment import Segment, SegmentEntry
from .store import Entry, is_current, open_index, refresh_index
from .suffix_index import LongestSuffixes, NextCounts, SuffixIndex

__all__ = [
    "Entry",
    "LongestSuffixes",
    "Match",
    "NextCounts",
    "Segment",
    "SegmentEntry",
    "SuffixIndex",
    "ending_counts",
    "is_current",
    "maximal_matches",
    "open_index",
    "places_of",
    "refresh_index",
]
