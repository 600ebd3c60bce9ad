"""Small pictures without a browser: what the PNG versions of the figures share.

What belongs here: matplotlib canvases laid out in pixels, axes and legends in the looks of `style`, PNG bytes. What
to keep out: what a particular picture shows, Plotly. `Figure` objects only: pyplot keeps global state.
"""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from PIL import Image

from erp.figures.layout import LETTER
from erp.figures.style import INK, colour_of

# Pictures are laid out in pixels of 1/100 inch and drawn at twice that; matplotlib's unit of sizes is a point.
WIDTH, HEIGHT = 720, 420
POINT = 0.72
_GRID = "#80869147"


def blank(height: float = HEIGHT, width: float = WIDTH) -> Picture:
    """An empty picture of so many pixels without a background."""
    return Picture(figsize=(width / 100, height / 100), dpi=200)


def panel(picture: Picture, left: float, top: float, width: float, height: float) -> Axes:
    """Unframed axes with a grid at a place in pixels, counted from the upper left corner."""
    across, down = picture.get_size_inches() * 100
    axes = picture.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK, labelsize=12 * POINT, length=0)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def write(picture: Picture, x: float, y: float, text: str, size: float = 12, **settings: Any) -> None:
    """Letters at a place in pixels, counted from the upper left corner."""
    across, down = picture.get_size_inches() * 100
    settings = {"color": INK, "va": "center", **settings}
    picture.text(x / across, 1 - y / down, text, size=size * POINT, **settings)


def legend_rows(labels: Sequence[str], width: float, size: float = 12) -> list[list[int]]:
    """Which entries of a legend stand in each of its rows of at most `width` pixels."""
    rows: list[list[int]] = [[]]
    used = 0.0
    for i, label in enumerate(labels):
        entry = 46 + len(label) * LETTER * size / 12
        if rows[-1] and used + entry > width:
            rows.append([])
            used = 0.0
        rows[-1].append(i)
        used += entry
    return rows


def legend(picture: Picture, left: float, top: float, width: float, entries: Sequence[tuple[Artist, str]]) -> None:
    """A legend in rows, its upper left corner at a place in pixels; a row takes 20 pixels."""
    across, down = picture.get_size_inches() * 100
    for row, places in enumerate(legend_rows([label for _, label in entries], width)):
        picture.legend(
            [entries[i][0] for i in places],
            [entries[i][1] for i in places],
            loc="center left",
            bbox_to_anchor=(left / across, 1 - (top + 20 * row + 10) / down),
            ncols=len(places),
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            columnspacing=1.4,
            handletextpad=0.5,
            handlelength=2.2,
            labelcolor=INK,
            fontsize=12 * POINT,
        )


def fitting(text: str, width: float, size: float) -> float:
    """The size of letters, at most `size`, at which a text fits into so many pixels with a little room."""
    return min(size, width / (0.7 * len(text)))


def letters_on(value: float) -> str:
    """The colour of letters on a cell of the colour of `value` in [0, 1]: black or white, whichever is clearer."""
    red, green, blue = colour_of(value)
    return "#1d2127" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.6 else "#ffffff"


def png(picture: Picture) -> bytes:
    """The picture as a file: 128 colours, which look the same and take a third of the bytes."""
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", transparent=True)
    palette = Image.open(buffer).quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    content = io.BytesIO()
    palette.save(content, format="png", optimize=True)
    return content.getvalue()
