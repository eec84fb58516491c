"""Offline HTML pages: one file each, nothing fetched, readable on a phone and in the dark."""

from memlm.pages.curves import training_curves
from memlm.pages.page import render_page
from memlm.pages.plots import histogram, power_law_plot
from memlm.pages.svg import Plot

__all__ = ["Plot", "histogram", "power_law_plot", "render_page", "training_curves"]
