"""Policies against each other in one number: a dot and an interval each.

What belongs here: the figure of a summary, or of differences of it, over policies. What to keep out: summaries and
their intervals (`erp.summaries`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from erp._check import Floats
from erp.figures.layout import finish, label_width, padded, reach, shaped, shortened
from erp.figures.pictures import POINT, WIDTH, blank, panel, png, write
from erp.figures.style import INK, POLICIES, PolicyStyle, policy_style
from erp.metrics import describe

_ROW = 26
_BELOW = 0.3
"""How far below its row, in rows, the values of single splits are."""


def comparison_figure(
    names: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    label: str,
    *,
    zero: bool = False,
    splits: ArrayLike | None = None,
) -> go.Figure:
    """A summary of every policy, or differences of it, as dots with 95 % intervals (a forest plot).

    Parameters
    ----------
    names : policies (P,)
        Keys of `POLICIES`, or names of one LLM for all (`erp.figures.style.policy_style`), from the top.
    values, low, high : (P,)
        The summary and the ends of its interval; nan is written "undefined".
    label : str
        What the summary is: the axis title.
    zero : bool, default False
        Whether values are differences: then zero is marked and signs are written.
    splits : (P, S), optional
        The values on each of S train/test splits, which `values` are the means of: a small dot each.

    Raises
    ------
    KeyError
        When a name is no policy.
    ValueError
        When shapes do not fit.
    """
    rows = _Rows.of(names, values, low, high, zero, splits)
    figure = go.Figure()
    if rows.splits.size:
        figure.add_traces(rows.split_traces())
    for i, (name, style, value, (down, up), text) in enumerate(rows.each()):
        figure.add_scatter(
            x=[value],
            y=[i],
            error_x={
                "type": "data", "symmetric": False, "array": [up], "arrayminus": [down],
                "color": style.colour, "thickness": 2.5 if name == "ERP" else 1.8, "width": 4,
            },
            mode="markers",
            marker={**style.points, "size": 11 if name == "ERP" else 9},
            name=style.label,
            showlegend=False,
            text=[text],
            hovertemplate=f"<b>{style.label}</b><br>{label} {text}<extra></extra>",
        )  # fmt: skip
    shapes = [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": mark, "x1": mark, "y0": 0, "y1": 1, "layer": "below",
            "line": {"color": colour, "width": 1.5, "dash": dash},
        }
        for mark, colour, dash in rows.marks()
    ]  # fmt: skip
    layouts = []
    for letters, size in ((40, 13), (24, 10)):
        labels = [shortened(style.label, letters) for style in rows.styles]
        texts = rows.texts if letters == 40 else [text.partition(" ")[0] for text in rows.texts]
        annotations = [
            {
                "text": text, "x": 1, "xref": "paper", "xanchor": "left", "xshift": 6, "y": i, "yref": "y",
                "yanchor": "middle", "showarrow": False, "font": {"size": size - 1},
            }
            for i, text in enumerate(texts)
        ]  # fmt: skip
        layouts.append(
            {
                "height": _ROW * len(rows.names) + 66,
                "margin": {"l": label_width(labels, size), "r": label_width(texts, size - 1), "t": 10, "b": 56},
                "annotations": annotations,
                "xaxis": {"tickfont": {"size": size - 1}, "title": {"font": {"size": size}}},
                "yaxis": {"ticktext": labels, "tickfont": {"size": size}},
            }
        )
    finish(figure, wide=layouts[0], narrow=layouts[1])
    figure.update_layout(shapes=shapes)
    figure.update_xaxes(range=rows.window(), title={"text": label, "standoff": 8}, zeroline=False, nticks=7)
    figure.update_yaxes(
        range=[len(rows.names) - 0.4, -0.6],
        tickvals=list(range(len(rows.names))),
        ticklabelstandoff=6,
        showgrid=True,
        zeroline=False,
        fixedrange=True,
    )
    return figure


def comparison_png(
    names: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    label: str,
    *,
    zero: bool = False,
    splits: ArrayLike | None = None,
) -> bytes:
    """`comparison_figure` as a PNG 1,440 pixels wide and as high as its rows need; the same parameters and errors."""
    rows = _Rows.of(names, values, low, high, zero, splits)
    labels = [shortened(style.label, 36) for style in rows.styles]
    left, right = label_width(labels, 12), label_width(rows.texts, 11)
    count = len(rows.names)
    picture = blank(_ROW * count + 56)
    axes = panel(picture, left, 8, WIDTH - left - right, _ROW * count)
    for mark, colour, dash in rows.marks():
        axes.axvline(mark, color=colour, linewidth=1.5 * POINT, linestyle={"solid": "-", "dot": ":"}[dash])
    for i, (style, on_splits) in enumerate(zip(rows.styles, rows.splits, strict=True)):
        below = np.full(on_splits.size, i + _BELOW)
        axes.plot(on_splits, below, linestyle="", marker="|", color=style.colour, markersize=7 * POINT, alpha=0.75)
    for i, (name, style, value, ends, _) in enumerate(rows.each()):
        axes.errorbar(
            [value],
            [i],
            xerr=np.nan_to_num(ends)[:, None],
            linestyle="",
            **style.face,
            markersize=(10 if name == "ERP" else 8) * POINT,
            elinewidth=(2.5 if name == "ERP" else 1.8) * POINT,
            capsize=3 * POINT,
        )
    axes.set(xlim=rows.window(), ylim=(count - 0.4, -0.6), yticks=range(count), yticklabels=labels)
    axes.set_xlabel(label, color=INK, size=12 * POINT)
    for i, text in enumerate(rows.texts):
        write(picture, WIDTH - right + 8, 8 + _ROW * count * (i + 0.6) / (count + 0.2), text, 11)
    return png(picture)


class _Rows(NamedTuple):
    """What both versions of the figure show."""

    names: Sequence[str]
    styles: Sequence[PolicyStyle]
    values: Floats
    low: Floats
    high: Floats
    texts: Sequence[str]
    digits: int
    zero: bool
    splits: Floats

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        values: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        zero: bool,
        splits: ArrayLike | None,
    ) -> "_Rows":
        styles = [_style(name) for name in names]
        shape = (len(names),)
        values, low, high = shaped("values", values, shape), shaped("low", low, shape), shaped("high", high, shape)
        digits, sign = _digits(high - low), "+" if zero else ""
        texts = [_words(*row, digits, sign) for row in zip(values, low, high, strict=True)]
        on_splits = np.empty((len(names), 0)) if splits is None else np.asarray(splits, dtype=np.float64)
        on_splits = shaped("splits", on_splits, (len(names), on_splits.shape[-1] if on_splits.ndim else 0))
        return cls(names, styles, values, low, high, texts, digits, zero, on_splits)

    def each(self) -> list[tuple[str, PolicyStyle, float, tuple[float, float], str]]:
        """Name, style, value, how far the interval reaches below and above it, and both in words."""
        ends = [(float(down), float(up)) for down, up in reach(self.values, self.low, self.high).T]
        return list(zip(self.names, self.styles, self.values.tolist(), ends, self.texts, strict=True))

    def split_traces(self) -> list[go.Scatter]:
        """A stroke below its row for each split."""
        sign = "+" if self.zero else ""
        return [
            go.Scatter(
                x=on_splits,
                y=np.full(on_splits.size, i + _BELOW),
                mode="markers",
                marker={"color": style.colour, "symbol": "line-ns-open", "size": 7, "opacity": 0.75},
                showlegend=False,
                text=[f"split {split}: {_one(value, self.digits, sign)}" for split, value in enumerate(on_splits)],
                hovertemplate=f"<b>{style.label}</b><br>%{{text}}<extra></extra>",
            )
            for i, (style, on_splits) in enumerate(zip(self.styles, self.splits, strict=True))
        ]

    def marks(self) -> list[tuple[float, str, str]]:
        """Vertical lines to compare with, as value, colour and dash: zero, or what ERP has."""
        if self.zero:
            return [(0.0, INK, "solid")]
        own = [value for name, value in zip(self.names, self.values, strict=True) if name == "ERP"]
        return [(value, POLICIES["ERP"].colour, "dot") for value in own if np.isfinite(value)]

    def window(self) -> tuple[float, float]:
        """The range of values that is shown."""
        shown = np.concatenate([self.values, self.low, self.high, self.splits.ravel(), [0.0] if self.zero else []])
        shown = shown[np.isfinite(shown)]
        return padded(shown.min(), shown.max(), 0.05, 0.05) if shown.size else (0.0, 1.0)


def _style(name: str) -> PolicyStyle:
    try:
        return policy_style(name)
    except KeyError:
        raise KeyError(f"{name!r} is not one of {', '.join(POLICIES)}, nor 'always LLM'") from None


def _digits(widths: Floats) -> int:
    """Decimals that show the intervals to two digits, and 3 where there are none."""
    widths = widths[np.isfinite(widths) & (widths > 0)]
    return int(np.clip(1 - np.floor(np.log10(np.median(widths))), 0, 6)) if widths.size else 3


def _words(value: float, low: float, high: float, digits: int, sign: str) -> str:
    """A value with its interval, the shape they have in a table."""

    if np.isnan(value):
        return describe(value)
    ends = [_one(number, digits, sign) for number in (low, high)]
    interval = describe(np.nan) if np.isnan(low) or np.isnan(high) else ", ".join(ends)
    return f"{_one(value, digits, sign)} [{interval}]"


def _one(number: float, digits: int, sign: str) -> str:
    """A number of a row; what rounds to zero has no sign."""
    return f"{number:{sign}.{digits}f}" if np.isnan(number) or round(number, digits) else f"{0:.{digits}f}"
