"""The paper's figures from arrays: Plotly for pages, matplotlib for small pictures.

What belongs here: how a figure looks, once for every place that shows it: colours and symbols of policies
and categories, labels, hover texts, layout on wide and narrow pages. What to keep out: computing what is
shown (`erp.metrics`, `erp.frontier`), files, and the page around the figures.

Figures have no background and a grid and letters of medium contrast, legible on light and dark. A page that
includes `PAGE_CSS` gives the letters its own text colour, and `fragment` lays a figure out anew when its
place on the page is narrow.
"""

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure as Picture
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, finite
from erp.frontier import Frontier, Point
from erp.metrics import describe, r2

# Letters and grid, between black and white: 4:1 on either.
INK = "#7b818b"
GRID = "rgba(128, 134, 145, 0.28)"


class PolicyStyle(NamedTuple):
    """How a policy looks in every figure: `symbol` is Plotly's name, `marker` matplotlib's."""

    label: str
    colour: str
    symbol: str
    marker: str
    dash: Literal["solid", "dash", "dot"] = "solid"


POLICIES: Mapping[str, PolicyStyle] = {
    "erp": PolicyStyle("ERP", "#2f7fe0", "circle", "o"),
    "oracle": PolicyStyle("oracle", "#1fa37a", "star", "*", "dash"),
    "fixed": PolicyStyle("one LLM for all", "#8d8f96", "square", "s"),
    "random": PolicyStyle("random", "#d9635b", "x", "X"),
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

# R2: orange below 0, where a constant would predict better, and blue up to 1.
_R2_COLOURS = [(0.0, "#d06a30"), (0.5, "#e6e9ef"), (0.75, "#a6c8f0"), (0.875, "#7db0ea"), (1.0, "#2b6cc4")]

# A figure takes its letters' colour from the page, except on coloured cells and hover labels.
PAGE_CSS = """
.js-plotly-plot .main-svg :is([class$="tick"], .annotation, .g-xtitle, .g-ytitle, .legend) text {
  fill: currentColor !important;
}
"""

_NARROW = 600
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
""".replace("NARROW", str(_NARROW))

_MAX_POINTS = 400
_MAX_PROMPTS = 1000
_LETTER = 6.8
_LINE = 15.0


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


def predictability_table(
    llms: Sequence[str], columns: Sequence[str], values: ArrayLike, ceilings: ArrayLike, counts: ArrayLike
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

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    values, ceilings = np.asarray(values, dtype=np.float64), np.asarray(ceilings, dtype=np.float64)
    counts = np.asarray(counts)
    shape = (len(llms), len(columns))
    for name, array, expected in (("values", values, shape), ("ceilings", ceilings, shape)):
        if array.shape != expected:
            raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    if counts.shape != shape[1:]:
        raise ValueError(f"counts has shape {counts.shape}, expected {shape[1:]}")

    hover = [
        [
            f"<b>{llm}</b>, {_spoken(column)}<br>R² {describe(value, 3)}"
            f"<br>noise ceiling {describe(ceiling, 3)}<br>explained of it {_share(value, ceiling)}"
            f"<br>{count:,} prompts"
            for column, value, ceiling, count in zip(columns, row, row_ceilings, counts, strict=True)
        ]
        for llm, row, row_ceilings in zip(llms, values, ceilings, strict=True)
    ]
    undefined = np.isnan(values)
    trace = go.Heatmap(
        z=np.where(undefined, 0.0, values),
        x=list(range(shape[1])),
        y=list(range(shape[0])),
        text=[[_cell(value) for value in row] for row in values],
        texttemplate="%{text}",
        textfont={"size": 12},
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
        colorscale=_R2_COLOURS,
        zmin=-1,
        zmax=1,
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure = go.Figure(trace)
    wrapped = ["<br>".join(textwrap.wrap(_spoken(column), 14)) for column in columns]
    lines = max(label.count("<br>") + 1 for label in wrapped)
    longest = max(len(column) for column in columns)
    header, height = 14 + _LINE * lines, 34 * shape[0]
    tilted = 16 + 0.75 * _LETTER * longest
    short = [_shortened(llm, 22) for llm in llms]
    _finish(
        figure,
        wide={
            "height": header + height + 10,
            "margin": {"l": _label_width(llms, 13), "r": 10, "t": header, "b": 10},
            "xaxis": {"ticktext": wrapped, "tickangle": 0, "tickfont": {"size": 13}},
            "yaxis": {"ticktext": list(llms), "tickfont": {"size": 13}},
        },
        narrow={
            "height": tilted + height + 10,
            "margin": {"l": _label_width(short, 10), "r": 4 + 0.25 * tilted, "t": tilted, "b": 10},
            "xaxis": {
                "ticktext": [_spoken(column) for column in columns],
                "tickangle": -60,
                "tickfont": {"size": 10},
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
    x_range = _padded(predicted.min(), predicted.max(), 0.03, 0.03)
    y_range = _padded(actual.min(), actual.max(), 0.03, 0.03)
    ends = [max(x_range[0], y_range[0]), min(x_range[1], y_range[1])]

    figure = go.Figure()
    for panel in range(len(llms)):
        axes = {"xaxis": f"x{_suffix(panel)}", "yaxis": f"y{_suffix(panel)}"}
        if ends[0] < ends[1]:
            line = {"color": INK, "width": 1, "dash": "dot"}
            figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False, **axes)
        for i, category in enumerate(dict.fromkeys(categories)):
            colour, symbol = CATEGORIES[i % len(CATEGORIES)]
            rows = drawn[category_of[drawn] == category]
            figure.add_scatter(
                x=predicted[rows, panel].round(4),
                y=actual[rows, panel].round(4),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 5, "opacity": 0.6},
                name=_spoken(category),
                legendgroup=category,
                showlegend=panel == 0,
                hovertemplate="predicted %{x:.3f}<br>empirical %{y:.3f}",
                **axes,
            )
    named = [(llm, describe(value)) for llm, value in zip(llms, explained, strict=True)]
    legend = [_spoken(category) for category in dict.fromkeys(categories)]
    wide = [f"<b>{_shortened(llm, 28)}</b>  R² {value}" for llm, value in named]
    narrow = [f"<b>{_shortened(llm, 24)}</b><br>R² {value}" for llm, value in named]
    _finish(figure, wide=_panels(wide, legend, 3, 300, 13), narrow=_panels(narrow, legend, 2, 200, 10))
    figure.update_xaxes(range=x_range, zeroline=False, nticks=6)
    figure.update_yaxes(range=y_range, zeroline=False, nticks=6)
    return figure


def frontier_figure(
    frontiers: Mapping[str, Frontier],
    fixed: Mapping[str, Point],
    random: Point,
    *,
    cost_label: str = "mean cost per prompt",
) -> go.Figure:
    """Mean regret against mean cost of every policy (the paper's figures 1b, 5 and 6).

    Of a frontier its non-dominated part is drawn, as steps: with money for a point and not yet for the next,
    the regret is the point's. Of many breakpoints at most 400 are drawn, evenly along the line.

    Parameters
    ----------
    frontiers : policy -> Frontier
        Keys are those of `POLICIES`; drawn in the given order.
    fixed : LLM -> Point
        What each LLM spends and earns when it answers every prompt.
    random : Point
        The uniform random choice.
    cost_label : str
        The title of the cost axis, with the unit.

    Raises
    ------
    KeyError
        When a frontier's policy is not in `POLICIES`.
    """
    figure = go.Figure()
    lines = {policy: _drawn(frontier) for policy, frontier in frontiers.items()}
    for policy, kept in lines.items():
        style, frontier = POLICIES[policy], frontiers[policy]
        figure.add_scatter(
            x=frontier.cost[kept],
            y=frontier.regret[kept],
            customdata=np.column_stack([frontier.exchange_rate[kept], frontier.reward[kept]]),
            mode="lines",
            line={
                "color": style.colour,
                "width": 3 if policy == "erp" else 2,
                "dash": style.dash,
                "shape": "hv",
            },
            name=style.label,
            legendgroup=policy,
            hovertemplate="λ %{customdata[0]:.4g}<br>cost %{x:.4g}<br>regret %{y:.4f}<br>reward %{customdata[1]:.4f}",
        )
        # The dearest end, also all there is to see of a frontier of one point.
        figure.add_scatter(
            x=frontier.cost[kept[-1:]],
            y=frontier.regret[kept[-1:]],
            mode="markers",
            marker={"color": style.colour, "symbol": style.symbol, "size": 10},
            legendgroup=policy,
            showlegend=False,
            hoverinfo="skip",
        )
    for policy, points in (("fixed", fixed), ("random", {POLICIES["random"].label: random})):
        style = POLICIES[policy]
        figure.add_scatter(
            x=[point.cost for point in points.values()],
            y=[point.regret for point in points.values()],
            customdata=[[name, point.reward] for name, point in points.items()],
            mode="markers",
            marker={"color": style.colour, "symbol": style.symbol, "size": 9},
            name=style.label,
            hovertemplate="<b>%{customdata[0]}</b><br>cost %{x:.4g}<br>regret %{y:.4f}"
            "<br>reward %{customdata[1]:.4f}<extra></extra>",
        )
    window = _Window.around(frontiers, lines, fixed, random)
    legend = [POLICIES[policy].label for policy in (*frontiers, "fixed", "random")]
    layouts = []
    for width, height, size, columns in ((700, 380, 12, 3), (300, 320, 10, 2)):
        places = _place_labels(window, width, height, size, frontiers, lines, fixed, random)
        font = {"size": size}
        top = 16 + _legend_height(legend, columns)
        layouts.append(
            {
                "height": height + top + 54,
                "margin": {"l": 60, "r": 16, "t": top, "b": 54},
                "annotations": [_annotation(label, font) for label in places],
                "xaxis": {"tickfont": font, "title": {"font": {"size": size + 1}}},
                "yaxis": {"tickfont": font, "title": {"font": {"size": size + 1}}},
                "legend": {"font": font},
            }
        )
    _finish(figure, wide=layouts[0], narrow=layouts[1])
    figure.update_xaxes(range=window.x, title={"text": cost_label, "standoff": 8}, zeroline=False)
    figure.update_yaxes(range=window.y, title={"text": "mean regret", "standoff": 8}, zeroline=False)
    return figure


def frontier_png(
    frontiers: Mapping[str, Frontier],
    fixed: Mapping[str, Point],
    random: Point,
    *,
    cost_label: str = "mean cost per prompt",
) -> bytes:
    """`frontier_figure` as a PNG of 1,440 x 840 pixels without a background, drawn without a browser."""
    width, height, size = 720, 420, 11
    picture = Picture(figsize=(width / 100, height / 100), dpi=200)
    left, bottom, right, top = 0.09, 0.12, 0.985, 0.92
    axes = picture.add_axes((left, bottom, right - left, top - bottom))
    axes.patch.set_visible(False)
    lines = {policy: _drawn(frontier) for policy, frontier in frontiers.items()}
    for policy, kept in lines.items():
        style, frontier = POLICIES[policy], frontiers[policy]
        dash = {"solid": "-", "dash": "--", "dot": ":"}[style.dash]
        axes.plot(
            frontier.cost[kept],
            frontier.regret[kept],
            drawstyle="steps-post",
            linestyle=dash,
            linewidth=2.2 if policy == "erp" else 1.6,
            color=style.colour,
            marker=style.marker,
            markevery=[len(kept) - 1],
            label=style.label,
        )
    for policy, points in (("fixed", list(fixed.values())), ("random", [random])):
        style = POLICIES[policy]
        axes.plot(
            [point.cost for point in points],
            [point.regret for point in points],
            style.marker,
            color=style.colour,
            label=style.label,
        )
    window = _Window.around(frontiers, lines, fixed, random)
    axes.set(xlim=window.x, ylim=window.y)
    axes.set_xlabel(cost_label, color=INK, size=size - 1)
    axes.set_ylabel("mean regret", color=INK, size=size - 1)
    axes.tick_params(colors=INK, labelsize=size - 2, length=0)
    axes.grid(color="#80869147", linewidth=0.8)
    axes.spines[:].set_visible(False)
    inner = (right - left) * width, (top - bottom) * height
    for label in _place_labels(window, *inner, size, frontiers, lines, fixed, random):
        axes.annotate(
            label.text,
            (label.x, label.y),
            # Matplotlib's unit is a point, 1/72 inch, of a picture laid out in pixels of 1/100 inch.
            xytext=(label.dx * 0.72, -label.dy * 0.72),
            textcoords="offset points",
            ha=label.anchor,
            va="center",
            size=size * 0.72,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.6} if label.leader else None,
        )
    picture.legend(
        loc="upper left",
        bbox_to_anchor=(left - 0.01, 1.0),
        ncols=8,
        frameon=False,
        labelcolor=INK,
        fontsize=size - 2,
    )
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", transparent=True)
    return buffer.getvalue()


def _finish(figure: go.Figure, wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    """The looks that all figures share, the wide layout to begin with, and both for the page's script."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "family": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 12},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "itemsizing": "constant",
        },
        hoverlabel={"align": "left"},
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


def _panels(
    titles: Sequence[str], legend: Sequence[str], columns: int, panel_height: float, size: int
) -> dict[str, Any]:
    """Axes of a panel for every title in rows of at most `columns`, the titles and the two axis titles."""
    count = len(titles)
    columns = min(columns, count)
    rows = -(-count // columns)
    margin = {"l": 62, "r": 12, "t": 34 + _legend_height(legend, columns), "b": 54}
    height = rows * panel_height
    gap_x, gap_y = 0.14 / columns, 58 / height if rows > 1 else 0.0
    width = (1 - gap_x * (columns - 1)) / columns
    tall = (1 - gap_y * (rows - 1)) / rows
    font = {"size": size - 1}
    layout: dict[str, Any] = {"height": height + margin["t"] + margin["b"], "margin": margin}
    for panel in range(count):
        row, column = divmod(panel, columns)
        name = _suffix(panel)
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
                "xref": f"x{_suffix(panel)} domain", "x": 0, "xanchor": "left",
                "yref": f"y{_suffix(panel)} domain", "y": 1, "yanchor": "bottom",
            }
            for panel, title in enumerate(titles)
        ),
        {**shared, "text": "predicted expected reward", "x": 0.5, "y": 0, "yanchor": "top", "yshift": -26},
        {
            **shared, "text": "empirical expected reward", "textangle": -90,
            "x": 0, "y": 0.5, "xanchor": "right", "xshift": -34,
        },
    ]  # fmt: skip
    return layout


def _legend_height(labels: Sequence[str], columns: int) -> float:
    """What a legend above the panels takes: its entries wrap at the width of a wide or a narrow page."""
    available = 300.0 if columns < 3 else 600.0
    rows, used = 1, 0.0
    for label in labels:
        entry = 44 + len(label) * _LETTER
        if used and used + entry > available:
            rows, used = rows + 1, 0.0
        used += entry
    return 8 + 29.0 * rows


def _suffix(panel: int) -> str:
    """What Plotly adds to "x" or "xaxis" for the axes of a panel."""
    return "" if panel == 0 else str(panel + 1)


def _drawn(frontier: Frontier) -> Integers:
    """Of the non-dominated points at most 400, evenly along the line, ends included; cost rises."""
    kept = frontier.non_dominated()
    if kept.size <= _MAX_POINTS:
        return kept
    cost, regret = frontier.cost[kept], frontier.regret[kept]
    length = np.diff(cost) / np.ptp(cost) - np.diff(regret) / np.ptp(regret)
    along = np.concatenate([[0.0], np.cumsum(length)])
    chosen = np.searchsorted(along, np.linspace(0.0, along[-1], _MAX_POINTS))
    return np.asarray(kept[np.unique(np.minimum(chosen, kept.size - 1))])


class _Window(NamedTuple):
    """The ranges of cost and regret that a frontier figure shows."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(
        cls,
        frontiers: Mapping[str, Frontier],
        lines: Mapping[str, Integers],
        fixed: Mapping[str, Point],
        random: Point,
    ) -> "_Window":
        points = [*fixed.values(), random]
        cost = [point.cost for point in points]
        regret = [0.0, *(point.regret for point in points)]
        for policy, kept in lines.items():
            cost += list(frontiers[policy].cost[kept])
            regret += list(frontiers[policy].regret[kept])
        return cls(_padded(min(cost), max(cost), 0.03, 0.05), _padded(0.0, max(regret), 0.03, 0.07))

    def pixels(self, x: ArrayLike, y: ArrayLike, width: float, height: float) -> Floats:
        """Points in pixels from the upper left corner, (k, 2)."""
        return np.column_stack(
            [
                (np.asarray(x, dtype=np.float64) - self.x[0]) / (self.x[1] - self.x[0]) * width,
                (self.y[1] - np.asarray(y, dtype=np.float64)) / (self.y[1] - self.y[0]) * height,
            ]
        )


class _Label(NamedTuple):
    """A text beside the point (x, y): its edge or middle is (dx, dy) pixels right of and below the point."""

    text: str
    x: float
    y: float
    dx: float
    dy: float
    anchor: Literal["left", "center", "right"]
    leader: bool


def _place_labels(
    window: _Window,
    width: float,
    height: float,
    size: float,
    frontiers: Mapping[str, Frontier],
    lines: Mapping[str, Integers],
    fixed: Mapping[str, Point],
    random: Point,
) -> list[_Label]:
    """Names beside the points, clear of points, lines and each other; what finds no place is left to hover.

    Greedy, the most crowded points first: of the places around a point, nearest first, the one that covers
    least.
    """
    points = [*fixed.items(), (POLICIES["random"].label, random)]
    centres = window.pixels([p.cost for _, p in points], [p.regret for _, p in points], width, height)
    obstacles = [centres]
    for policy, kept in lines.items():
        cost, regret = frontiers[policy].cost[kept], frontiers[policy].regret[kept]
        corners = window.pixels(np.repeat(cost, 2)[1:], np.repeat(regret, 2)[:-1], width, height)
        obstacles.append(_along(corners))
    crowd = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1)) < 60
    taken: list[tuple[Floats, Floats]] = []
    labels = []
    for i in np.argsort(-crowd.sum(axis=1), kind="stable"):
        name, point = points[i]
        text = _shortened(name, 32 if width > _NARROW else 24)
        half = np.array([len(text) * _LETTER, _LINE]) * size / 12 / 2
        occupied = np.concatenate(obstacles)
        best: tuple[float, _Label, Floats, Floats, Floats] | None = None
        for distance in (9.0, 26.0, 44.0, 66.0, 90.0):
            leader = distance > 9.0
            for right, down in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
                edge = np.array([right, down]) * distance * (0.75 if right and down else 1.0)
                middle = centres[i] + edge + (right * half[0], down * half[1])
                low, high = middle - half - 2, middle + half + 2
                line = _along(np.stack([centres[i], centres[i] + edge])) if leader else centres[[i]]
                if (
                    np.any(low < 0)
                    or np.any(high > (width, height))
                    or any(np.all(low < box[1]) and np.all(high > box[0]) for box in taken)
                    or any(np.all((line > box[0]) & (line < box[1]), axis=1).any() for box in taken)
                ):
                    continue
                covered = int(np.all((occupied > low) & (occupied < high), axis=1).sum())
                crossed = int((np.hypot(*(centres - line[-1:]).T) < 6).sum()) if leader else 0
                penalty = covered + 5 * crossed + distance / 10
                if covered < 12 and (best is None or penalty < best[0]):
                    anchor: Literal["left", "center", "right"] = (
                        "left" if right > 0 else "right" if right < 0 else "center"
                    )
                    dy = float(edge[1] + down * half[1])
                    label = _Label(text, point.cost, point.regret, float(edge[0]), dy, anchor, leader)
                    best = (penalty, label, low, high, line)
        if best is not None:
            _, label, low, high, line = best
            taken.append((low, high))
            obstacles.append(line)
            labels.append(label)
    return labels


def _along(corners: Floats, step: float = 3.0) -> Floats:
    """Points every few pixels along a line through the corners (k, 2)."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.linspace(0.0, length[-1], int(length[-1] / step) + 2)
    return np.column_stack([np.interp(at, length, corners[:, 0]), np.interp(at, length, corners[:, 1])])


def _annotation(label: _Label, font: dict[str, Any]) -> dict[str, Any]:
    """A placed label as a Plotly annotation."""
    place = {
        "x": label.x,
        "y": label.y,
        "text": label.text,
        "font": font,
        "xanchor": label.anchor,
        "yanchor": "middle",
    }
    if not label.leader:
        return {**place, "showarrow": False, "xshift": label.dx, "yshift": -label.dy}
    line = {"arrowhead": 0, "arrowwidth": 0.8, "arrowcolor": INK, "standoff": 5, "borderpad": 0}
    return {**place, **line, "showarrow": True, "ax": label.dx, "ay": label.dy}


def _padded(low: float, high: float, before: float, after: float) -> tuple[float, float]:
    """A range with a share of its length added at either end; a point becomes a range around itself."""
    length = high - low or abs(high) or 1.0
    return float(low - before * length), float(high + after * length)


def _cell(value: float) -> str:
    """R2 in a cell of a heat table; the word for nan is long and set small."""
    return f'<span style="font-size: 8px">{describe(value)}</span>' if np.isnan(value) else describe(value)


def _share(value: float, ceiling: float) -> str:
    """The share of the explainable that is explained; undefined where nothing is explainable."""
    return describe(np.nan) if np.isnan(value) or not ceiling > 0 else f"{max(0.0, value) / ceiling:.0%}"


def _label_width(labels: Sequence[str], size: int) -> float:
    return 14 + max(len(label) for label in labels) * _LETTER * size / 12


def _shortened(text: str, length: int) -> str:
    """At most `length` letters; what goes is in the middle, as the end of an LLM's name says its size."""
    tail = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[-tail:]}"


def _spoken(name: str) -> str:
    """A name from a pool file as words."""
    return name.replace("_", " ")
