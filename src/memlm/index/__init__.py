"""Where does this text occur? Suffix arrays over the collected characters, in segments.

index = open_index(folder)
index.count("to be or not")      # how often, in all documents
maximal_matches(index, text)     # every stretch of a text that occurs somewhere
"""

from memlm.index.grams import ending_counts
from memlm.index.matches import Match, maximal_matches
from memlm.index.places import places_of
from memlm.index.segment import SegmentDocument
from memlm.index.store import SuffixIndex, is_current, open_index, refresh_index

__all__ = [
    "Match",
    "SegmentDocument",
    "SuffixIndex",
    "ending_counts",
    "is_current",
    "maximal_matches",
    "open_index",
    "places_of",
    "refresh_index",
]
