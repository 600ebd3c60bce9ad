"""What everything looks like: the colours, symbols and dashes of policies, categories and values.

What belongs here: whatever two figures have to show alike, as constants. What to keep out: anything that draws
or places (`layout`, `pictures` and the modules of the figures).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from erp._check import Floats
from erp.policies import PAPER, on_features
from erp.resplit import BEST_SINGLE

# Letters and grid, between black and white: 4:1 on either.
INK = "#7b818b"
GRID = "rgba(128, 134, 145, 0.28)"


class PolicyStyle(NamedTuple):
    """How a policy looks in every figure: `symbol` is Plotly's name, `marker` matplotlib's, `hollow` its outline alone.

    `dash` are the lengths of strokes and gaps in pixels; none: a solid line.
    """

    label: str
    colour: str
    symbol: str
    marker: str
    dash: tuple[int, ...] = ()
    width: float = 2.0
    hollow: bool = False

    @property
    def points(self) -> dict[str, Any]:
        """The symbol for Plotly."""
        return {"color": self.colour, "symbol": f"{self.symbol}-open" if self.hollow else self.symbol}

    @property
    def face(self) -> dict[str, Any]:
        """The symbol for matplotlib."""
        return {"marker": self.marker, "color": self.colour, **({"markerfacecolor": "none"} if self.hollow else {})}

    @property
    def line(self) -> dict[str, Any]:
        """The line for Plotly."""
        dash = ",".join(f"{length}px" for length in self.dash) or "solid"
        return {"color": self.colour, "width": self.width, "dash": dash}

    def stroke(self, scale: float) -> dict[str, Any]:
        """The line for matplotlib, where `scale` points are a pixel."""
        # Matplotlib's lengths are in line widths.
        dash = (0, [length / self.width for length in self.dash]) if self.dash else "-"
        return {"color": self.colour, "linewidth": self.width * scale, "linestyle": dash}


def _on_features(style: PolicyStyle) -> PolicyStyle:
    """A policy's style when it reads what ERP reads: its colour, hollow symbols and short strokes."""
    return style._replace(label=f"{style.label}, features", dash=(5, 2), width=1.5, hollow=True)


_RIVALS: Mapping[str, PolicyStyle] = {
    "Zooter": PolicyStyle("Zooter", "#e07b2d", "diamond", "D", (14, 4)),
    "kNN": PolicyStyle("k nearest neighbours", "#b566cf", "triangle-up", "^", (8, 3, 2, 3)),
    "k-means": PolicyStyle("best per cluster (k-means)", "#2aa3b8", "triangle-down", "v", (4, 3)),
    "winner": PolicyStyle("classifier of the winner", "#b85c4a", "triangle-left", "<", (10, 2, 4, 2)),
}

# In the order of legends and tables. Symbols and dashes tell apart what a reader may not by colour.
POLICIES: Mapping[str, PolicyStyle] = {
    "ERP": PolicyStyle("ERP", "#2f7fe0", "circle", "o", width=3.5),
    "guarded": PolicyStyle("ERP, guarded", "#6f6fe8", "hexagon", "h", (18, 3), 2.5),
    PAPER: PolicyStyle("ERP, the paper's probe", "#3f6fb5", "circle", "o", (5, 2), 1.5, hollow=True),
    **{
        name: style
        for rival, own in _RIVALS.items()
        for name, style in ((rival, own), (on_features(rival), _on_features(own)))
    },
    "category": PolicyStyle("best per category (told)", "#a38a1d", "pentagon", "p", (12, 3, 2, 3, 2, 3)),
    "blind": PolicyStyle("best LLM at each price (blind)", "#6d8aa8", "triangle-right", ">", (6, 6)),
    "permuted": PolicyStyle("ERP permuted", "#d9538a", "cross", "P", (2, 4)),
    "random": PolicyStyle("random", "#d9635b", "x", "X"),
    "oracle": PolicyStyle("oracle", "#1fa37a", "star", "*", (9, 6)),
    "cross-fitted": PolicyStyle("oracle, cross-fitted", "#58a05f", "star", "*", (3, 6), hollow=True),
    "always": PolicyStyle("one LLM for all", "#8d8f96", "square", "s"),
}

# Colour and Plotly symbol of the first, second, ... category; they start again after the last.
CATEGORIES: Sequence[tuple[str, str]] = (
    ("#2f7fe0", "circle"),
    ("#e07b2d", "diamond"),
    ("#1fa37a", "square"),
    ("#b566cf", "triangle-up"),
    ("#d9538a", "cross"),
    ("#a38a1d", "star"),
    ("#2aa3b8", "triangle-down"),
    ("#8d8f96", "hexagon"),
)

# From worse than nothing (orange) over nothing (grey, at 0.5) to perfect (blue).
VALUES = ((0.0, "#d06a30"), (0.5, "#e6e9ef"), (0.75, "#a6c8f0"), (0.875, "#7db0ea"), (1.0, "#2b6cc4"))

# A figure takes its letters' colour from the page, except on coloured cells and hover labels.
PAGE_CSS = """
.js-plotly-plot .main-svg :is(
  [class$="tick"], .annotation, .g-xtitle, .g-ytitle, .legend, .colorbar, .updatemenu-button
) text {
  fill: currentColor !important;
}
.js-plotly-plot .updatemenu-item-rect { fill: transparent !important; }
"""


def policy_style(name: str) -> PolicyStyle:
    """The style of a key of `POLICIES`, or of one LLM for all, by its name; `KeyError` for other names.

    One LLM for all is called "always LLM", or `BEST_SINGLE`, whichever that is.
    """
    first, space, llm = name.partition(" ")
    if name == BEST_SINGLE or (first == "always" and space and llm):
        return POLICIES["always"]._replace(label=name)
    return POLICIES[name]


def colour_of(value: float) -> Floats:
    """The colour of `VALUES` at a value in [0, 1], (3,) in [0, 1]; beyond the ends that of the end."""
    stops = [stop for stop, _ in VALUES]
    channels = np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for _, code in VALUES])
    return np.array([np.interp(value, stops, channel) for channel in channels.T])
