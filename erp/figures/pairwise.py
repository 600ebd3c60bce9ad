"""Which of two LLMs wins: the paper's figures 3 and 8, and Proposition 1 beside the samples.

What belongs here: the two maps of AUROC over pairs of LLMs, and the bound on the win probability. What to keep out:
computing them (`erp.pairwise`).
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from erp._check import Floats, indices
from erp.figures.layout import (
    DASH,
    LETTER,
    cell_font,
    cell_words,
    finish,
    interval_words,
    label_width,
    legend_height,
    padded,
    reach,
    shaped,
    share_words,
    shortened,
)
from erp.figures.pictures import POINT, WIDTH, blank, fitting, letters_on, panel, png, write
from erp.figures.style import INK, VALUES, colour_of
from erp.metrics import describe
from erp.pairwise import PairwiseWins

# Colours span at least this much on either side of 0.5, so that noise around chance stays pale.
_LEAST_SPAN = 0.1

# What has a map, by its name in `PairwiseWins`.
_TITLES = {
    "auroc": ("Difference of predicted ER", "{probes} probes, one per LLM"),
    "logistic": ("Logistic regression for each pair", "on the embedding, {models}"),
    "logistic_features": ("Logistic regression for each pair", "on the features, {models}"),
    "ceiling": ("Best attainable", "ranked by the samples themselves"),
}
_ALWAYS = ("auroc", "logistic")

_VERDICTS = {
    "holds": ("#2f7fe0", "circle"),
    "vacuous": ("#8d8f96", "circle-open"),
    "violated": ("#e02b3c", "diamond"),
    "undefined": ("#8d8f96", "x-thin-open"),
}
_BOUND = "#868d99"
_VACUOUS = "vacuous: the bound is no better than a coin"


def pairwise_figure(llms: Sequence[str], pairs: PairwiseWins) -> go.Figure:
    """How well it is told which of two LLMs wins: AUROC over all pairs (the paper's figures 3 and 8).

    By the difference of predicted ER, and by a logistic regression of the embedding trained on each pair; where they
    are known also by one of the features that the probes read, and the best attainable AUROC. The same colours for
    all, neutral at 0.5, which is chance. A pair has one cell: AUROC is the same whichever of the two is asked for. Two
    maps stand side by side, on narrow pages each stands below the one before.

    Parameters
    ----------
    llms : names (M,)
        At least two.
    pairs : PairwiseWins
        Arrays (P,) for any pairs of LLMs; nan is written "undefined", and what is nan for all pairs has no map.

    Raises
    ------
    ValueError
        When shapes do not fit, there are fewer than two LLMs, or a pair is not one or stands twice.
    """
    maps = _Maps.of(llms, pairs)
    size = len(llms) - 1
    figure = go.Figure()
    for place, values in enumerate(maps.values):
        axis = str(place + 1) if place else ""
        figure.add_heatmap(
            z=np.where(np.isnan(values) & maps.known, 0.5, values),
            x=list(range(size)),
            y=list(range(size)),
            text=[[maps.cell(row, column, values) for column in range(size)] for row in range(size)],
            texttemplate="%{text}",
            textfont=cell_font(size),
            hovertext=maps.hover,
            hovertemplate="%{hovertext}<extra></extra>",
            hoverongaps=False,
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
            xaxis=f"x{axis}",
            yaxis=f"y{axis}",
        )
    wide, narrow = maps.layout(stacked=False), maps.layout(stacked=True)
    finish(figure, wide=wide, narrow=narrow)
    low, high = 0.5 - maps.span, 0.5 + maps.span
    figure.update_layout(
        coloraxis={
            "colorscale": VALUES,
            "cmin": low,
            "cmax": high,
            "colorbar": {
                "orientation": "h", "thickness": 9, "lenmode": "pixels", "outlinewidth": 0,
                "x": 0, "xanchor": "left", "xpad": 0, "yref": "container", "y": 1, "yanchor": "top", "ypad": 4,
                "tickvals": [low, 0.5, high],
                "ticktext": [f"AUROC {low:.2f}", "0.5 chance", f"{high:.2f}"],
                "tickfont": {"size": 11}, "ticks": "",
            },
        }
    )  # fmt: skip
    plain = {"showgrid": False, "showline": False, "zeroline": False, "fixedrange": True, "ticks": ""}
    figure.update_xaxes(tickvals=list(range(size)), range=[-0.5, size - 0.5], ticklabelstandoff=2, **plain)
    figure.update_yaxes(tickvals=list(range(size)), range=[size - 0.5, -0.5], ticklabelstandoff=4, **plain)
    return figure


def pairwise_png(llms: Sequence[str], pairs: PairwiseWins) -> bytes:
    """`pairwise_figure` as a PNG 1,440 pixels wide; of more than nine LLMs the maps stand below each other.

    The parameters and errors are those of `pairwise_figure`.
    """
    maps = _Maps.of(llms, pairs)
    size = len(llms) - 1
    stacked = len(llms) > 9
    short = [shortened(name, 24) for name in llms]
    left, foot = label_width(short[1:], 11), 8 + 0.62 * label_width(short[:-1], 11)
    if size == 1:
        foot = 24
    width = (WIDTH - left - 12) / (1 if stacked else 2) - (0 if stacked else 8)
    row = min(44.0, max(24.0, width / size * 0.62))
    head = 44
    block = head + row * size + foot
    columns = 1 if stacked else 2
    foot_of_all = block * -(-len(maps.values) // columns)
    picture = blank(foot_of_all + 24)
    for number, (values, title) in enumerate(zip(maps.values, maps.titles, strict=True)):
        line, side = divmod(number, columns)
        across, down = left + side * (width + 16), line * block
        axes = panel(picture, across, down + head, width, row * size)
        axes.grid(visible=False)
        axes.set(xlim=(0, size), ylim=(size, 0), xticks=np.arange(size) + 0.5, yticks=np.arange(size) + 0.5)
        axes.set_yticklabels([] if side else short[1:])
        axes.set_xticklabels(short[:-1])
        if size > 1:
            for name in axes.get_xticklabels():
                name.set(rotation=35, ha="right", rotation_mode="anchor")
        axes.tick_params(labelsize=11 * POINT, pad=3)
        for i, j in np.argwhere(maps.known):
            value = values[i, j]
            place = 0.5 if np.isnan(value) else 0.5 + (value - 0.5) / (2 * maps.span)
            axes.add_patch(
                Rectangle((j + 0.02, i + 0.03), 0.96, 0.94, color=colour_of(place), linewidth=0),
            )
            text = maps.cell(i, j, values, html=False)
            axes.text(
                j + 0.5, i + 0.5, text, ha="center", va="center",
                color=letters_on(place), size=fitting(text, width / size, 10 if stacked else 12) * POINT,
            )  # fmt: skip
        first, _, second = title.partition("<br>")
        write(picture, across, down + 14, first, 12, weight="bold")
        write(picture, across, down + 31, second, 10)
    write(
        picture, left, foot_of_all + 10,
        f"AUROC at telling which of two LLMs wins: blue above chance, 0.5, orange below{maps.missing}", 10,
    )  # fmt: skip
    return png(picture)


def proposition_1_figure(
    gap: ArrayLike, win: ArrayLike, low: ArrayLike, high: ArrayLike, bound: ArrayLike, verdict: Sequence[str]
) -> go.Figure:
    """The empirical win probability against the gap of expected rewards, beside Proposition 1's lower bound.

    Parameters
    ----------
    gap : (B,)
        The mean difference of ER in each bin.
    win, low, high : (B,)
        The empirical probability that the LLM with the larger ER earns more, and the ends of its 95 % interval.
    bound : (B,)
        1 - exp(-gap^2 / (4 sigma^2)); no more than 0.5 says nothing: that part is shaded.
    verdict : words (B,)
        "holds", "vacuous", "violated" or "undefined".

    Raises
    ------
    ValueError
        When shapes do not fit or a verdict is another word.
    """
    gap = shaped("gap", gap, (np.size(gap),))
    win, low, high, bound = (
        shaped(name, values, gap.shape)
        for name, values in (("win", win), ("low", low), ("high", high), ("bound", bound))
    )
    if len(verdict) != gap.size:
        raise ValueError(f"{len(verdict)} verdicts for {gap.size} bins")
    for word in verdict:
        if word not in _VERDICTS:
            raise ValueError(f"verdict {word!r} is not one of {', '.join(_VERDICTS)}")
    words = np.asarray(verdict, dtype=object)
    order = np.argsort(gap, kind="stable")
    order = order[~np.isnan(bound[order]) & ~np.isnan(gap[order])]
    shown = gap[~np.isnan(gap)]
    window = padded(min(0.0, shown.min(initial=0.0)), shown.max(initial=0.0), 0.02, 0.04)

    figure = go.Figure()
    figure.add_scatter(
        x=gap[order],
        y=bound[order],
        mode="lines",
        line={"color": _BOUND, "width": 2.5},
        name="lower bound",
        hovertemplate="gap %{x:.4g}<br>lower bound %{y:.3f}<extra></extra>",
    )
    labels = ["lower bound"]
    for word, (colour, symbol) in _VERDICTS.items():
        rows = np.flatnonzero(words == word)
        if not rows.size:
            continue
        name = f"bound {word} ({rows.size} {'bins' if rows.size > 1 else 'bin'})"
        labels.append(name)
        down, up = reach(win[rows], low[rows], high[rows])
        figure.add_scatter(
            x=gap[rows],
            y=win[rows],
            error_y={
                "type": "data", "symmetric": False, "array": up, "arrayminus": down,
                "color": colour, "thickness": 1.8, "width": 4,
            },
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2, "color": colour}},
            name=name,
            text=[
                f"gap {describe(gap[i], 3)}<br>the better LLM wins {describe(win[i], 3)}"
                f"<br>{interval_words(low[i], high[i])}<br>lower bound {describe(bound[i], 3)}: {word}"
                for i in rows
            ],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect", "xref": "x", "yref": "paper", "x0": start, "x1": end, "y0": 0, "y1": 1, "layer": "below",
            "fillcolor": "rgba(128, 134, 145, 0.16)", "line": {"width": 0},
        }
        for start, end in _vacuous(gap[order], bound[order], window)
    ]  # fmt: skip
    shapes.append(
        {
            "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": 0.5, "y1": 0.5, "layer": "below",
            "line": {"color": INK, "width": 1, "dash": "dot"},
        }
    )  # fmt: skip
    layouts = []
    for width, height, size, across in ((700, 320, 12, 900), (280, 260, 10, 270)):
        font = {"size": size}
        notes = []
        for shape in shapes[:-1]:
            # A short word where a sentence has no room; the corner under the 1 is free, as small gaps win by little.
            room = (shape["x1"] - shape["x0"]) / (window[1] - window[0]) * width
            lines = textwrap.wrap(_VACUOUS, max(1, int(room / LETTER * 12 / size)))
            notes.append(
                {
                    "text": "<br>".join(lines) if len(lines) < 4 else "vacuous", "x": shape["x0"], "xref": "x",
                    "xanchor": "left", "xshift": 6, "y": 0.97, "yref": "paper", "yanchor": "top", "align": "left",
                    "showarrow": False, "font": font,
                }
            )  # fmt: skip
        layouts.append(
            {
                "height": height + legend_height(labels, across, size) + 54,
                "margin": {"l": 60, "r": 16, "t": 16, "b": 54},
                "annotations": notes,
                "xaxis": {"tickfont": font, "title": {"font": {"size": size + 1}}},
                "yaxis": {"tickfont": font, "title": {"font": {"size": size + 1}}},
                "legend": {"font": font},
            }
        )
    finish(figure, wide=layouts[0], narrow=layouts[1])
    figure.update_layout(shapes=shapes, legend_itemsizing="trace")
    figure.update_xaxes(
        range=window, title={"text": "mean difference of expected reward", "standoff": 8}, zeroline=False
    )
    figure.update_yaxes(range=[-0.03, 1.04], title={"text": "probability of winning", "standoff": 8}, zeroline=False)
    return figure


def _vacuous(gap: Floats, bound: Floats, window: tuple[float, float]) -> list[tuple[float, float]]:
    """The ranges of gaps (rising) where the bound is no more than 0.5, cut where its line crosses 0.5."""
    if not gap.size:
        return []
    says = bound > 0.5
    change = np.flatnonzero(np.diff(says))
    slope = (0.5 - bound[change]) / (bound[change + 1] - bound[change])
    cuts = gap[change] + slope * (gap[change + 1] - gap[change])
    edges = [window[0], *cuts.tolist(), window[1]]
    first = 1 if says[0] else 0
    return [(edges[i], edges[i + 1]) for i in range(first, len(edges) - 1, 2)]


class _Maps(NamedTuple):
    """The maps as lower triangles: row i is LLM i + 1, column j is LLM j; `values` (M - 1, M - 1) with a title each."""

    llms: Sequence[str]
    known: NDArray[np.bool_]
    values: list[Floats]
    titles: list[str]
    hover: list[list[str]]
    span: float

    @classmethod
    def of(cls, llms: Sequence[str], pairs: PairwiseWins) -> "_Maps":
        count = len(llms)
        if count < 2:
            raise ValueError(f"pairs need at least two LLMs, got {count}")
        a, b = indices("a", pairs.a, None, count), indices("b", pairs.b, np.size(pairs.a), count)
        arrays = {name: shaped(name, getattr(pairs, name), a.shape) for name in pairs._fields if name not in ("a", "b")}
        if np.any(a == b):
            raise ValueError(f"an LLM is paired with itself: {llms[int(a[a == b][0])]}")
        row, column = np.maximum(a, b) - 1, np.minimum(a, b)
        known = np.zeros((count - 1, count - 1), dtype=bool)
        hover = [[""] * (count - 1) for _ in range(count - 1)]
        for p, (i, j) in enumerate(zip(row, column, strict=True)):
            if known[i, j]:
                raise ValueError(f"the pair {llms[j]}, {llms[i + 1]} stands twice")
            known[i, j] = True
            hover[i][j] = _pair_words(llms[a[p]], llms[b[p]], {name: float(array[p]) for name, array in arrays.items()})
        shown = [name for name in _TITLES if name in _ALWAYS or not np.isnan(arrays[name]).all()]
        values, titles = [], []
        for name in shown:
            values.append(np.full(known.shape, np.nan))
            values[-1][row, column] = arrays[name]
            first, second = _TITLES[name]
            counted = second.format(probes=count, models=f"{a.size} model{'s' if a.size > 1 else ''}")
            titles.append(f"{first}<br>{counted}; mean {_mean(arrays[name])}")
        every = np.concatenate([arrays[name] for name in shown])
        furthest = np.abs(every[~np.isnan(every)] - 0.5).max(initial=_LEAST_SPAN)
        return cls(llms, known, values, titles, hover, float(np.ceil(furthest * 20 - 1e-9) / 20))

    @property
    def missing(self) -> str:
        """What a dash in a picture's cell means, where there is one."""
        dashed = cell_words(np.nan, len(self.llms) - 1) == DASH
        undefined = any((self.known & np.isnan(values)).any() for values in self.values)
        return f"; {DASH} {describe(np.nan)}" if dashed and undefined else ""

    def cell(self, row: int, column: int, values: Floats, html: bool = True) -> str:
        """What stands in a cell; small cells have no room for a leading zero, nor for long words."""
        if not self.known[row, column]:
            return ""
        value = float(values[row, column])
        text = cell_words(value, len(self.llms) - 1, html)
        return text.removeprefix("0") if len(self.llms) > 9 else text

    def layout(self, stacked: bool) -> dict[str, Any]:
        """Axes, titles and letters, two maps to a row or stacked."""
        size = len(self.llms) - 1
        small = 10 if stacked else 12
        names = [shortened(name, 20 if stacked else 26) for name in self.llms]
        left = label_width(names[1:], small)
        cell = 36.0 if size < 8 else 28.0 if size < 13 else 24.0
        # The names below lean to the left, unless there is only one.
        longest = LETTER * small / 12 * max(map(len, names[:-1]))
        angle, foot = (0, 22.0) if size == 1 else (-40, 14 + 0.66 * longest)
        # Slanted lines of letters need 1.5 times their height from one another: less room, steeper and smaller.
        spacing = (340 - left if stacked else 400) / size
        foot_size = small
        if spacing < 1.8 * small:
            angle, foot_size = -90, min(small, max(7, int(spacing)))
            foot = label_width(names[:-1], foot_size)
        title, key = 40.0, 44.0
        block = title + cell * size + foot
        columns = 1 if stacked else 2
        height = key + block * -(-len(self.values) // columns)
        inner = height - key - foot
        margin = {"l": left, "r": 12, "t": key, "b": foot}
        axes: dict[str, Any] = {}
        notes = []
        for place, text in enumerate(self.titles):
            name = str(place + 1) if place else ""
            row, side = divmod(place, columns)
            top = 1 - (title + row * block) / inner
            domain = [0.0, 1.0] if stacked else [0.52, 1.0] if side else [0.0, 0.48]
            bottom = max(0.0, top - cell * size / inner)
            axes[f"xaxis{name}"] = {
                "domain": domain, "anchor": f"y{name}", "ticktext": names[:-1], "tickangle": angle,
                "tickfont": {"size": foot_size},
            }  # fmt: skip
            axes[f"yaxis{name}"] = {
                "domain": [bottom, top], "anchor": f"x{name}", "ticktext": names[1:], "tickfont": {"size": small},
                "showticklabels": not side,
            }  # fmt: skip
            first, _, second = text.partition("<br>")
            notes.append(
                {
                    "text": f"<b>{first}</b><br>{second}", "align": "left", "showarrow": False,
                    "font": {"size": small + 1 - stacked}, "xref": "paper", "x": domain[0], "xanchor": "left",
                    "yref": "paper", "y": top, "yanchor": "bottom",
                }
            )  # fmt: skip
        key_length = {"coloraxis": {"colorbar": {"len": 150 if stacked else 230}}}
        return {"height": height, "margin": margin, "annotations": notes, **axes, **key_length}


def _pair_words(a: str, b: str, values: dict[str, float]) -> str:
    """All that is known about a pair."""

    def auroc(name: str, sign: str = "") -> str:
        value, low, high = (values[f"{name}{end}"] for end in ("", "_low", "_high"))
        if np.isnan(value):
            return describe(value)
        if np.isnan(low) or np.isnan(high):
            return f"{value:{sign}.3f}, {interval_words(low, high)}"
        return f"{value:{sign}.3f}, 95 % interval {low:{sign}.3f} to {high:{sign}.3f}"

    def single(name: str) -> str:
        value = values[f"{name}_single"]
        return "" if np.isnan(value) else f" ({value:.3f} by one pair of samples)"

    wins = describe(values["wins"]) if np.isnan(values["wins"]) else share_words(values["wins"])
    ties = "" if np.isnan(values["ties"]) else f" ({share_words(values['ties'])} ties, counted half)"
    lines = [
        f"<b>{b}</b> wins against <b>{a}</b>: {wins}{ties}",
        f"AUROC of the difference of ER {auroc('auroc')}{single('auroc')}",
        f"AUROC of the logistic regression {auroc('logistic')}{single('logistic')}",
        f"difference {auroc('difference', '+')}",
    ]
    if not np.isnan(values["logistic_features"]):
        lines.append(f"of the one that reads the features {auroc('logistic_features')}{single('logistic_features')}")
        lines.append(f"difference {auroc('difference_features', '+')}")
    if not np.isnan(values["ceiling"]):
        lines.append(f"best attainable {values['ceiling']:.3f}")
    return "<br>".join([*lines, f"{int(values['n']):,} prompts"])


def _mean(values: Floats) -> str:
    known = values[~np.isnan(values)]
    return describe(known.mean() if known.size else np.nan, 3)
