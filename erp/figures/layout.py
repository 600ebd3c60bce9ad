"""How a figure sits on its page: wide and narrow layouts, panels, legends, and text that fits.

What belongs here: what the Plotly figures share in layout, and the wording and measuring of text that pictures
share too. What to keep out: colours (`style`), what a particular figure shows, matplotlib (`pictures`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from erp._check import Floats
from erp.figures.style import GRID, INK
from erp.metrics import describe

# On a page narrower than this, in pixels, a figure takes its narrow layout.
NARROW = 600
# The mean width of a letter and the height of a line, in pixels, when letters are 12 high.
LETTER, LINE = 6.8, 15.0

DASH = "–"
# Up to so many columns the cells of a map have room for letters of 12 pixels on a narrow page, and for "undefined".
_ROOMY_COLUMNS = 5

_FAMILY = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"

_SCRIPT = """
(function () {
  const figure = document.getElementById('{plot_id}');
  let width = 0;
  function fit() {
    const now = figure.clientWidth;
    if (!now || now === width) { return; }
    width = now;
    const layout = figure.layout.meta[now < NARROW ? 'narrow' : 'wide'];
    figure.style.height = figure.parentElement.style.height = layout.height + 'px';
    Plotly.relayout(figure, layout).then(function () { Plotly.Plots.resize(figure); });
  }
  new ResizeObserver(fit).observe(figure);
})();
""".replace("NARROW", str(NARROW))


def fragment(figure: go.Figure) -> str:
    """A figure as a piece of HTML for a page that has loaded plotly.js; it follows the width of its place."""
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            default_width="100%",
            config={"responsive": True, "displaylogo": False, "displayModeBar": False},
            post_script=_SCRIPT,
        )
    )


def finish(figure: go.Figure, wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    """The looks that all figures share, the wide layout to begin with, and both for the page's script."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "family": _FAMILY, "size": 12},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "itemsizing": "constant",
            "tracegroupgap": 0,
        },
        hoverlabel={"align": "left", "namelength": -1, "font": {"family": _FAMILY, "size": 12}},
        hovermode="closest",
        meta={"wide": dict(_flat(wide)), "narrow": dict(_flat(narrow))},
    )
    figure.update_layout(wide)
    figure.update_xaxes(gridcolor=GRID, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, linecolor=GRID)


def _flat(layout: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings by full names ("xaxis.title.font.size"), so that setting one keeps its neighbours."""
    for key, value in layout.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def legend_height(labels: Sequence[str], width: float, size: float = 12) -> float:
    """What a legend above the panels takes: its entries wrap at the width of the page."""
    rows, used = 1, 0.0
    for label in labels:
        entry = 50 + len(label) * LETTER * size / 12
        if used and used + entry > width:
            rows, used = rows + 1, 0.0
        used += entry
    return 12 + 1.6 * size * rows


def suffix(panel: int) -> str:
    """What Plotly adds to "x" or "xaxis" for the axes of a panel."""
    return "" if panel == 0 else str(panel + 1)


def padded(low: float, high: float, before: float, after: float) -> tuple[float, float]:
    """A range with a share of its length added at either end; a point becomes a range around itself."""
    length = high - low or abs(high) or 1.0
    return float(low - before * length), float(high + after * length)


def label_width(labels: Sequence[str], size: float) -> float:
    """The pixels that labels beside an axis take, with a little room."""
    # A little more for each letter than the mean: what is cut off cannot be read.
    return 12 + max(len(label) for label in labels) * 1.1 * LETTER * size / 12


def shortened(text: str, length: int) -> str:
    """At most `length` letters; what goes is in the middle, as the end of an LLM's name says its size."""
    tail = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[-tail:]}"


def spoken(name: str) -> str:
    """A name from a pool file as words."""
    return name.replace("_", " ")


def interval_words(low: float, high: float, digits: int = 3, about: str = "") -> str:
    """A 95 % interval as words; an end that is nan makes it undefined."""
    if np.isnan(low) or np.isnan(high):
        return f"95 % interval {describe(np.nan)}"
    return f"95 % interval {about}{low:.{digits}f} to {high:.{digits}f}"


def cell_words(value: float, columns: int, html: bool = True) -> str:
    """A metric in a cell of a map; the word for nan is long and set small, and a dash in many columns."""
    if np.isnan(value) and columns > _ROOMY_COLUMNS:
        return DASH
    return f'<span style="font-size: 8px">{describe(value)}</span>' if np.isnan(value) and html else describe(value)


def cell_font(columns: int) -> dict[str, Any]:
    """The letters in the cells of a map; in many columns Plotly fits them, on narrow pages too."""
    return {"size": 12} if columns <= _ROOMY_COLUMNS else {}


def share_words(share: float) -> str:
    """A share in percent, short; what rounds to nothing and is not is said to be less than 1 %."""
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


def reach(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """How far an interval reaches below and above a value, (2, ...); nan where an end is nan.

    Never negative: ends may miss the value by rounding, and no error bar can be drawn backwards.
    """
    value = np.asarray(value, dtype=np.float64)
    return np.asarray(np.maximum(0.0, np.stack([value - np.asarray(low), np.asarray(high) - value])))


def shaped(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """`values` as float64 of exactly this shape, nan allowed, or `ValueError` naming the array."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array
