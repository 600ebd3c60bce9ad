"""Figures show the numbers they are given, fit their place and need no network."""

import io
import itertools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from erp import Frontier, figures
from erp.figures import (
    POLICIES,
    Curve,
    comparison_figure,
    comparison_png,
    expected_reward_scatter,
    fragment,
    frontier_figure,
    frontier_png,
    history_png,
    pairwise_figure,
    pairwise_png,
    predictability_png,
    predictability_table,
    proposition_1_figure,
    win_rate_figure,
    win_rate_png,
)
from erp.figures.frontiers import _ASIDE, _Drawing
from erp.figures.labels import place_labels
from erp.figures.layout import LETTER
from erp.figures.style import policy_style
from erp.frontier import DecisionPath, RandomPath, ShuffledPath, decision_path
from erp.pairwise import PairwiseWins

LLMS = ["small", "large", "maths"]
LINES = ("oracle", "ERP", "guarded", "Zooter", "kNN", "k-means", "winner", "category", "blind", "permuted")
ASIDES = ("ERP (paper)", "Zooter (features)", "kNN (features)", "k-means (features)", "winner (features)")

Curves = tuple[dict[str, Curve], dict[str, Curve], Curve, list[str]]


def curves(n: int = 200, n_llms: int = 3, lines: tuple[str, ...] = ("oracle", "ERP"), seed: int = 0) -> Curves:
    """What `frontier_figure` takes; every second point of a line has an interval, the ends too."""
    rng = np.random.default_rng(seed)
    actual = rng.normal(size=(n, n_llms)) + np.linspace(0, 1, n_llms)
    costs = np.linspace(1, 9, n_llms)
    names = LLMS if n_llms == 3 else [f"llm-with-a-name-{i}" for i in range(n_llms)]

    def curve(frontier: Frontier, shares: np.ndarray) -> Curve:
        known = (np.arange(len(frontier)) % 2 == 0) | (np.arange(len(frontier)) == len(frontier) - 1)
        ends = (np.where(known, frontier.regret + shift, np.nan) for shift in (-0.02, 0.03))
        return Curve(frontier, shares, *ends)

    drawn = {}
    for i, policy in enumerate(lines):
        noise = 0.0 if policy == "oracle" else 0.8 + 0.2 * i
        path = decision_path(actual + noise * rng.normal(size=actual.shape), costs)
        dealt = ShuffledPath(path) if policy == "permuted" else path
        drawn[policy] = curve(dealt.frontier(actual, costs), dealt.shares(n_llms))
    fixed = {}
    for i, name in enumerate(names):
        regret = (actual.max(axis=1) - actual[:, i]).mean()
        point = Frontier(np.zeros(1), costs[[i]], actual[:, [i]].mean(axis=0), np.array([regret]))
        fixed[name] = curve(point, DecisionPath.always(i, n).shares(n_llms))
    chance = RandomPath(n, n_llms)
    return drawn, fixed, curve(chance.frontier(actual, costs), chance.shares(n_llms)), names


def pairs(n_llms: int = 3, seed: int = 0) -> PairwiseWins:
    a, b = np.triu_indices(n_llms, 1)
    rng = np.random.default_rng(seed)
    auroc, logistic = rng.uniform(0.55, 0.8, (2, a.size))
    ends = [array for value in (auroc, logistic, auroc - logistic) for array in (value, value - 0.05, value + 0.05)]
    n = np.full(a.size, 1200)
    new = np.full((len(PairwiseWins._fields) - 14, a.size), np.nan)  # as tables from before them have it
    return PairwiseWins(a, b, np.linspace(0.2, 0.9, a.size), np.full(a.size, 0.1), *ends, n, *new)


def pairs_with_features(n_llms: int = 3, seed: int = 0) -> PairwiseWins:
    """`pairs` with all that is known of them."""
    old = pairs(n_llms, seed)
    features = np.random.default_rng(seed + 1).uniform(0.55, 0.8, old.a.size)
    both = {"logistic_features": features, "difference_features": old.auroc - features}
    ends = {f"{name}_{end}": value + by for name, value in both.items() for end, by in (("low", -0.05), ("high", 0.05))}
    singles = {
        f"{name}_single": value + 0.1
        for name, value in {**old._asdict(), **both}.items()
        if f"{name}_single" in old._fields
    }
    return old._replace(**both, **ends, **singles, ceiling=np.linspace(0.85, 0.95, old.a.size))


def table() -> go.Figure:
    return predictability_table(
        LLMS,
        ["aggregate", "general_chat"],
        [[0.5, 0.25], [-0.2, np.nan], [0.0, 1.0]],
        [[0.8, 0.5], [0.9, np.nan], [0.0, 1.0]],
        [100, 50],
    )


def scatter(n: int = 40) -> go.Figure:
    rng = np.random.default_rng(0)
    actual = rng.normal(size=(n, 3))
    categories = ["coding", "general_chat"] * (n // 2)
    return expected_reward_scatter(LLMS, categories, actual + 0.1 * rng.normal(size=(n, 3)), actual)


def rates(n_llms: int = 3, n_categories: int = 2, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    empirical, predicted = (rng.dirichlet(np.ones(n_llms), n_categories) for _ in range(2))
    names = [f"llm-{i}" for i in range(n_llms)]
    categories = [f"category_{i}" for i in range(n_categories)]
    low, high = np.maximum(0, empirical - 0.1), np.minimum(1, empirical + 0.1)
    return names, categories, empirical, predicted, low, high, 10 * np.arange(1, n_categories + 1)


def compared(**changed: Any) -> dict[str, Any]:
    given = {
        "names": ["ERP", "kNN", "random", "always large"],
        "values": [0.61, 0.58, 0.4, 0.55],
        "low": [0.6, 0.56, 0.4, 0.53],
        "high": [0.62, 0.6, 0.4, 0.57],
        "label": "reward at equal cost",
    }
    return given | changed


def proposition(verdicts: tuple[str, ...] = ("vacuous", "vacuous", "holds", "violated")) -> go.Figure:
    win = np.array([0.52, 0.6, 0.8, 0.7])
    return proposition_1_figure([0.1, 1.0, 2.0, 3.0], win, win - 0.02, win + 0.02, [0.0, 0.25, 0.75, 0.9], verdicts)


def every_figure() -> list[go.Figure]:
    return [
        table(),
        scatter(),
        frontier_figure(*curves()),
        pairwise_figure(LLMS, pairs()),
        pairwise_figure(LLMS, pairs_with_features()),
        win_rate_figure(*rates()),
        comparison_figure(**compared()),
        proposition(),
    ]


def line_of(figure: go.Figure, policy: str) -> Any:
    """The trace of a policy's frontier."""
    label = POLICIES[policy].label
    return next(trace for trace in figure.data if trace.name == label and trace.mode == "lines")


# Policies


def test_no_two_policies_look_alike_even_without_colour() -> None:
    styles = POLICIES.values()
    assert len({style.label for style in styles}) == len(styles)
    for field in ("symbol", "marker"):
        assert len({(getattr(style, field), style.hollow) for style in styles}) == len(styles), field
    own = [style for policy, style in POLICIES.items() if not policy.endswith("(features)")]
    assert len({style.colour for style in own}) == len(own)
    lines = [*LINES, "cross-fitted"]
    assert len({POLICIES[policy].dash for policy in lines}) == len(lines)
    assert POLICIES["ERP"].width == max(style.width for style in styles)


@pytest.mark.parametrize("policy", ["Zooter", "kNN", "k-means", "winner"])
def test_a_rival_that_reads_the_features_has_its_own_colour_and_another_dash_and_symbol(policy: str) -> None:
    own, other = POLICIES[policy], POLICIES[f"{policy} (features)"]
    assert other.label == f"{own.label}, features"
    assert other.colour == own.colour
    assert other.points["symbol"] == f"{own.points['symbol']}-open"
    assert other.dash != own.dash


def test_every_policy_is_visible_on_light_and_on_dark() -> None:
    def luminance(code: str) -> float:
        channels = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for style, page in itertools.product(POLICIES.values(), ("#ffffff", "#15181c")):
        dark, light = sorted((luminance(style.colour), luminance(page)))
        assert (light + 0.05) / (dark + 0.05) > 2.7, (style.label, page)


def test_a_policy_looks_the_same_in_every_figure() -> None:
    lines = (*LINES, "cross-fitted", *ASIDES)
    names = [*lines, "random", "always large"]
    shown: dict[str, set[tuple[str, str]]] = {}
    for figure in (
        frontier_figure(*curves(lines=lines)),
        comparison_figure(names, *np.ones((3, len(names))), "reward"),
    ):
        for trace in figure.data:
            if trace.marker.symbol is not None and trace.name != _ASIDE:
                name = "one LLM for all" if trace.name == "always large" else trace.name
                shown.setdefault(name, set()).add((trace.marker.color, trace.marker.symbol))
    assert shown == {style.label: {(style.colour, style.points["symbol"])} for style in POLICIES.values()}


def test_one_llm_always_has_the_style_of_all_and_its_own_name() -> None:
    assert policy_style("always gpt x") == POLICIES["always"]._replace(label="always gpt x")
    with pytest.raises(KeyError):
        policy_style("never gpt")


# Tables and scatters


def test_the_table_writes_r2_and_its_hover_adds_ceiling_share_and_prompts() -> None:
    cells = table().data[0]
    assert list(cells.text[0]) == ["0.50", "0.25"]
    assert "undefined" in cells.text[1][1]
    assert "0.800" in cells.hovertext[0][0]
    assert "62%" in cells.hovertext[0][0]
    assert "50 prompts" in cells.hovertext[0][1]
    assert "nan" not in str(cells.text) + str(cells.hovertext)
    assert cells.hovertext[2][0].count("undefined") == 1


def test_the_table_says_the_interval_of_r2_where_it_is_given() -> None:
    values = np.array([[0.5, 0.25]])
    low, high = np.array([[0.4, np.nan]]), np.array([[0.6, 0.3]])
    hover = predictability_table(["small"], ["all", "math"], values, values, [9, 9], low, high).data[0].hovertext[0]
    assert "95 % interval 0.400 to 0.600" in hover[0]
    assert "95 % interval undefined" in hover[1]
    assert "interval" not in str(table().data[0].hovertext)


def test_a_table_of_many_columns_leaves_the_size_of_letters_to_plotly() -> None:
    values = np.full((2, 12), np.nan)
    cells = predictability_table(LLMS[:2], [f"c{i}" for i in range(12)], values, values, [1] * 12).data[0]
    assert cells.textfont.size is None
    assert cells.text[0][0] == "–"
    assert "undefined" in cells.hovertext[0][0]


def test_the_scatter_has_a_panel_per_llm_and_one_legend_entry_per_category() -> None:
    figure = scatter()
    shown = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name for trace in shown] == ["coding", "general chat"]
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles[0].startswith("<b>small</b>  R² 0.9")
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == 3 * 40


def test_the_scatter_draws_at_most_a_thousand_prompts_the_same_each_time() -> None:
    points = [[trace.x for trace in scatter(3000).data if trace.mode == "markers"] for _ in range(2)]
    assert sum(x.size for x in points[0]) == 3 * 1000
    assert all(np.array_equal(a, b) for a, b in zip(*points, strict=True))


# Frontiers


def test_the_frontier_line_is_the_non_dominated_part() -> None:
    drawn, fixed, random, llms = curves(60)
    figure = frontier_figure(drawn, fixed, random, llms)
    line, frontier = line_of(figure, "ERP"), drawn["ERP"].frontier
    kept = frontier.non_dominated()
    np.testing.assert_array_equal(line.x, frontier.cost[kept])
    np.testing.assert_array_equal(line.y, frontier.regret[kept])
    np.testing.assert_array_equal(line.customdata[:, 0], frontier.exchange_rate[kept])
    np.testing.assert_array_equal(line.customdata[:, 1], frontier.reward[kept])
    points = next(trace for trace in figure.data if trace.name == POLICIES["always"].label)
    assert list(points.x) == [curve.frontier.cost[0] for curve in fixed.values()]
    np.testing.assert_allclose(points.error_y.array, 0.03)
    np.testing.assert_allclose(points.error_y.arrayminus, 0.02)
    names = {annotation.text for annotation in figure.layout.annotations}
    assert {*LLMS, "random"} == {name for name in names if "oracle" not in name}
    assert any("oracle" in name for name in names)


def test_the_hover_says_interval_and_shares_largest_first() -> None:
    frontier = Frontier([0.0, 1.0], [2.0, 1.0], [0.5, 0.4], [0.25, 0.5])
    shares = np.array([[0.004, 0.7, 0.296], [1.0, 0.0, 0.0]])
    curve = Curve(frontier, shares, np.array([0.2, np.nan]), np.array([0.3125, np.nan]))
    point = Frontier([0.0], [1.0], [0.4], [0.5])
    single = Curve(point, np.array([[1.0, 0.0, 0.0]]), np.array([np.nan]), np.array([np.nan]))
    chance = single._replace(shares=np.full((1, 3), 1 / 3))
    figure = frontier_figure({"ERP": curve}, {"small": single}, chance, LLMS)
    line = line_of(figure, "ERP")
    assert line.hovertemplate.startswith("<b>ERP</b><br>λ %{customdata[0]")
    assert line.text[1] == "<br>95 % interval 0.2000 to 0.3125<br>70% large<br>30% maths<br>under 1% small"
    assert line.text[0] == "<br>100% small"
    chances = next(trace for trace in figure.data if trace.name == "random" and trace.hovertemplate)
    assert chances.text[0] == "<br>33% small<br>33% large<br>33% maths"
    assert "nan" not in str([trace.text for trace in figure.data])


def test_the_hover_sums_up_the_small_shares_of_many_llms() -> None:
    drawn, fixed, random, llms = curves(50, 12)
    shares = np.tile(np.array([0.5, 0.2, *[0.03] * 10]), (len(drawn["ERP"].frontier), 1))
    figure = frontier_figure(drawn | {"ERP": drawn["ERP"]._replace(shares=shares)}, fixed, random, llms)
    said = line_of(figure, "ERP").text[0].split("<br>")
    assert said[-1] == "12% 4 others"
    assert sum("llm-with-a-name" in line for line in said) == 8


def test_the_band_runs_through_the_given_intervals_and_follows_the_line_between_them() -> None:
    drawn, fixed, random, llms = curves(60)
    figure = frontier_figure(drawn, fixed, random, llms)
    band = next(trace for trace in figure.data if trace.name == "95 % interval of ERP")
    curve = drawn["ERP"]
    kept = curve.frontier.non_dominated()
    corners = set(zip(np.round(band.x, 9), np.round(band.y, 9), strict=True))
    # The given intervals reach equally far from the line everywhere, so must what is between them.
    for cost, regret in zip(curve.frontier.cost[kept], curve.frontier.regret[kept], strict=True):
        assert (round(cost, 9), round(regret - 0.02, 9)) in corners
        assert (round(cost, 9), round(regret + 0.03, 9)) in corners
    assert band.visible is True
    line = line_of(figure, "ERP")
    assert sum("interval about" in text for text in line.text) == np.isnan(curve.low[kept]).sum()
    others = [trace for trace in figure.data if trace.name == "intervals of the others"]
    assert [trace.visible for trace in others] == ["legendonly"]


def test_without_intervals_there_is_no_band() -> None:
    drawn, fixed, random, llms = curves(60)
    bare = {policy: curve._replace(low=curve.low * np.nan, high=curve.high * np.nan) for policy, curve in drawn.items()}
    figure = frontier_figure(bare, fixed, random, llms)
    assert not any("interval" in str(trace.name) for trace in figure.data)
    assert not any("interval" in text for text in line_of(figure, "ERP").text)


def test_a_long_frontier_is_thinned_and_keeps_its_ends() -> None:
    drawn, fixed, random, llms = curves(5000)
    kept = drawn["oracle"].frontier.non_dominated()
    line = line_of(frontier_figure(drawn, fixed, random, llms), "oracle")
    assert kept.size > 400 >= line.x.size > 200
    cost = drawn["oracle"].frontier.cost
    assert (line.x[0], line.x[-1]) == (cost[kept[0]], cost[kept[-1]])


def test_the_legend_has_every_policy_once_in_the_given_order() -> None:
    figure = frontier_figure(*curves(lines=LINES))
    shown = sorted((trace for trace in figure.data if trace.showlegend is not False), key=lambda t: t.legendrank)
    assert [trace.name for trace in shown[: len(LINES)]] == [POLICIES[policy].label for policy in LINES]
    assert len({trace.name for trace in shown}) == len(shown)


def test_what_only_a_closer_look_needs_is_shown_on_a_click_and_changes_nothing_else() -> None:
    drawn, fixed, random, llms = curves(lines=(*LINES, *ASIDES))
    plain = frontier_figure({policy: drawn[policy] for policy in LINES}, fixed, random, llms)
    figure = frontier_figure(drawn, fixed, random, llms)
    hidden = [trace for trace in figure.data if trace.visible == "legendonly" and trace.legendgroup != "bands"]
    assert {trace.legendgroup for trace in hidden} == {"ERP (paper)", _ASIDE}
    entries = [trace.name for trace in hidden if trace.showlegend is not False]
    assert sorted(entries) == sorted([POLICIES["ERP (paper)"].label, _ASIDE])
    together = {trace.name for trace in hidden if trace.legendgroup == _ASIDE and trace.mode == "lines"}
    assert together == {POLICIES[policy].label for policy in ASIDES[1:]}
    assert figure.layout.xaxis.range == plain.layout.xaxis.range
    assert figure.layout.yaxis.range == plain.layout.yaxis.range
    assert [note.text for note in figure.layout.annotations] == [note.text for note in plain.layout.annotations]
    assert frontier_png(drawn, fixed, random, llms) == frontier_png(
        {policy: drawn[policy] for policy in LINES}, fixed, random, llms
    )


def test_one_llm_makes_a_figure() -> None:
    given = curves(10, 1)
    assert frontier_figure(*given).data
    assert frontier_png(*given)


def test_an_llm_may_be_named_like_a_policy() -> None:
    drawn, fixed, random, llms = curves()
    fixed = {"random": fixed["small"], "large": fixed["large"]}
    figure = frontier_figure(drawn, fixed, random, llms)
    names = sorted(annotation.text for annotation in figure.layout.annotations if "oracle" not in annotation.text)
    assert names == ["large", "random", "random"]


def test_curves_that_single_points_leave_little_room_can_be_looked_at_closer() -> None:
    drawn, fixed, random, llms = curves()
    assert not frontier_figure(drawn, fixed, random, llms).layout.updatemenus
    away = fixed["large"]._replace(
        frontier=Frontier([0.0], [90.0], [-9.0], [9.0]), low=np.array([8.0]), high=np.array([9.5])
    )
    figure = frontier_figure(drawn, fixed | {"large": away}, random, llms)
    (menu,) = figure.layout.updatemenus
    near = menu.buttons[0].args[0]
    assert near["xaxis.range"][1] < 15
    assert list(figure.layout.xaxis.range) == menu.buttons[0].args2[0]["xaxis.range"]
    assert figure.layout.xaxis.range[1] > 90


@pytest.mark.parametrize("n_llms", [3, 12, 60])
@pytest.mark.parametrize(("width", "height"), [(700, 380), (300, 320)])
def test_labels_keep_clear_of_each_other_and_within_the_figure(n_llms: int, width: int, height: int) -> None:
    drawing = _Drawing.of(*curves(100, n_llms))
    labels = place_labels(drawing.window, width, height, 12, drawing.points, drawing.lines())
    boxes = []
    for label in labels:
        x, y = drawing.window.pixels([label.x], [label.y], width, height)[0] + (label.dx, label.dy)
        length = len(label.text) * LETTER
        left = x - {"left": 0.0, "center": length / 2, "right": length}[label.anchor]
        boxes.append((left, y - 7, left + length, y + 7))
    assert len(labels) >= 4
    for i, a in enumerate(boxes):
        assert a[0] >= 0
        assert a[1] >= 0
        assert a[2] <= width
        assert a[3] <= height
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


# Pairs and Proposition 1


def test_the_maps_have_one_cell_per_pair_and_titles_count_the_models() -> None:
    given = pairs(4)
    llms = [*LLMS, "chat"]
    figure = pairwise_figure(llms, given)
    for trace, values in zip(figure.data, (given.auroc, given.logistic), strict=True):
        for a, b, value in zip(given.a, given.b, values, strict=True):
            assert trace.z[b - 1][a] == value
            assert trace.text[b - 1][a] == f"{value:.2f}"
        assert np.isnan(trace.z).sum() == 9 - 6
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert "4 probes" in titles[0]
    assert "6 models" in titles[1]
    assert f"{given.auroc.mean():.3f}" in titles[0]


def test_the_features_regressions_and_the_best_attainable_have_maps_where_they_are_known() -> None:
    given = pairs_with_features()
    figure = pairwise_figure(LLMS, given)
    names = ("auroc", "logistic", "logistic_features", "ceiling")
    for trace, title, name in zip(figure.data, figure.layout.annotations, names, strict=True):
        values = getattr(given, name)
        assert trace.z[1][0] == values[1]
        assert f"mean {values.mean():.3f}" in title.text
    wide = figure.layout.meta["wide"]
    assert wide["yaxis3.domain"][1] < wide["yaxis.domain"][0]
    assert wide["xaxis3.domain"] == wide["xaxis.domain"]
    hover = figure.data[0].hovertext[1][0]
    assert f"best attainable {given.ceiling[1]:.3f}" in hover
    assert f"that reads the features {given.logistic_features[1]:.3f}, 95 %" in hover
    assert f"difference {given.difference_features[1]:+.3f}" in hover
    for name in names[:3]:
        assert f"({getattr(given, f'{name}_single')[1]:.3f} by one pair of samples)" in hover
    assert len(pairwise_png(LLMS, given)) > len(pairwise_png(LLMS, pairs()))
    embedding_only = given._replace(logistic_features=np.full(3, np.nan))
    assert len(pairwise_figure(LLMS, embedding_only).data) == 3
    assert "features" not in pairwise_figure(LLMS, embedding_only).data[0].hovertext[1][0]


def test_the_hover_of_a_pair_says_who_wins_intervals_and_difference() -> None:
    given = pairs()
    hover = pairwise_figure(LLMS, given).data[0].hovertext[1][0]
    assert "<b>maths</b> wins against <b>small</b>: 55%" in hover
    assert "10% ties" in hover
    for name in ("auroc", "logistic"):
        value = getattr(given, name)[1]
        assert f"{value:.3f}, 95 % interval {value - 0.05:.3f} to {value + 0.05:.3f}" in hover
    assert f"difference {given.difference[1]:+.3f}" in hover
    assert "1,200 prompts" in hover


def test_both_maps_have_the_same_colours_centred_on_chance() -> None:
    figure = pairwise_figure(LLMS, pairs()._replace(auroc=np.array([0.31, 0.5, 0.6]), logistic=np.full(3, 0.6)))
    axis = figure.layout.coloraxis
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    assert axis.cmin + axis.cmax == pytest.approx(1.0)
    assert axis.cmin == pytest.approx(0.3)


def test_an_undefined_pair_is_written_so() -> None:
    nothing = np.array([np.nan, 0.6, 0.7])
    given = pairs()._replace(auroc=nothing, auroc_low=nothing, auroc_high=nothing, difference=nothing)
    figure = pairwise_figure(LLMS, given)
    assert "undefined" in figure.data[0].text[0][0]
    assert "ER undefined" in figure.data[0].hovertext[0][0]
    assert "nan" not in str([trace.hovertext for trace in figure.data])
    assert not np.isnan(figure.data[0].z[0][0])


@pytest.mark.parametrize("n_llms", [2, 9, 20])
def test_maps_of_few_and_many_llms_stack_on_narrow_pages(n_llms: int) -> None:
    figure = pairwise_figure([f"llm-{i}" for i in range(n_llms)], pairs(n_llms))
    wide, narrow = figure.layout.meta["wide"], figure.layout.meta["narrow"]
    assert wide["xaxis.domain"][1] < wide["xaxis2.domain"][0]
    assert narrow["xaxis.domain"] == narrow["xaxis2.domain"]
    assert narrow["yaxis2.domain"][1] < narrow["yaxis.domain"][0]


def test_proposition_1_marks_what_is_violated_and_shades_what_is_vacuous() -> None:
    figure = proposition()
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["lower bound"].y) == [0.0, 0.25, 0.75, 0.9]
    assert list(by_name["bound violated (1 bin)"].x) == [3.0]
    assert list(by_name["bound vacuous (2 bins)"].y) == [0.52, 0.6]
    np.testing.assert_allclose(by_name["bound holds (1 bin)"].error_y.array, 0.02)
    red, green, blue = (int(by_name["bound violated (1 bin)"].marker.color[i : i + 2], 16) for i in (1, 3, 5))
    assert red > 2 * max(green, blue)
    (shade,) = (shape for shape in figure.layout.shapes if shape.type == "rect")
    assert shade.x0 < 0.1
    assert shade.x1 == pytest.approx(1.5), "where the bound crosses a half"
    assert "no better than a coin" in figure.layout.annotations[0].text
    assert "wins 0.700<br>95 % interval 0.680 to 0.720" in by_name["bound violated (1 bin)"].text[0]


def test_proposition_1_without_a_bound_says_undefined() -> None:
    figure = proposition_1_figure([0.1, 0.2], [0.5, 0.6], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2, ["undefined"] * 2)
    (said,) = {trace.text[0].count("undefined") for trace in figure.data if trace.text}
    assert said == 3
    assert not any(shape.type == "rect" for shape in figure.layout.shapes)


# Win rates


def test_win_rates_are_pairs_of_bars_with_the_interval_on_the_empirical_one() -> None:
    llms, categories, empirical, predicted, low, high, counts = rates(4, 3)
    figure = win_rate_figure(llms, categories, empirical, predicted, low, high, counts)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [trace.name for trace in bars if trace.showlegend] == ["empirical", "predicted by ERP"]
    for i in range(3):
        solid, hatched = bars[2 * i : 2 * i + 2]
        np.testing.assert_array_equal(solid.x, empirical[i])
        np.testing.assert_array_equal(hatched.x, predicted[i])
        np.testing.assert_allclose(solid.x + solid.error_x.array, high[i])
        np.testing.assert_allclose(solid.x - solid.error_x.arrayminus, low[i])
        assert hatched.marker.pattern.shape
        assert hatched.error_x.array is None
    assert "n = 20" in figure.layout.annotations[1].text
    hover = bars[0].text[1]
    assert hover.startswith("<b>llm-1</b>, category 0<br>best on ")
    assert f"95 % interval {100 * low[0, 1]:.1f} to {100 * high[0, 1]:.1f}" in hover
    assert f"predicted {predicted[0, 1]:.1%}" in hover
    assert "10 prompts" in hover


def test_a_category_without_prompts_has_undefined_win_rates() -> None:
    llms, categories, *numbers, counts = rates()
    for values in numbers:
        values[1] = np.nan
    figure = win_rate_figure(llms, categories, *numbers, counts)
    texts = [trace for trace in figure.data if trace.type == "scatter"]
    assert [list(trace.text) for trace in texts] == [["undefined"] * 6]
    assert "nan" not in str([trace.text for trace in figure.data])


def test_panels_of_many_llms_and_categories_grow_and_do_not_overlap() -> None:
    few, many = (win_rate_figure(*rates(*size)).layout.meta for size in ((3, 2), (20, 15)))
    for width in ("wide", "narrow"):
        assert many[width]["height"] > 5 * few[width]["height"]
        places = [
            (*many[width][f"xaxis{i}.domain"], *many[width][f"yaxis{i}.domain"]) for i in ("", *range(2, 16))
        ]  # fmt: skip
        for (l1, r1, b1, t1), (l2, r2, b2, t2) in itertools.combinations(places, 2):
            assert r1 <= l2 or r2 <= l1 or t1 <= b2 or t2 <= b1


# Comparisons


def test_a_comparison_shows_values_intervals_and_both_in_words() -> None:
    figure = comparison_figure(**compared())
    assert [trace.name for trace in figure.data] == ["ERP", "k nearest neighbours", "random", "always large"]
    assert [trace.x[0] for trace in figure.data] == [0.61, 0.58, 0.4, 0.55]
    np.testing.assert_allclose(figure.data[1].error_x.array, [0.02])
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert texts[0] == "0.610 [0.600, 0.620]"
    assert "reward at equal cost" in figure.data[0].hovertemplate
    assert figure.layout.shapes[0].x0 == 0.61, "what ERP has, to compare with"


def test_differences_have_signs_and_a_zero_line() -> None:
    figure = comparison_figure(["kNN", "oracle"], [0.02, -0.04], [-0.001, -0.06], [0.041, -0.02], "more", zero=True)
    assert [annotation.text for annotation in figure.layout.annotations] == [
        "+0.020 [-0.001, +0.041]",
        "-0.040 [-0.060, -0.020]",
    ]
    assert figure.layout.shapes[0].x0 == 0.0
    low, high = figure.layout.xaxis.range
    assert low < -0.06 < 0.041 < high


def test_splits_are_strokes_below_the_mean_of_them_and_are_in_sight() -> None:
    splits = [[0.01, 0.02, 0.03], [-0.09, -0.04, 0.01]]
    names = ["kNN", "best single LLM"]
    figure = comparison_figure(names, [0.02, -0.04], [-0.01, -0.06], [0.04, -0.02], "more", zero=True, splits=splits)
    strokes = [trace for trace in figure.data if trace.marker.symbol == "line-ns-open"]
    np.testing.assert_array_equal([trace.x for trace in strokes], splits)
    assert [set(trace.y) for trace in strokes] == [{0.3}, {1.3}]
    assert strokes[1].text[0] == "split 0: -0.090"
    assert "best single LLM" in strokes[1].hovertemplate
    assert figure.layout.xaxis.range[0] < -0.09
    with pytest.raises(ValueError, match="splits"):
        comparison_figure(names, [0.02, -0.04], [-0.01, -0.06], [0.04, -0.02], "more", splits=[splits[0]])


def test_an_undefined_summary_is_written_so() -> None:
    figure = comparison_figure(**compared(values=[0.6, np.nan, 0.4, 0.5], low=[np.nan, np.nan, 0.3, 0.4]))
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert texts[0] == "0.60 [undefined]"
    assert texts[1] == "undefined"
    assert "nan" not in str([trace.text for trace in figure.data])


# All figures


def test_every_figure_carries_a_wide_and_a_narrow_layout_that_plotly_takes() -> None:
    for figure in every_figure():
        meta: dict[str, Any] = figure.layout.meta
        assert set(meta) == {"wide", "narrow"}
        assert set(meta["wide"]) == set(meta["narrow"]), "what one sets, the other must set back"
        for layout in meta.values():
            figure.update_layout({key.replace(".", "_"): value for key, value in layout.items()})


def test_a_fragment_brings_no_library_and_no_address() -> None:
    for figure in every_figure():
        html = fragment(figure)
        assert len(html) < 200_000
        assert "ResizeObserver" in html
        assert "http" not in html.replace("http://www.w3.org", "")
        assert "{plot_id}" not in html


def test_figures_have_no_background_of_their_own() -> None:
    for figure in every_figure():
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"


def biases(times: int, seed: int = 0) -> tuple[Any, ...]:
    """Biases of the LLMs at so many times, one of which is undefined and one an alarm."""
    values = np.random.default_rng(seed).normal(size=(times, len(LLMS)))
    values[0, 1] = np.nan
    alarms = np.zeros(values.shape, dtype=bool)
    alarms[-1, 0] = True
    return [f"2026-01-{day + 1:02d}-06:00" for day in range(times)], LLMS, values, values - 0.5, values + 0.5, alarms


PICTURES: dict[str, Callable[[int], bytes]] = {
    "frontier": lambda seed: frontier_png(*curves(lines=LINES, seed=seed)),
    "pairwise": lambda seed: pairwise_png(LLMS, pairs(seed=seed)),
    "win rates": lambda seed: win_rate_png(*rates(5, 4, seed=seed)),
    "comparison": lambda seed: comparison_png(**compared(values=[0.61, 0.58, 0.4, 0.54 + 0.01 * seed])),
    "predictability": lambda seed: predictability_png(LLMS, ["all"], [[0.5 + seed]] * 3, [[0.6]] * 3, [9]),
    "history": lambda seed: history_png(*biases(6, seed)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_is_one_of_the_documented_width_small_and_without_a_background(name: str) -> None:
    content = PICTURES[name](0)
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1440
    assert height == 840 or name != "frontier"
    assert len(content) < 150_000
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    assert all(picture.getpixel(corner)[3] == 0 for corner in ((0, 0), (width - 1, height - 1)))


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_changes_with_its_data_and_not_without(name: str) -> None:
    assert PICTURES[name](0) == PICTURES[name](0)
    assert PICTURES[name](0) != PICTURES[name](1)


def test_pngs_of_many_grow_in_height_and_of_undefined_values_are_drawn() -> None:
    def height(content: bytes) -> int:
        return int(struct.unpack(">I", content[20:24])[0])

    many = [f"llm-{i}" for i in range(20)]
    assert height(pairwise_png(many, pairs(20))) > 2 * height(pairwise_png(LLMS, pairs()))
    assert height(win_rate_png(*rates(12, 9))) > 2 * height(win_rate_png(*rates(5, 4)))
    nothing = np.full((20, 15), np.nan)
    assert predictability_png(many, [f"c{i}" for i in range(15)], nothing, nothing, np.ones(15))
    assert win_rate_png(many[:2], ["a"], *np.full((4, 1, 2), np.nan), [0])
    assert pairwise_png(LLMS, pairs()._replace(auroc=np.full(3, np.nan)))
    assert comparison_png(**compared(values=[np.nan] * 4, low=[np.nan] * 4, high=[np.nan] * 4))


def test_the_history_is_drawn_for_one_time_and_for_many_and_alarms_show() -> None:
    times, llms, *values, alarms = biases(1)
    assert history_png(times, llms, *values, alarms) != history_png(times, llms, *values, np.zeros_like(alarms))
    assert history_png(*biases(28))
    with pytest.raises(ValueError, match="bias"):
        history_png(times, llms, np.zeros((2, 2)), *values[1:], alarms)


def test_intervals_that_miss_their_value_by_rounding_are_drawn() -> None:
    past = 1e-16 + np.array([0.1 + 0.2, 0.7])
    assert win_rate_png(LLMS[:2], ["a"], [[0.3, 0.7]], [[0.5, 0.5]], [past], [past], [9])
    assert comparison_png(["ERP", "random"], [0.3, 0.7], past, past, "reward")
    assert comparison_png(["ERP", "random"], [0.3, 0.7], past, past, "reward", splits=[[0.2, 0.4], [0.6, np.nan]])
    drawn, fixed, random, llms = curves()
    exact = {name: curve._replace(low=curve.frontier.regret + 1e-9) for name, curve in fixed.items()}
    assert frontier_png(drawn, exact, random, llms)
    points = frontier_figure(drawn, exact, random, llms).data
    assert all(min(trace.error_y.arrayminus) >= 0 for trace in points if trace.error_y.arrayminus is not None)


def test_all_public_names_can_be_imported() -> None:
    assert all(hasattr(figures, name) for name in figures.__all__)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"values has shape \(1, 1\), expected \(3, 1\)"):
        predictability_table(LLMS, ["aggregate"], [[0.1]], [[0.1]] * 3, [1])
    with pytest.raises(ValueError, match=r"counts has shape \(2,\), expected \(1,\)"):
        predictability_table(LLMS, ["aggregate"], [[0.1]] * 3, [[0.1]] * 3, [1, 2])
    with pytest.raises(ValueError, match=r"low has shape \(1,\), expected \(1, 1\)"):
        predictability_table(["x"], ["all"], [[0.1]], [[0.1]], [1], [0.1], [[0.1]])
    with pytest.raises(ValueError, match="1 categories for 2 prompts"):
        expected_reward_scatter(LLMS, ["coding"], np.ones((2, 3)), np.ones((2, 3)))
    drawn, fixed, random, llms = curves()
    with pytest.raises(KeyError, match="'zooter' is not one of ERP, guarded"):
        frontier_figure({"zooter": drawn["ERP"]}, fixed, random, llms)
    with pytest.raises(ValueError, match=r"shares of oracle has shape \(\d+, 3\), expected \(\d+, 2\)"):
        frontier_figure(drawn, fixed, random, llms[:2])
    with pytest.raises(ValueError, match=r"low of small has shape \(2,\), expected \(1,\)"):
        frontier_figure(drawn, {"small": fixed["small"]._replace(low=np.ones(2))}, random, llms)
    with pytest.raises(ValueError, match="random must have one point"):
        frontier_figure(drawn, fixed, drawn["ERP"], llms)
    with pytest.raises(ValueError, match="at least two LLMs, got 1"):
        pairwise_figure(["x"], pairs(1))
    with pytest.raises(ValueError, match="an LLM is paired with itself: small"):
        pairwise_figure(LLMS, pairs()._replace(b=np.array([0, 2, 2])))
    with pytest.raises(ValueError, match="the pair small, maths stands twice"):
        pairwise_figure(LLMS, pairs()._replace(a=np.array([0, 2, 1]), b=np.array([2, 0, 2])))
    with pytest.raises(ValueError, match=r"wins has shape \(1,\), expected \(3,\)"):
        pairwise_figure(LLMS, pairs()._replace(wins=np.ones(1)))
    with pytest.raises(ValueError, match=r"b must lie in \[0, 2\)"):
        pairwise_figure(LLMS[:2], pairs())
    with pytest.raises(ValueError, match=r"predicted has shape \(2, 3\), expected \(2, 2\)"):
        win_rate_figure(LLMS[:2], ["a", "b"], np.ones((2, 2)), *np.ones((3, 2, 3)), [1, 1])
    with pytest.raises(KeyError, match=r"'knn' is not one of ERP, .* nor 'always LLM'"):
        comparison_figure(**compared(names=["ERP", "knn", "random", "oracle"]))
    with pytest.raises(ValueError, match=r"high has shape \(1,\), expected \(4,\)"):
        comparison_figure(**compared(high=[1.0]))
    with pytest.raises(ValueError, match="verdict 'broken' is not one of holds"):
        proposition(("vacuous", "broken", "holds", "violated"))
    with pytest.raises(ValueError, match="2 verdicts for 4 bins"):
        proposition(("vacuous", "holds"))
