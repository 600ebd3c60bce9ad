"""How far predictions were off at every re-evaluation.

What belongs here: the figure of biases over time. What to keep out: biases and alarms (`erp.drift`).
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Picture
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from erp.figures.layout import LETTER, label_width, padded, reach, shaped, shortened
from erp.figures.pictures import POINT, WIDTH, blank, legend, legend_rows, panel, png, write
from erp.figures.style import INK, POLICIES

_NAME, _ROW, _RIGHT = 26, 64, 44
_KEYS = (
    ("o", POLICIES["ERP"].colour, "as predicted, within chance"),
    ("X", POLICIES["random"].colour, "alarm: biased by more than chance explains"),
)


def history_png(
    times: Sequence[str], llms: Sequence[str], bias: ArrayLike, low: ArrayLike, high: ArrayLike, alarms: ArrayLike
) -> bytes:
    """What every LLM earned beyond what was predicted, at every re-evaluation, as a PNG 1,440 pixels wide.

    Parameters
    ----------
    times : (T,)
        The re-evaluations, from the first on: a date, YYYY-MM-DD, and what tells apart those of a day behind it.
    llms : (M,)
        A panel of the picture for each, all with the same scale.
    bias, low, high : (T, M)
        Mean of fresh less predicted rewards, and the ends of its interval; nan where an LLM was not re-evaluated.
    alarms : booleans (T, M)
        Whether a bias stands when all comparisons of its re-evaluation are looked at together.

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    return png(_picture(times, llms, bias, low, high, alarms))


def _picture(
    times: Sequence[str], llms: Sequence[str], bias: ArrayLike, low: ArrayLike, high: ArrayLike, alarms: ArrayLike
) -> Picture:
    shape = (len(times), len(llms))
    bias, low, high = shaped("bias", bias, shape), shaped("low", low, shape), shaped("high", high, shape)
    alarms = shaped("alarms", np.asarray(alarms, dtype=np.float64), shape) > 0
    known = np.concatenate([bias.ravel(), low.ravel(), high.ravel(), [0.0]])
    known = known[np.isfinite(known)]
    window = padded(known.min(), known.max(), 0.08, 0.08) if np.ptp(known) else (-1.0, 1.0)
    levels = [level for level in MaxNLocator(3).tick_values(*window) if window[0] <= level <= window[1]]
    heights = [f"{level:g}".replace("-", "−") for level in levels]
    left = label_width(heights, 12)
    width = WIDTH - left - _RIGHT
    dates = _dates(times)
    named = _named(dates, width)
    head = 10 + 20 * len(legend_rows([text for *_, text in _KEYS], WIDTH)) + 20
    picture = blank(head + (_NAME + _ROW) * len(llms) + 44)
    entries = [(Line2D([], [], color=colour, marker=marker, linestyle=""), text) for marker, colour, text in _KEYS]
    legend(picture, 0, 2, WIDTH, entries)
    write(picture, 8, head - 16, "Mean of fresh less predicted rewards, with its 95 % interval")
    for i, llm in enumerate(llms):
        above = head + (_NAME + _ROW) * i
        write(picture, left, above + _NAME / 2, shortened(llm, 70), weight="bold")
        axes = panel(picture, left, above + _NAME, width, _ROW)
        axes.axhline(0, color=INK, linewidth=1.5 * POINT)
        for chosen, (marker, colour, _) in zip((~alarms[:, i], alarms[:, i]), _KEYS, strict=True):
            place = np.flatnonzero(chosen & np.isfinite(bias[:, i]))
            axes.errorbar(
                place,
                bias[place, i],
                yerr=np.nan_to_num(reach(bias[place, i], low[place, i], high[place, i])),
                fmt=marker,
                color=colour,
                markersize=(8 if marker == "X" else 6) * POINT,
                elinewidth=1.6 * POINT,
                capsize=2.5 * POINT,
            )
        axes.set(xlim=(-0.5, len(times) - 0.5), ylim=window, xticks=named, yticks=levels, yticklabels=heights)
        axes.set_xticklabels([dates[place] for place in named] if i == len(llms) - 1 else [""] * len(named))
    return picture


def _dates(times: Sequence[str]) -> list[str]:
    """The times as words: a date, and in a second line what is behind it where a date comes twice."""
    days = [time[:10] for time in times]
    if len(set(days)) == len(days):
        return days
    return [f"{day}\n{time[10:].lstrip('-T ')}" for day, time in zip(days, times, strict=True)]


def _named(dates: Sequence[str], width: float) -> list[int]:
    """Which dates have room below so many pixels: every k-th, the last among them."""
    longest = max((len(line) for date in dates for line in date.split("\n")), default=0)
    step = int(np.ceil(len(dates) * (1.1 * LETTER * longest + 12) / width))
    return list(range(len(dates) - 1, -1, -max(1, step)))[::-1]
