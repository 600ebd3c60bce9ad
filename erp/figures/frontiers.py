"""Mean regret against mean cost of every policy: the paper's figures 1b, 5 and 6.

What belongs here: how frontiers, their intervals and single points are drawn. What to keep out: computing them
(`erp.frontier`, `erp.summaries`), placing names (`labels`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from erp._check import Floats, Integers
from erp.figures.labels import Label, Line, Named, Window, place_labels, steps
from erp.figures.layout import finish, interval_words, label_width, legend_height, reach, shaped, share_words
from erp.figures.pictures import POINT, blank, legend, legend_rows, panel, png
from erp.figures.style import GRID, INK, POLICIES
from erp.frontier import Frontier
from erp.policies import PAPER, reads_features

_MAX_POINTS, _MAX_INTERVALS = 250, 150
_MAX_LLMS = 8
_SYMBOLS = 5
_OWN_BAND = "ERP"
_BAND = "95 % interval of ERP"
_BANDS = "intervals of the others"
# The share of the panel below which curves deserve a closer look.
_CROWDED = 0.4
_INSET = (0.44, 0.5)
_FIXED, _RANDOM = "always", "random"
_ASIDE = "rivals that read what ERP reads"


class Curve(NamedTuple):
    """A policy's frontier of B points with what a reader may ask about each.

    `shares` (B, M): the share of prompts sent to each LLM. `low`, `high` (B,): the ends of the 95 % interval of the
    regret, nan where it was not computed.
    """

    frontier: Frontier
    shares: Floats
    low: Floats
    high: Floats


class _Band(NamedTuple):
    """The interval of the regret at drawn points, by their places (k,)."""

    points: Integers
    low: Floats
    high: Floats


def frontier_figure(
    curves: Mapping[str, Curve],
    fixed: Mapping[str, Curve],
    random: Curve,
    llms: Sequence[str],
    *,
    cost_label: str = "mean cost per prompt",
) -> go.Figure:
    """Mean regret against mean cost of every policy (the paper's figures 1b, 5 and 6).

    Of a frontier its non-dominated part is drawn, as steps: with money for a point and not yet for the next,
    the regret is the point's. Of many breakpoints at most 250 are drawn, evenly along the line, and up to 150 that
    have an interval. The band runs through the intervals of the points that are drawn; between them its
    distance from the line is interpolated. Only ERP's band is shown; the legend turns on the others', and the lines
    that only a closer look needs: the paper's probe, and together those of rivals that read what ERP reads.

    Parameters
    ----------
    curves : policy -> Curve
        Keys are those of `POLICIES`; ERP is the widest line, its symbols lie above all.
    fixed : LLM -> Curve of one point
        What each LLM spends and earns when it answers every prompt.
    random : Curve of one point
        The uniform random choice.
    llms : names (M,)
        The columns of all shares.
    cost_label : str
        The title of the cost axis, with the unit.

    Raises
    ------
    KeyError
        When a curve's policy is not in `POLICIES`.
    ValueError
        When shapes do not fit or a point is not one.
    """
    drawing = _Drawing.of(curves, fixed, random, llms)
    figure = go.Figure()
    others = [policy for policy in drawing.bands if policy != _OWN_BAND and not _is_aside(policy)]
    for policy in others:
        _add_band(figure, drawing, policy, name=_BANDS, group="bands", visible="legendonly", first=policy == others[0])
    if _OWN_BAND in drawing.bands:
        _add_band(figure, drawing, _OWN_BAND, name=_BAND, group="band", visible=True, first=True)
    _add_lines(figure, drawing, llms)
    labels = [*_add_legend(figure, curves), *_add_singles(figure, fixed, random, llms, len(curves) + 1)]
    labels += [_BAND, _BANDS] if others else [_BAND] if drawing.bands else []
    layouts = []
    for width, height, size, across in ((700, 440, 12, 900), (300, 320, 10, 270)):
        font = {"size": size}
        texts = [_annotation(label, font) for label in drawing.names(width, height, size)]
        mark = drawing.oracle_label(width, height, size)
        if mark is not None:
            colour = POLICIES["oracle"].colour
            coloured = mark._replace(text=f'<span style="color:{colour}">{mark.text}</span>')
            texts.append(_annotation(coloured, font))
        top = legend_height(labels, across, size)
        layouts.append(
            {
                "height": height + top + 54,
                # The legend pushes the panel down by as much as it takes.
                "margin": {"l": 60, "r": 16, "t": 16, "b": 54},
                "annotations": texts,
                "xaxis": {"tickfont": font, "title": {"font": {"size": size + 1}}},
                "yaxis": {"tickfont": font, "title": {"font": {"size": size + 1}}},
                "legend": {"font": font, "xref": "paper" if width > 600 else "container"},
            }
        )
    finish(figure, wide=layouts[0], narrow=layouts[1])
    figure.update_layout(legend_itemsizing="trace", updatemenus=_zoom(drawing))
    figure.update_xaxes(range=drawing.window.x, title={"text": cost_label, "standoff": 8}, zeroline=False)
    figure.update_yaxes(range=drawing.window.y, title={"text": "mean regret", "standoff": 8}, zeroline=False)
    return figure


def frontier_png(
    curves: Mapping[str, Curve],
    fixed: Mapping[str, Curve],
    random: Curve,
    llms: Sequence[str],
    *,
    cost_label: str = "mean cost per prompt",
) -> bytes:
    """`frontier_figure` as a PNG of 1,440 x 840 pixels without a background, drawn without a browser.

    Without the lines that the figure shows only on a click.
    """
    curves = {policy: curve for policy, curve in curves.items() if not _is_aside(policy)}
    drawing = _Drawing.of(curves, fixed, random, llms)
    left, size, width = 62, 11, 720
    entries: list[tuple[Any, str]] = []
    for policy in curves:
        style = POLICIES[policy]
        handle = Line2D([], [], **(style.stroke(POINT) | style.face), markersize=7 * POINT)
        entries.append((handle, style.label))
    for policy in (_FIXED, _RANDOM):
        style = POLICIES[policy]
        handle = Line2D([], [], linestyle="", **style.face, markersize=8 * POINT)
        entries.append((handle, style.label))
    if _OWN_BAND in drawing.bands:
        entries.append((Patch(color=POLICIES[_OWN_BAND].colour, alpha=0.25, linewidth=0), _BAND))
    picture = blank()
    top = 12 + 20 * len(legend_rows([label for _, label in entries], width - left))
    inner = width - left - 12, 420 - top - 48
    axes = panel(picture, left, top, *inner)
    _draw(axes, drawing, fixed, random)
    axes.set(xlim=drawing.window.x, ylim=drawing.window.y)
    axes.set_xlabel(cost_label, color=INK, size=13 * POINT)
    axes.set_ylabel("mean regret", color=INK, size=13 * POINT)
    texts = [(label, INK) for label in drawing.names(*inner, size)]
    mark = drawing.oracle_label(*inner, size)
    if mark is not None:
        texts.append((mark, POLICIES["oracle"].colour))
    for label, colour in texts:
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(label.dx * POINT, -label.dy * POINT),
            textcoords="offset points",
            ha=label.anchor,
            va="center",
            size=size * POINT,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.6} if label.leader else None,
        )
    start = _free_corner(drawing, [label for label, _ in texts], *inner, size)
    if start is not None:
        # What the page's button shows.
        closer = panel(picture, left + start, top + 6, inner[0] * _INSET[0], inner[1] * _INSET[1])
        _draw(closer, drawing, fixed, random)
        close = drawing.close()
        closer.set(xlim=close.x, ylim=close.y)
        closer.tick_params(labelsize=9 * POINT)
        closer.spines[:].set(visible=True, color=INK, linewidth=0.6)
        axes.indicate_inset((close.x[0], close.y[0], np.ptp(close.x), np.ptp(close.y)), edgecolor=INK, linewidth=0.6)
    legend(picture, left, 4, width - left, entries)
    return png(picture)


class _Drawing(NamedTuple):
    """What both versions of the figure show: checked, thinned, and the window around what is shown unasked."""

    curves: Mapping[str, Curve]
    kept: Mapping[str, Integers]
    bands: Mapping[str, _Band]
    points: Sequence[Named]
    bars: Sequence[Line]
    window: Window

    @classmethod
    def of(
        cls, curves: Mapping[str, Curve], fixed: Mapping[str, Curve], random: Curve, llms: Sequence[str]
    ) -> "_Drawing":
        singles = [*fixed.items(), (POLICIES[_RANDOM].label, random)]
        for name, curve in (*curves.items(), *singles):
            _check(name, curve, len(llms))
        for name, curve in singles:
            if len(curve.frontier) != 1:
                raise ValueError(f"{name} must have one point, got {len(curve.frontier)}")
        for policy in curves:
            if policy not in POLICIES:
                raise KeyError(f"{policy!r} is not one of {', '.join(POLICIES)}")
        kept = {policy: _drawn(curve) for policy, curve in curves.items()}
        bands = {policy: _band(curve, kept[policy]) for policy, curve in curves.items()}
        bands = {policy: band for policy, band in bands.items() if band.points.size > 1}
        points = [
            Named(name, float(curve.frontier.cost[0]), float(curve.frontier.regret[0])) for name, curve in singles
        ]
        bars = [
            (np.full(2, point.x), point.y + np.nan_to_num(_ends(curve)) * (-1, 1))
            for point, (_, curve) in zip(points, singles, strict=True)
        ]
        x = [point.x for point in points]
        y = [float(end) for _, ends in bars for end in ends]
        for policy, drawn in kept.items():
            if not _is_aside(policy):
                x += curves[policy].frontier.cost[drawn].tolist()
                y += curves[policy].frontier.regret[drawn].tolist()
        if _OWN_BAND in bands:
            y += bands[_OWN_BAND].high.tolist()
        return cls(curves, kept, bands, points, bars, Window.around(x, y))

    @property
    def shown(self) -> dict[str, Integers]:
        """The drawn points of every policy that is shown unasked."""
        return {policy: kept for policy, kept in self.kept.items() if not _is_aside(policy)}

    def close(self) -> Window:
        """The window around the curves, and whole error bars of the single points among them."""
        x, y = [], []
        for policy, kept in self.shown.items():
            x += self.curves[policy].frontier.cost[kept].tolist()
            y += self.curves[policy].frontier.regret[kept].tolist()
        if not x:
            return self.window
        ends = (min(x), max(x)), max(y)
        for point, (_, bar) in zip(self.points, self.bars, strict=True):
            if ends[0][0] <= point.x <= ends[0][1] and point.y <= ends[1]:
                y += bar.tolist()
        return Window.around(x, y)

    def crowded(self) -> bool:
        """Whether single points far off leave the curves little room."""
        close, whole = self.close(), self.window
        return bool(np.ptp(close.x) * np.ptp(close.y) < _CROWDED * np.ptp(whole.x) * np.ptp(whole.y))

    def marked(self, policy: str) -> Integers:
        """The points that carry the policy's symbol."""
        rank = list(self.curves).index(policy)
        return self.kept[policy][_marked(self.curves[policy].frontier, self.kept[policy], rank / len(self.curves))]

    def lines(self) -> list[Line]:
        """Everything that a name should not cover."""
        frontiers = [(self.curves[policy].frontier, kept) for policy, kept in self.shown.items()]
        return [*(steps(frontier.cost[kept], frontier.regret[kept]) for frontier, kept in frontiers), *self.bars]

    def names(self, width: float, height: float, size: float) -> list[Label]:
        """Where the single points' names go."""
        return place_labels(self.window, width, height, size, self.points, self.lines())

    def oracle_label(self, width: float, height: float, size: float) -> Label | None:
        """The oracle's name under its line: nothing can lie between the oracle and no regret."""
        if "oracle" not in self.kept or self.kept["oracle"].size < 2:
            return None
        frontier, kept = self.curves["oracle"].frontier, self.kept["oracle"]
        corner = self.window.pixels(frontier.cost[kept], frontier.regret[kept], width, height)
        text = POLICIES["oracle"].label
        # Letters 7 wide and a gap to the line; the line must leave room for them below and on the left.
        room = (corner[:, 0] > 7 * len(text) + 10) & (corner[:, 1] < height - 26)
        if not room.any():
            return None
        middle = np.flatnonzero(room)[room.sum() // 2]
        place = kept[middle]
        return Label(text, float(frontier.cost[place]), float(frontier.regret[place]), -6, 10, "right", False)


def _is_aside(policy: str) -> bool:
    """Whether a policy's line is shown only when it is asked for."""
    return policy == PAPER or reads_features(policy)


def _group(policy: str) -> str:
    """What a click on the legend turns on and off together: a policy, or all rivals that read what ERP reads."""
    return _ASIDE if reads_features(policy) else policy


def _visible(policy: str) -> bool | str:
    return "legendonly" if _is_aside(policy) else True


def _add_lines(figure: go.Figure, drawing: _Drawing, llms: Sequence[str]) -> None:
    """Every policy's line and its symbols, without a place in the legend."""
    # ERP is the widest: the others' thinner lines are drawn over its line, its symbols over theirs.
    for policy in sorted(drawing.curves, key=_OWN_BAND.__ne__):
        kept, curve = drawing.kept[policy], drawing.curves[policy]
        style, frontier = POLICIES[policy], curve.frontier
        figure.add_scatter(
            x=frontier.cost[kept],
            y=frontier.regret[kept],
            customdata=np.column_stack([frontier.exchange_rate[kept], frontier.reward[kept]]),
            text=_said(kept, curve, drawing.bands.get(policy), llms),
            mode="lines",
            line={**style.line, "shape": "hv"},
            name=style.label,
            legendgroup=_group(policy),
            visible=_visible(policy),
            showlegend=False,
            hovertemplate=f"<b>{style.label}</b><br>λ %{{customdata[0]:.4g}}<br>cost %{{x:.4g}}"
            "<br>reward %{customdata[1]:.4f}<br>regret %{y:.4f}%{text}<extra></extra>",
        )
    for policy in sorted(drawing.curves, key=_OWN_BAND.__eq__):
        style, frontier = POLICIES[policy], drawing.curves[policy].frontier
        marked = drawing.marked(policy)
        figure.add_scatter(
            x=frontier.cost[marked],
            y=frontier.regret[marked],
            mode="markers",
            marker={**style.points, "size": 9 if policy == _OWN_BAND else 7},
            name=style.label,
            legendgroup=_group(policy),
            visible=_visible(policy),
            showlegend=False,
            hoverinfo="skip",
        )


def _add_legend(figure: go.Figure, curves: Mapping[str, Curve]) -> list[str]:
    """The legend's entries of the policies, whose names are returned."""
    # In the given order, the line with its symbol: the traces above have one or the other.
    labels = []
    named: dict[str, str] = {}
    for policy in curves:
        named.pop(_group(policy), None)
        named[_group(policy)] = policy  # where its last one stands
    for rank, (group, policy) in enumerate(named.items()):
        style = POLICIES[policy]
        name = style.label if group == policy else group
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines+markers",
            line=style.line,
            marker={**style.points, "size": 9},
            name=name,
            legendgroup=group,
            legendrank=rank + 1,
            visible=_visible(policy),
        )
        labels.append(name)
    return labels


def _add_singles(
    figure: go.Figure, fixed: Mapping[str, Curve], random: Curve, llms: Sequence[str], rank: int
) -> list[str]:
    """The points of every LLM alone and of the random choice, last in the legend; the names of their entries."""
    for policy, points in ((_FIXED, fixed), (_RANDOM, {POLICIES[_RANDOM].label: random})):
        style = POLICIES[policy]
        said = [_said(np.array([0]), curve, None, llms if policy == _RANDOM else ())[0] for curve in points.values()]
        ends = np.array([_ends(curve) for curve in points.values()])
        figure.add_scatter(
            x=[curve.frontier.cost[0] for curve in points.values()],
            y=[curve.frontier.regret[0] for curve in points.values()],
            customdata=[[name, curve.frontier.reward[0]] for name, curve in points.items()],
            text=said,
            error_y={
                "type": "data", "symmetric": False, "array": ends[:, 1], "arrayminus": ends[:, 0],
                "color": style.colour, "thickness": 1.5, "width": 3,
            },
            mode="markers",
            marker={**style.points, "size": 9},
            name=style.label,
            legendrank=rank,
            hovertemplate="<b>%{customdata[0]}</b><br>cost %{x:.4g}<br>reward %{customdata[1]:.4f}"
            "<br>regret %{y:.4f}%{text}<extra></extra>",
        )  # fmt: skip
    return [POLICIES[policy].label for policy in (_FIXED, _RANDOM)]


def _check(name: str, curve: Curve, n_llms: int) -> None:
    """Raises `ValueError` when the arrays of a curve do not fit its frontier."""
    length = len(curve.frontier)
    shaped(f"shares of {name}", curve.shares, (length, n_llms))
    for end, values in (("low", curve.low), ("high", curve.high)):
        shaped(f"{end} of {name}", values, (length,))


def _drawn(curve: Curve) -> Integers:
    """Of the non-dominated points at most 250, evenly along the line, ends included, and up to 150 with intervals."""
    kept = curve.frontier.non_dominated()
    if kept.size <= _MAX_POINTS:
        return kept
    length = np.concatenate([[0.0], _lengths(curve.frontier, kept)])
    chosen = np.searchsorted(length, np.linspace(0.0, length[-1], _MAX_POINTS))
    known = np.flatnonzero(~np.isnan(curve.low[kept]))
    known = known[np.unique(np.linspace(0, known.size - 1, min(known.size, _MAX_INTERVALS)).round().astype(np.intp))]
    return np.asarray(kept[np.union1d(np.minimum(chosen, kept.size - 1), known)])


def _lengths(frontier: Frontier, kept: Integers) -> Floats:
    """How far along the line each point but the first is, when its ends are 1 apart in cost and in regret."""
    cost, regret = frontier.cost[kept], frontier.regret[kept]
    return np.asarray(np.cumsum(np.diff(cost) / np.ptp(cost) - np.diff(regret) / np.ptp(regret)))


def _marked(frontier: Frontier, kept: Integers, phase: float) -> Integers:
    """Which of the drawn points carry the policy's symbol: a few along the line, and the dearest end.

    `phase` in [0, 1) moves them along, so that policies whose lines lie on each other show their symbols in turn.
    """
    last = kept.size - 1
    if not last:
        return np.array([0])
    length = np.concatenate([[0.0], _lengths(frontier, kept)])
    at = (np.arange(_SYMBOLS) + phase) / _SYMBOLS * length[-1]
    return np.asarray(np.unique([*np.searchsorted(length, at), last]))


def _band(curve: Curve, kept: Integers) -> _Band:
    """The interval at the drawn points between the first and the last that have one."""
    known = np.flatnonzero(~np.isnan(curve.low[kept]) & ~np.isnan(curve.high[kept]))
    if not known.size:
        return _Band(kept[:0], np.empty(0), np.empty(0))
    points = kept[known[0] : known[-1] + 1]
    cost, regret = curve.frontier.cost, curve.frontier.regret
    ends = [
        regret[points] + np.interp(cost[points], cost[kept[known]], (end - regret)[kept[known]])
        for end in (curve.low, curve.high)
    ]
    return _Band(points, *ends)


def _ends(curve: Curve) -> Floats:
    """How far the interval of a single point reaches below and above it, (2,)."""
    return reach(curve.frontier.regret[0], curve.low[0], curve.high[0])


def _draw(axes: Axes, drawing: _Drawing, fixed: Mapping[str, Curve], random: Curve) -> None:
    """Bands, lines and points, without names."""
    if _OWN_BAND in drawing.bands:
        band = drawing.bands[_OWN_BAND]
        cost = drawing.curves[_OWN_BAND].frontier.cost[band.points]
        axes.fill_between(
            cost, band.low, band.high, step="post", color=POLICIES[_OWN_BAND].colour, alpha=0.25, linewidth=0
        )
    for policy in sorted(drawing.curves, key=_OWN_BAND.__ne__):
        style, frontier, kept = POLICIES[policy], drawing.curves[policy].frontier, drawing.kept[policy]
        axes.plot(frontier.cost[kept], frontier.regret[kept], drawstyle="steps-post", **style.stroke(POINT))
        marked, size_ = drawing.marked(policy), 9 if policy == _OWN_BAND else 7
        axes.plot(
            frontier.cost[marked],
            frontier.regret[marked],
            linestyle="",
            **style.face,
            markersize=size_ * POINT,
            markeredgewidth=1.5 * POINT * style.hollow,
            zorder=4 if policy == _OWN_BAND else 3,
        )
    for policy, points in ((_FIXED, list(fixed.values())), (_RANDOM, [random])):
        style = POLICIES[policy]
        axes.errorbar(
            [curve.frontier.cost[0] for curve in points],
            [curve.frontier.regret[0] for curve in points],
            yerr=np.nan_to_num([_ends(curve) for curve in points]).T,
            linestyle="",
            **style.face,
            markersize=8 * POINT,
            elinewidth=1.5 * POINT,
            capsize=3 * POINT,
        )


def _free_corner(drawing: _Drawing, labels: Sequence[Label], width: float, height: float, size: float) -> float | None:
    """The left end, in pixels, of a box under the upper edge, `_INSET` of the panel, that covers nothing.

    None where there is no such place, or where the curves would not become half as large again.
    """
    close, whole = drawing.close(), drawing.window
    if 1.5 * np.ptp(close.x) > _INSET[0] * np.ptp(whole.x) or 1.5 * np.ptp(close.y) > _INSET[1] * np.ptp(whole.y):
        return None
    across, down = width * _INSET[0], height * _INSET[1]
    marks = [drawing.window.pixels(x, y, width, height) for x, y in drawing.lines()]
    for label in labels:
        x, y = drawing.window.pixels([label.x], [label.y], width, height)[0]
        half = label_width([label.text], size) / 2
        shift = {"left": half, "center": 0.0, "right": -half}[label.anchor]
        middle = x + label.dx + shift
        marks.append(np.column_stack([np.linspace(middle - half, middle + half, 9), np.full(9, y + label.dy)]))
    taken = np.concatenate(marks)
    taken = taken[taken[:, 1] < down + 26]
    # Letters of the ticks stand on the left of the box.
    for left in np.arange(width - across - 6, 40, -10):
        if not np.any((taken[:, 0] > left - 44) & (taken[:, 0] < left + across + 12)):
            return float(left)
    return None


def _zoom(drawing: _Drawing) -> list[dict[str, Any]]:
    """A button that shows the curves alone and then everything again, where single points leave them little room."""
    if not drawing.crowded():
        return []
    close, whole = drawing.close(), drawing.window
    near, far = ({"xaxis.range": list(window.x), "yaxis.range": list(window.y)} for window in (close, whole))
    return [
        {
            "type": "buttons", "showactive": False, "x": 1, "xanchor": "right", "y": 0, "yanchor": "top",
            "pad": {"t": 20, "r": 0}, "bgcolor": "rgba(0,0,0,0)", "bordercolor": GRID, "font": {"size": 10},
            "buttons": [{"label": "zoom", "method": "relayout", "args": [near], "args2": [far]}],
        }
    ]  # fmt: skip


def _add_band(
    figure: go.Figure, drawing: _Drawing, policy: str, *, name: str, group: str, visible: bool | str, first: bool
) -> None:
    """A policy's band as one closed area."""
    band = drawing.bands[policy]
    cost = drawing.curves[policy].frontier.cost[band.points]
    (x, low), (_, high) = steps(cost, band.low), steps(cost, band.high)
    red, green, blue = (int(POLICIES[policy].colour[i : i + 2], 16) for i in (1, 3, 5))
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.25)",
        hoverinfo="skip",
        name=name,
        legendgroup=group,
        legendrank=2000 + (group == "bands"),
        showlegend=first,
        visible=visible,
    )


def _said(points: Integers, curve: Curve, band: _Band | None, llms: Sequence[str]) -> list[str]:
    """What the hover text of each point says after its regret: the interval and the shares of the LLMs.

    Where a band is drawn between points that have an interval, the hover says what the band shows.
    """
    low, high = curve.low.copy(), curve.high.copy()
    computed = ~np.isnan(low)
    if band is not None:
        low[band.points], high[band.points] = band.low, band.high
    texts = []
    for point in points:
        text = ""
        if not np.isnan(low[point]) and not np.isnan(high[point]):
            text += f"<br>{interval_words(low[point], high[point], 4, '' if computed[point] else 'about ')}"
        texts.append(text + _shares(curve.shares[point], llms))
    return texts


def _shares(shares: Floats, llms: Sequence[str]) -> str:
    """Who gets how many of the prompts, largest first; nobody's are left out and many small ones summed."""
    if not llms:
        return ""
    order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > 0]
    # One that would be alone among the others may as well be named.
    named = order if len(order) <= _MAX_LLMS + 1 else order[:_MAX_LLMS]
    text = "".join(f"<br>{share_words(shares[i])} {llms[i]}" for i in named)
    rest = order[len(named) :]
    return text + (f"<br>{share_words(float(shares[rest].sum()))} {len(rest)} others" if rest else "")


def _annotation(label: Label, font: dict[str, Any]) -> dict[str, Any]:
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
