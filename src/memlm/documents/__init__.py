"""`documents.sqlite`: the collected texts, each with an id that never changes.

The only room with SQL. A *root* is a source that was named (a folder or a file); a document is
found again by (root, path in the root, row key, occurrence), whose hash is its id. The store keeps
one *digest* of everything in it, the sum of the hashes of its documents, which does not depend on
the order in which they came: what was made from the documents compares it to know whether it is
stale.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
