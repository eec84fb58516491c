"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .curves import training_curves
from .page import render_page
from .plots import histogram, power_law_plot
from .svg import Plot

__all__ = ["Plot", "histogram", "power_law_plot", "render_page", "training_curves"]
