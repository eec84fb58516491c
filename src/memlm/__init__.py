"""memlm: a language model, its memory, and the documents they came from, kept together.

    import memlm

    memlm.train_model("mylm", "notes/")
    model = memlm.load_model("mylm")
    print(memlm.generate_text(model, "Once")[0].text)

Importing memlm loads neither torch nor transformers.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
