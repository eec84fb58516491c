"""Where does this text occur? Suffix arrays over characters or token ids, in segments.

index = open_index(folder)
index.count("to be or not")                 # how often, in all documents
index.next_counts(["to be ", "the "])       # what follows, and how often
index.longest_suffixes(text)                # the same for each place of a text
maximal_matches(index, text)                # every stretch of a text that occurs somewhere
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
