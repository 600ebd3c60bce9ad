"""Names beside points and lines, clear of everything else.

What belongs here: finding places for texts in a drawing of given pixels. What to keep out: what is named, and how
Plotly or matplotlib write it.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats
from erp.figures.layout import LETTER, LINE, NARROW, padded, shortened


class Window(NamedTuple):
    """The ranges that a drawing shows."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, x: Iterable[float], y: Iterable[float]) -> "Window":
        """All of these points, in y from 0 on, with room at the edges."""
        x, y = list(x), [0.0, *y]
        return cls(padded(min(x), max(x), 0.03, 0.05), padded(min(y), max(y), 0.03, 0.07))

    def pixels(self, x: ArrayLike, y: ArrayLike, width: float, height: float) -> Floats:
        """Points in pixels from the upper left corner, (k, 2)."""
        return np.column_stack(
            [
                (np.asarray(x, dtype=np.float64) - self.x[0]) / (self.x[1] - self.x[0]) * width,
                (self.y[1] - np.asarray(y, dtype=np.float64)) / (self.y[1] - self.y[0]) * height,
            ]
        )


class Label(NamedTuple):
    """A text beside the point (x, y): its edge or middle is (dx, dy) pixels right of and below the point."""

    text: str
    x: float
    y: float
    dx: float
    dy: float
    anchor: Literal["left", "center", "right"]
    leader: bool


class Named(NamedTuple):
    """A point with a name, in the units of the axes."""

    name: str
    x: float
    y: float


# A line through points in the units of the axes: x (k,), y (k,).
Line = tuple[Floats, Floats]


def place_labels(
    window: Window, width: float, height: float, size: float, points: Sequence[Named], lines: Sequence[Line]
) -> list[Label]:
    """Names beside the points, clear of points, lines and each other; what finds no place is left to hover.

    Greedy, the most crowded points first: of the places around a point, nearest first, the one that covers
    least.
    """
    centres = window.pixels([point.x for point in points], [point.y for point in points], width, height)
    obstacles = [centres, *(_along(window.pixels(*line, width, height)) for line in lines)]
    crowd = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1)) < 60
    taken: list[tuple[Floats, Floats]] = []
    labels = []
    for i in np.argsort(-crowd.sum(axis=1), kind="stable"):
        name, x, y = points[i]
        text = shortened(name, 32 if width > NARROW else 24)
        half = np.array([len(text) * LETTER, LINE]) * size / 12 / 2
        occupied = np.concatenate(obstacles)
        best: tuple[float, Label, Floats, Floats, Floats] | None = None
        for distance in (9.0, 26.0, 44.0, 66.0, 90.0):
            leader = distance > 9.0
            for right, down in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
                edge = np.array([right, down]) * distance * (0.75 if right and down else 1.0)
                middle = centres[i] + edge + (right * half[0], down * half[1])
                low, high = middle - half - 2, middle + half + 2
                line = _along(np.stack([centres[i], centres[i] + edge])) if leader else centres[[i]]
                others = np.delete(centres, i, axis=0)
                if (
                    np.any(low < 0)
                    or np.any(high > (width, height))
                    or any(np.all(low < box[1]) and np.all(high > box[0]) for box in taken)
                    or np.any(np.all((others > low - 4) & (others < high + 4), axis=1))
                    or any(np.all((line > box[0]) & (line < box[1]), axis=1).any() for box in taken)
                ):
                    continue
                covered = int(np.all((occupied > low) & (occupied < high), axis=1).sum())
                to_others = np.hypot(*(others[:, None] - line[None]).transpose(2, 0, 1))
                crossed = int((to_others < 7).any(axis=1).sum()) if leader else 0
                penalty = covered + 5 * crossed + distance / 10
                if covered < 12 and (best is None or penalty < best[0]):
                    anchor: Literal["left", "center", "right"] = (
                        "left" if right > 0 else "right" if right < 0 else "center"
                    )
                    dy = float(edge[1] + down * half[1])
                    best = (penalty, Label(text, x, y, float(edge[0]), dy, anchor, leader), low, high, line)
        if best is not None:
            _, label, low, high, line = best
            taken.append((low, high))
            obstacles.append(line)
            labels.append(label)
    return labels


def steps(x: Floats, y: Floats) -> Line:
    """The corners of steps through points (k,): each value holds until the next x."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def _along(corners: Floats, step: float = 3.0) -> Floats:
    """Points every few pixels along a line through the corners (k, 2)."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.linspace(0.0, length[-1], int(length[-1] / step) + 2)
    return np.column_stack([np.interp(at, length, corners[:, 0]), np.interp(at, length, corners[:, 1])])
