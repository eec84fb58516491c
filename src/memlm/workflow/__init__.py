"""What must have run before what: the one room that joins the others.

Every verb takes a workspace (its folder, or what `open_workspace` returned), first runs what is
missing or stale, says so through its `listener`, and returns a record. One file a verb; what a
file needs of another stands above it in this list.

    listener  opening  reading     who hears; the workspace; a text from a file
    left_behind                    what removing documents leaves of them
    showing                        where a page lies
    collecting  exporting          texts in, documents out
    preparing                      tokens
    blanking  erasing              what leaves all of these
    models  training  learned      a model, how it comes to be, from what
    keeping                        keeping house among models
    adapting                       how it learns while it reads
    precision                      what weights of a byte cost
    remembering  blending          what is remembered beside it, and how much that counts
    tracing                        where the words of a text come from
    asking  attending              what it is asked; what it looks at
    answering  measuring           what it makes of a task; how good that is
    known_answers  evaluating      the same, of a file whose answers are known
    model_card  taking_away        a model as a folder for others, with a card
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
