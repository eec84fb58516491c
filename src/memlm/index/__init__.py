"""Where does this text occur? Suffix arrays over characters or token ids, in segments.

index = open_index(folder)
index.count("to be or not")                 # how often, in all documents
index.next_counts(["to be ", "the "])       # what follows, and how often
index.longest_suffixes(text)                # the same for each place of a text
maximal_matches(index, text)                # every stretch of a text that occurs somewhere
"""

from memlm.index.grams import ending_counts
from memlm.index.matches import Match, maximal_matches
from memlm.index.places import places_of
from memlm.index.segment import Segment, SegmentEntry
from memlm.index.store import Entry, is_current, open_index, refresh_index
from memlm.index.suffix_index import LongestSuffixes, NextCounts, SuffixIndex

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
