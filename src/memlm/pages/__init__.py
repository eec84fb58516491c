"""Offline HTML pages: one file each, nothing fetched, readable on a phone and in the dark."""

from memlm.pages.page import render_page
from memlm.pages.plots import Plot, histogram, power_law_plot

__all__ = ["Plot", "histogram", "power_law_plot", "render_page"]
