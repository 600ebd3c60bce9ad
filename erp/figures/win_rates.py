"""How often each LLM is the best one: the paper's figures 4 and 9.

What belongs here: bars of empirical and predicted win rates, a panel per category. What to keep out: computing them
(`erp.pairwise`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from erp._check import Floats, Integers
from erp.figures.layout import (
    finish,
    interval_words,
    label_width,
    legend_height,
    reach,
    shaped,
    shortened,
    spoken,
    suffix,
)
from erp.figures.pictures import POINT, WIDTH, blank, legend, panel, png, write
from erp.figures.style import INK, POLICIES
from erp.metrics import describe

_EMPIRICAL, _PREDICTED = "empirical", "predicted by ERP"
# What is, in grey; what ERP says, in its colour, light and hatched.
_GREY, _BLUE = "#868d99", POLICIES["ERP"].colour
_BAR = 0.38


def win_rate_figure(
    llms: Sequence[str],
    categories: Sequence[str],
    empirical: ArrayLike,
    predicted: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    counts: ArrayLike,
) -> go.Figure:
    """How often each LLM is the best one, empirically and by prediction (the paper's figures 4 and 9).

    A panel for every category, in it a pair of bars for every LLM, all to the same scale.

    Parameters
    ----------
    llms : names (M,)
        The rows of every panel, from the top.
    categories : names (C,)
        The panels; they may include the aggregate.
    empirical, predicted : (C, M)
        Shares of prompts in [0, 1]; nan is written "undefined".
    low, high : (C, M)
        The ends of the 95 % interval of the empirical share.
    counts : integers (C,)
        How many prompts each category has.

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    rates = _Rates.of(llms, categories, empirical, predicted, low, high, counts)
    figure = go.Figure()
    rows = np.arange(len(llms))
    for i in range(len(categories)):
        axes = {"xaxis": f"x{suffix(i)}", "yaxis": f"y{suffix(i)}"}
        hover = [rates.words(i, j) for j in range(len(llms))]
        shared = {
            "y": rows, "orientation": "h", "width": _BAR, "showlegend": i == 0, "text": hover, "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>", **axes,
        }  # fmt: skip
        figure.add_bar(
            x=rates.empirical[i],
            offset=-_BAR,
            marker={"color": "rgba(134, 141, 153, 0.65)", "line": {"width": 0}},
            error_x={
                "type": "data", "symmetric": False, "color": INK, "thickness": 1.3, "width": 2.5,
                "array": rates.reach(i)[1], "arrayminus": rates.reach(i)[0],
            },
            name=_EMPIRICAL,
            legendgroup=_EMPIRICAL,
            **shared,
        )  # fmt: skip
        figure.add_bar(
            x=rates.predicted[i],
            offset=0.02,
            marker={
                "color": "rgba(47, 127, 224, 0.25)",
                "line": {"width": 1, "color": _BLUE},
                "pattern": {"shape": "/", "fgcolor": _BLUE, "bgcolor": "rgba(47, 127, 224, 0.2)", "size": 5},
            },
            name=_PREDICTED,
            legendgroup=_PREDICTED,
            **shared,
        )
        missing = [
            float(j + place)
            for values, place in ((rates.empirical[i], -0.2), (rates.predicted[i], 0.2))
            for j in np.flatnonzero(np.isnan(values))
        ]
        if missing:
            figure.add_scatter(
                x=[0.0] * len(missing), y=missing, mode="text", text=[describe(np.nan)] * len(missing),
                textposition="middle right", textfont={"size": 9, "color": INK}, showlegend=False, hoverinfo="skip",
                **axes,
            )  # fmt: skip
    finish(figure, wide=rates.layout(4, 13), narrow=rates.layout(2, 10))
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(range=(0.0, rates.largest), tickformat=".0%", nticks=4, zeroline=True, zerolinecolor=INK)
    figure.update_yaxes(
        range=[len(llms) - 0.4, -0.6],
        tickvals=rows,
        ticklabelstandoff=4,
        showgrid=False,
        zeroline=False,
        showline=False,
        fixedrange=True,
    )
    return figure


def win_rate_png(
    llms: Sequence[str],
    categories: Sequence[str],
    empirical: ArrayLike,
    predicted: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    counts: ArrayLike,
) -> bytes:
    """`win_rate_figure` as a PNG 1,440 pixels wide and as high as its panels need; the same parameters and errors."""
    rates = _Rates.of(llms, categories, empirical, predicted, low, high, counts)
    names = [shortened(llm, 24) for llm in llms]
    left = label_width(names, 11)
    columns = rates.columns(3)
    n_rows = -(-len(categories) // columns)
    row = 22.0 if len(llms) < 9 else 17.0
    head, foot, top = 36.0, 24.0, 28.0
    block = head + row * len(llms) + foot
    width = (WIDTH - left - 14) / columns - 16
    picture = blank(top + block * n_rows)
    places = np.arange(len(llms))
    handles: list[Any] = []
    for i in range(len(categories)):
        down, across = divmod(i, columns)
        x, y = left + across * (width + 16), top + down * block
        axes = panel(picture, x, y + head, width, row * len(llms))
        axes.grid(visible=False, axis="y")
        solid = axes.barh(places - 0.2, np.nan_to_num(rates.empirical[i]), _BAR, color=(*_rgb(_GREY), 0.65))
        axes.errorbar(
            np.nan_to_num(rates.empirical[i]), places - 0.2, xerr=np.nan_to_num(rates.reach(i)), fmt="none", ecolor=INK,
            elinewidth=1.3 * POINT, capsize=2 * POINT,
        )  # fmt: skip
        hatched = axes.barh(
            places + 0.2, np.nan_to_num(rates.predicted[i]), _BAR, facecolor=(*_rgb(_BLUE), 0.25), edgecolor=_BLUE,
            hatch="//////", linewidth=0.8,
        )  # fmt: skip
        # A bar of no length would still show its edge.
        for bar, value in zip(hatched, rates.predicted[i], strict=True):
            bar.set_visible(bool(value > 0))
        for values, place in ((rates.empirical[i], -0.2), (rates.predicted[i], 0.2)):
            for j in np.flatnonzero(np.isnan(values)):
                axes.text(0, j + place, f" {describe(np.nan)}", size=8 * POINT, color=INK, va="center")
        axes.axvline(0, color=INK, linewidth=1 * POINT)
        axes.set(xlim=(0, rates.largest), ylim=(len(llms) - 0.4, -0.6), yticks=places)
        axes.set_yticklabels(names if across == 0 else [])
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.tick_params(labelsize=10 * POINT)
        axes.tick_params(axis="y", labelsize=11 * POINT)
        title, count = rates.title(i, int(width / 8.4))
        write(picture, x, y + 12, title, 12, weight="bold")
        write(picture, x, y + 27, count, 10)
        handles = handles or [(solid, _EMPIRICAL), (hatched, _PREDICTED)]
    legend(picture, left, 4, WIDTH - left, handles)
    return png(picture)


def _rgb(code: str) -> tuple[float, float, float]:
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


class _Rates(NamedTuple):
    """What both versions of the figure show; arrays (C, M)."""

    llms: Sequence[str]
    categories: Sequence[str]
    empirical: Floats
    predicted: Floats
    low: Floats
    high: Floats
    counts: Integers

    @classmethod
    def of(
        cls,
        llms: Sequence[str],
        categories: Sequence[str],
        empirical: ArrayLike,
        predicted: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        counts: ArrayLike,
    ) -> "_Rates":
        shape = (len(categories), len(llms))
        named = (("empirical", empirical), ("predicted", predicted), ("low", low), ("high", high))
        empirical, predicted, low, high = (shaped(name, values, shape) for name, values in named)
        counts = shaped("counts", counts, shape[:1]).astype(np.intp)
        return cls(llms, categories, empirical, predicted, low, high, counts)

    @property
    def largest(self) -> float:
        """Where the scale ends."""
        every = np.concatenate([self.empirical, self.predicted, self.high], axis=None)
        return float(1.06 * every[~np.isnan(every)].max(initial=0.05))

    def reach(self, category: int) -> Floats:
        """How far the intervals of a category reach below and above the empirical shares, (2, M)."""
        return reach(self.empirical[category], self.low[category], self.high[category])

    def words(self, category: int, llm: int) -> str:
        """What the hover text says about a pair of bars."""
        empirical, predicted = self.empirical[category, llm], self.predicted[category, llm]
        text = f"<b>{self.llms[llm]}</b>, {spoken(self.categories[category])}<br>best on {_percent(empirical)}"
        if not np.isnan(empirical):
            low, high = 100 * self.low[category, llm], 100 * self.high[category, llm]
            text += f", {interval_words(low, high, 1)}"
        return f"{text}<br>predicted {_percent(predicted)}<br>{self.counts[category]:,} prompts"

    def title(self, category: int, length: int) -> tuple[str, str]:
        """The category's name in so many letters, and its number of prompts."""
        return shortened(spoken(self.categories[category]), length), f"n = {self.counts[category]:,}"

    def columns(self, most: int) -> int:
        """How many panels stand side by side: at most so many, and the last row about as full as the others."""
        rows = -(-len(self.categories) // most)
        return -(-len(self.categories) // rows)

    def layout(self, most: int, size: int) -> dict[str, Any]:
        """Panels in rows of at most `most`, names of LLMs on the left only."""
        count = len(self.categories)
        columns = self.columns(most)
        rows = -(-count // columns)
        names = [shortened(llm, 30 if most > 2 else 16) for llm in self.llms]
        row = 24.0 if len(names) < 9 else 19.0
        head, foot = 2.6 * size + 8, 26.0
        block = head + row * len(names) + foot
        legend_ = legend_height([_EMPIRICAL, _PREDICTED], 340)
        margin = {"l": label_width(names, size - 1), "r": 14, "t": legend_ + head, "b": foot}
        height = legend_ + block * rows
        inner = height - margin["t"] - margin["b"]
        gap = 0.03 if most > 2 else 0.06
        width = (1 - gap * (columns - 1)) / columns
        layout: dict[str, Any] = {"height": height, "margin": margin, "legend": {"font": {"size": size - 1}}}
        notes = []
        for i in range(count):
            down, across = divmod(i, columns)
            name = suffix(i)
            left, top = across * (width + gap), 1 - down * block / inner
            layout[f"xaxis{name}"] = {
                "domain": [left, min(1.0, left + width)], "anchor": f"y{name}", "tickfont": {"size": size - 2},
            }  # fmt: skip
            layout[f"yaxis{name}"] = {
                "domain": [max(0.0, top - row * len(names) / inner), top], "anchor": f"x{name}",
                "ticktext": names, "tickfont": {"size": size - 1}, "showticklabels": across == 0,
            }  # fmt: skip
            title, prompts = self.title(i, 26 if most > columns > 1 else 20)
            notes.append(
                {
                    "text": f"<b>{title}</b><br>{prompts}", "align": "left", "showarrow": False,
                    "font": {"size": size - 1 if most > 2 else size}, "xref": f"x{name} domain", "x": 0,
                    "xanchor": "left", "yref": f"y{name} domain", "y": 1, "yanchor": "bottom",
                }
            )  # fmt: skip
        return {**layout, "annotations": notes}


def _percent(share: float) -> str:
    return describe(share) if np.isnan(share) else f"{share:.1%}"
