"""The paper's figures from arrays: Plotly for pages, matplotlib for small pictures.

What belongs in this package: how a figure looks, once for every place that shows it. What to keep out: computing
what is shown (`erp.metrics`, `erp.frontier`, `erp.summaries`, `erp.pairwise`), files, and the page around the figures.

    style            colours, symbols and dashes of policies, categories and values; the page's CSS
    layout           wide and narrow layouts, panels, legends, `fragment`; words
    labels           names beside points, clear of everything else
    pictures         what the PNG versions share
    frontiers        regret against cost (figures 1b, 5, 6)
    comparison       a summary of every policy, with intervals
    predictability   R2 (tables 1, 2), predicted against empirical (figures 2, 7)
    pairwise         which of two LLMs wins (figures 3, 8), Proposition 1
    history          how far predictions were off, over time
    win_rates        how often each LLM is the best one (figures 4, 9)

Figures have no background and a grid and letters of medium contrast, legible on light and dark. A page that
includes `PAGE_CSS` gives the letters its own text colour, and `fragment` lays a figure out anew when its
place on the page is narrow. A function `..._png` draws the same without a browser.
"""

from erp.figures.comparison import comparison_figure, comparison_png
from erp.figures.frontiers import Curve, frontier_figure, frontier_png
from erp.figures.history import history_png
from erp.figures.layout import fragment
from erp.figures.pairwise import pairwise_figure, pairwise_png, proposition_1_figure
from erp.figures.predictability import expected_reward_scatter, predictability_png, predictability_table
from erp.figures.style import CATEGORIES, PAGE_CSS, POLICIES, PolicyStyle
from erp.figures.win_rates import win_rate_figure, win_rate_png

__all__ = [
    "CATEGORIES",
    "PAGE_CSS",
    "POLICIES",
    "Curve",
    "PolicyStyle",
    "comparison_figure",
    "comparison_png",
    "expected_reward_scatter",
    "fragment",
    "frontier_figure",
    "frontier_png",
    "history_png",
    "pairwise_figure",
    "pairwise_png",
    "predictability_png",
    "predictability_table",
    "proposition_1_figure",
    "win_rate_figure",
    "win_rate_png",
]
