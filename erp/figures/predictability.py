"""How well expected rewards are predicted: the paper's tables 1 and 2, figures 2 and 7.

What belongs here: the table of R2 and the scatter of predicted against empirical. What to keep out: R2 and its
ceiling (`erp.metrics`), and what is predicted about pairs of LLMs (`pairwise`).
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, finite
from erp.figures.layout import (
    LETTER,
    LINE,
    cell_font,
    cell_words,
    finish,
    interval_words,
    label_width,
    legend_height,
    padded,
    shaped,
    shortened,
    spoken,
    suffix,
)
from erp.figures.pictures import POINT, WIDTH, blank, fitting, letters_on, panel, png, write
from erp.figures.style import CATEGORIES, INK, VALUES, colour_of
from erp.metrics import describe, r2

_MAX_PROMPTS = 1000


def predictability_table(
    llms: Sequence[str],
    columns: Sequence[str],
    values: ArrayLike,
    ceilings: ArrayLike,
    counts: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> go.Figure:
    """R2 of every probe, over all prompts and per category, as a heat table (the paper's tables 1 and 2).

    Parameters
    ----------
    llms : names (M,)
        The rows, from the top.
    columns : names (C,)
        The aggregate and the categories, from the left.
    values, ceilings : (M, C)
        R2 and noise ceiling; nan is written "undefined".
    counts : integers (C,)
        How many prompts each column stands on.
    low, high : (M, C), optional
        The ends of the 95 % interval of R2, for the hover text; nan is written "undefined".

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    values, ceilings, counts = _table(llms, columns, values, ceilings, counts)
    shape = values.shape
    intervals = None
    if low is not None and high is not None:
        intervals = np.stack([shaped("low", low, shape), shaped("high", high, shape)], axis=-1)
    hover = [
        [
            f"<b>{llm}</b>, {spoken(column)}<br>R² {describe(values[i, j], 3)}"
            + (f"<br>{interval_words(*intervals[i, j])}" if intervals is not None else "")
            + f"<br>noise ceiling {describe(ceilings[i, j], 3)}"
            f"<br>explained of it {_share(values[i, j], ceilings[i, j])}<br>{counts[j]:,} prompts"
            for j, column in enumerate(columns)
        ]
        for i, llm in enumerate(llms)
    ]
    trace = go.Heatmap(
        z=np.where(np.isnan(values), 0.0, values),
        x=list(range(shape[1])),
        y=list(range(shape[0])),
        text=[[cell_words(float(value), shape[1]) for value in row] for row in values],
        texttemplate="%{text}",
        textfont=cell_font(shape[1]),
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
        colorscale=VALUES,
        zmin=-1,
        zmax=1,
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure = go.Figure(trace)
    wrapped = ["<br>".join(textwrap.wrap(spoken(column), 14)) for column in columns]
    lines = max(label.count("<br>") + 1 for label in wrapped)
    longest = max(len(column) for column in columns)
    header, height = 14 + LINE * lines, 34 * shape[0]
    tilted = 16 + 0.75 * LETTER * longest
    # More columns than have room for words side by side.
    crowded = shape[1] > 8
    short = [shortened(llm, 22) for llm in llms]
    names = [spoken(column) for column in columns]
    finish(
        figure,
        wide={
            "height": (tilted if crowded else header) + height + 10,
            "margin": {
                "l": label_width(llms, 13),
                "r": 4 + 0.5 * tilted if crowded else 10,
                "t": tilted if crowded else header,
                "b": 10,
            },
            "xaxis": {
                "ticktext": names if crowded else wrapped,
                "tickangle": -40 if crowded else 0,
                "tickfont": {"size": 12 if crowded else 13},
            },
            "yaxis": {"ticktext": list(llms), "tickfont": {"size": 13}},
        },
        narrow={
            "height": tilted + height + 10,
            "margin": {"l": label_width(short, 10), "r": 4 + 0.25 * tilted, "t": tilted, "b": 10},
            "xaxis": {
                "ticktext": names,
                "tickangle": -90 if crowded else -60,
                "tickfont": {"size": 8 if crowded else 10},
            },
            "yaxis": {"ticktext": short, "tickfont": {"size": 10}},
        },
    )
    plain = {
        "ticklabelstandoff": 4,
        "showgrid": False,
        "showline": False,
        "zeroline": False,
        "fixedrange": True,
        "ticks": "",
    }
    figure.update_xaxes(side="top", tickvals=list(range(shape[1])), **plain)
    figure.update_yaxes(autorange="reversed", tickvals=list(range(shape[0])), **plain)
    return figure


def predictability_png(
    llms: Sequence[str], columns: Sequence[str], values: ArrayLike, ceilings: ArrayLike, counts: ArrayLike
) -> bytes:
    """`predictability_table` as a PNG 1,440 pixels wide, with each noise ceiling under its R2 if there is room.

    The parameters and errors are those of `predictability_table`; it is as high as its rows need.
    """
    values, ceilings, counts = _table(llms, columns, values, ceilings, counts)
    n_llms, n_columns = values.shape
    short = [shortened(llm, 26) for llm in llms]
    left = label_width(short, 12)
    cell = (WIDTH - left - 12) / n_columns
    # Header words wrap in their cells; where not even short lines fit, they are tilted.
    tilt = cell < 60
    names = [spoken(column) for column in columns]
    if not tilt:
        names = ["\n".join(textwrap.wrap(name, max(6, int(cell / 6.6)))) for name in names]
    header = 40 + (0.6 * 6.6 * max(map(len, names)) if tilt else 14 * max(name.count("\n") for name in names))
    if tilt:
        # Tilted words lean out to the right of the last cell.
        cell -= 0.4 * header / n_columns
    with_ceilings = cell > 44
    row = 34 if with_ceilings else 26
    picture = blank(header + row * n_llms + 24)
    axes = panel(picture, left, header, cell * n_columns, row * n_llms)
    axes.set(xlim=(0, n_columns), ylim=(n_llms, 0), yticks=np.arange(n_llms) + 0.5, yticklabels=short)
    axes.set_xticks(np.arange(n_columns) + 0.5)
    axes.set_xticklabels(
        [f"{name} ({count:,})" if tilt else f"{name}\n{count:,}" for name, count in zip(names, counts, strict=True)],
        rotation=40 if tilt else 0,
        ha="left" if tilt else "center",
        rotation_mode="anchor" if tilt else "default",
    )
    axes.xaxis.tick_top()
    axes.tick_params(pad=4)
    axes.grid(visible=False)
    for i, j in np.ndindex(values.shape):
        value, ceiling = describe(float(values[i, j])), f"of {describe(float(ceilings[i, j]))}"
        place = 0.5 if np.isnan(values[i, j]) else float(np.clip(values[i, j], -1, 1) + 1) / 2
        axes.add_patch(Rectangle((j + 0.02, i + 0.04), 0.96, 0.92, color=colour_of(place), linewidth=0))
        letters: dict[str, Any] = {"ha": "center", "va": "center", "color": letters_on(place)}
        size = fitting(value, cell, 12) * POINT
        axes.text(j + 0.5, i + (0.36 if with_ceilings else 0.5), value, size=size, **letters)
        if with_ceilings:
            axes.text(j + 0.5, i + 0.74, ceiling, size=fitting(ceiling, cell, 8.5) * POINT, alpha=0.75, **letters)
    said = "R² on test prompts, of the noise ceiling" if with_ceilings else "R² on test prompts"
    write(picture, left, header + row * n_llms + 13, f"{said}; prompts per column", 10)
    return png(picture)


def expected_reward_scatter(
    llms: Sequence[str], categories: Sequence[str], predicted: ArrayLike, actual: ArrayLike
) -> go.Figure:
    """Predicted against empirical expected reward of held-out prompts, one panel per LLM (figures 2 and 7).

    Above a thousand prompts a seeded choice of a thousand is drawn; R2 stands on all of them.

    Parameters
    ----------
    llms : names (M,)
    categories : names (n,)
        The category of every prompt: its colour.
    predicted, actual : (n, M)

    Raises
    ------
    ValueError
        When shapes do not fit or a value is not finite.
    """
    predicted = finite("predicted", predicted, 2, (None, len(llms)))
    actual = finite("actual", actual, 2, predicted.shape)
    n_prompts = predicted.shape[0]
    if len(categories) != n_prompts:
        raise ValueError(f"{len(categories)} categories for {n_prompts} prompts")
    explained = r2(actual, predicted)
    drawn = np.arange(n_prompts)
    if n_prompts > _MAX_PROMPTS:
        drawn = np.sort(np.random.default_rng(0).choice(n_prompts, _MAX_PROMPTS, replace=False))
    category_of = np.asarray(categories, dtype=object)
    x_range = padded(predicted.min(), predicted.max(), 0.03, 0.03)
    y_range = padded(actual.min(), actual.max(), 0.03, 0.03)
    ends = [max(x_range[0], y_range[0]), min(x_range[1], y_range[1])]

    figure = go.Figure()
    for panel_ in range(len(llms)):
        axes = {"xaxis": f"x{suffix(panel_)}", "yaxis": f"y{suffix(panel_)}"}
        if ends[0] < ends[1]:
            line = {"color": INK, "width": 1, "dash": "dot"}
            figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False, **axes)
        for i, category in enumerate(dict.fromkeys(categories)):
            colour, symbol = CATEGORIES[i % len(CATEGORIES)]
            rows = drawn[category_of[drawn] == category]
            figure.add_scatter(
                x=predicted[rows, panel_].round(4),
                y=actual[rows, panel_].round(4),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 5, "opacity": 0.6},
                name=spoken(category),
                legendgroup=category,
                showlegend=panel_ == 0,
                hovertemplate="predicted %{x:.3f}<br>empirical %{y:.3f}",
                **axes,
            )
    named = [(llm, describe(float(value))) for llm, value in zip(llms, explained, strict=True)]
    legend = [spoken(category) for category in dict.fromkeys(categories)]
    wide = [f"<b>{shortened(llm, 28)}</b>  R² {value}" for llm, value in named]
    narrow = [f"<b>{shortened(llm, 20)}</b><br>R² {value}" for llm, value in named]
    finish(
        figure,
        wide=_panels(wide, legend_height(legend, 900), 3, 300, 13),
        narrow=_panels(narrow, legend_height(legend, 270), 2, 200, 10),
    )
    figure.update_xaxes(range=x_range, zeroline=False, nticks=6)
    figure.update_yaxes(range=y_range, zeroline=False, nticks=6)
    return figure


def _table(
    llms: Sequence[str], columns: Sequence[str], values: ArrayLike, ceilings: ArrayLike, counts: ArrayLike
) -> tuple[Floats, Floats, Integers]:
    """The arrays of a table, or `ValueError` when their shapes do not fit the names."""
    shape = (len(llms), len(columns))
    values, ceilings = shaped("values", values, shape), shaped("ceilings", ceilings, shape)
    return values, ceilings, shaped("counts", counts, shape[1:]).astype(np.intp)


def _panels(titles: Sequence[str], legend: float, columns: int, panel_height: float, size: int) -> dict[str, Any]:
    """Axes of a panel for every title in rows of at most `columns`, the titles and the two axis titles."""
    count = len(titles)
    columns = min(columns, count)
    rows = -(-count // columns)
    margin = {"l": 62, "r": 12, "t": 34 + legend, "b": 54}
    height = rows * panel_height
    gap_x, gap_y = 0.14 / columns, 58 / height if rows > 1 else 0.0
    width = (1 - gap_x * (columns - 1)) / columns
    tall = (1 - gap_y * (rows - 1)) / rows
    font = {"size": size - 1}
    layout: dict[str, Any] = {"height": height + margin["t"] + margin["b"], "margin": margin}
    for panel_ in range(count):
        row, column = divmod(panel_, columns)
        name = suffix(panel_)
        left, top = column * (width + gap_x), 1 - row * (tall + gap_y)
        layout[f"xaxis{name}"] = {
            "domain": [left, min(1.0, left + width)], "anchor": f"y{name}", "tickfont": font,
        }  # fmt: skip
        layout[f"yaxis{name}"] = {
            "domain": [max(0.0, top - tall), top], "anchor": f"x{name}", "tickfont": font,
        }  # fmt: skip
    shared = {"xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": size}}
    layout["annotations"] = [
        *(
            {
                "text": title, "align": "left", "showarrow": False, "font": {"size": size},
                "xref": f"x{suffix(panel_)} domain", "x": 0, "xanchor": "left",
                "yref": f"y{suffix(panel_)} domain", "y": 1, "yanchor": "bottom",
            }
            for panel_, title in enumerate(titles)
        ),
        {**shared, "text": "predicted expected reward", "x": 0.5, "y": 0, "yanchor": "top", "yshift": -26},
        {
            **shared, "text": "empirical expected reward", "textangle": -90,
            "x": 0, "y": 0.5, "xanchor": "right", "xshift": -34,
        },
    ]  # fmt: skip
    return layout


def _share(value: float, ceiling: float) -> str:
    """The share of the explainable that is explained; undefined where nothing is explainable."""
    return describe(np.nan) if np.isnan(value) or not ceiling > 0 else f"{max(0.0, value) / ceiling:.0%}"
