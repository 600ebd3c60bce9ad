"""Figures show the numbers they are given, fit their place and need no network."""

import struct
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from erp import Frontier, Point, exact_frontier, figures, fixed_points, random_point
from erp.figures import (
    POLICIES,
    expected_reward_scatter,
    fragment,
    frontier_figure,
    frontier_png,
    predictability_table,
)

LLMS = ["small", "large", "maths"]


def frontiers(n: int = 200, n_llms: int = 3) -> tuple[dict[str, Frontier], dict[str, Point], Point]:
    rng = np.random.default_rng(0)
    actual = rng.normal(size=(n, n_llms)) + np.linspace(0, 1, n_llms)
    predicted = actual + rng.normal(size=actual.shape)
    costs = np.linspace(1, 9, n_llms)
    policies = {
        "oracle": exact_frontier(actual, actual, costs),
        "erp": exact_frontier(predicted, actual, costs),
    }
    names = LLMS if n_llms == 3 else [f"llm-with-a-name-{i}" for i in range(n_llms)]
    return policies, dict(zip(names, fixed_points(actual, costs), strict=True)), random_point(actual, costs)


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


def every_figure() -> list[go.Figure]:
    return [table(), scatter(), frontier_figure(*frontiers())]


def test_the_table_writes_r2_and_its_hover_adds_ceiling_share_and_prompts() -> None:
    cells = table().data[0]
    assert list(cells.text[0]) == ["0.50", "0.25"]
    assert "undefined" in cells.text[1][1]
    assert "0.800" in cells.hovertext[0][0]
    assert "62%" in cells.hovertext[0][0]
    assert "50 prompts" in cells.hovertext[0][1]
    assert "nan" not in str(cells.text) + str(cells.hovertext)
    assert cells.hovertext[2][0].count("undefined") == 1


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


def test_the_frontier_line_is_the_non_dominated_part() -> None:
    policies, fixed, random = frontiers(60)
    figure = frontier_figure(policies, fixed, random)
    line = next(trace for trace in figure.data if trace.name == POLICIES["erp"].label)
    kept = policies["erp"].non_dominated()
    np.testing.assert_array_equal(line.x, policies["erp"].cost[kept])
    np.testing.assert_array_equal(line.y, policies["erp"].regret[kept])
    np.testing.assert_array_equal(line.customdata[:, 0], policies["erp"].exchange_rate[kept])
    points = next(trace for trace in figure.data if trace.name == POLICIES["fixed"].label)
    assert list(points.x) == [point.cost for point in fixed.values()]
    assert {annotation.text for annotation in figure.layout.annotations} == {*LLMS, "random"}


def test_a_long_frontier_is_thinned_and_keeps_its_ends() -> None:
    policies, fixed, random = frontiers(5000)
    kept = policies["oracle"].non_dominated()
    line = frontier_figure(policies, fixed, random).data[0]
    assert kept.size > 400 >= line.x.size > 200
    assert (line.x[0], line.x[-1]) == (policies["oracle"].cost[kept[0]], policies["oracle"].cost[kept[-1]])


def test_one_llm_makes_a_figure() -> None:
    policies, fixed, random = frontiers(10, 1)
    assert frontier_figure(policies, fixed, random).data
    assert frontier_png(policies, fixed, random)


def test_an_llm_may_be_named_like_a_policy() -> None:
    policies, fixed, random = frontiers()
    fixed = {"random": fixed["small"], "large": fixed["large"]}
    figure = frontier_figure(policies, fixed, random)
    assert sorted(annotation.text for annotation in figure.layout.annotations) == [
        "large",
        "random",
        "random",
    ]


@pytest.mark.parametrize("n_llms", [3, 12, 60])
@pytest.mark.parametrize(("width", "height"), [(700, 380), (300, 320)])
def test_labels_keep_clear_of_each_other_and_within_the_figure(n_llms: int, width: int, height: int) -> None:
    policies, fixed, random = frontiers(100, n_llms)
    lines = {policy: figures._drawn(frontier) for policy, frontier in policies.items()}
    window = figures._Window.around(policies, lines, fixed, random)
    labels = figures._place_labels(window, width, height, 12, policies, lines, fixed, random)
    boxes = []
    for label in labels:
        x, y = window.pixels([label.x], [label.y], width, height)[0] + (label.dx, label.dy)
        length = len(label.text) * figures._LETTER
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


def test_the_png_is_one_of_the_documented_size() -> None:
    content = frontier_png(*frontiers())
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1440, 840)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"values has shape \(1, 1\), expected \(3, 1\)"):
        predictability_table(LLMS, ["aggregate"], [[0.1]], [[0.1]] * 3, [1])
    with pytest.raises(ValueError, match=r"counts has shape \(2,\), expected \(1,\)"):
        predictability_table(LLMS, ["aggregate"], [[0.1]] * 3, [[0.1]] * 3, [1, 2])
    with pytest.raises(ValueError, match="1 categories for 2 prompts"):
        expected_reward_scatter(LLMS, ["coding"], np.ones((2, 3)), np.ones((2, 3)))
    policies, fixed, random = frontiers()
    with pytest.raises(KeyError, match="zooter"):
        frontier_figure({"zooter": policies["erp"]}, fixed, random)
