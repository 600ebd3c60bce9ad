"""How far predictions were off at every re-evaluation.

What belongs here: the figure of biases over time. What to keep out: biases and alarms (`erp.drift`).
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from erp.figures.layout import label_width, padded, reach, shaped, shortened
from erp.figures.pictures import POINT, WIDTH, blank, legend, panel, png, write
from erp.figures.style import INK, POLICIES

_ROW, _GAP = 64, 14
_TIMES_NAMED = 6
_AS_PREDICTED, _ALARM = POLICIES["ERP"].colour, POLICIES["random"].colour


def history_png(
    times: Sequence[str], llms: Sequence[str], bias: ArrayLike, low: ArrayLike, high: ArrayLike, alarms: ArrayLike
) -> bytes:
    """What every LLM earned beyond what was predicted, at every re-evaluation, as a PNG 1,440 pixels wide.

    Parameters
    ----------
    times : (T,)
        The re-evaluations, from the first on.
    llms : (M,)
        A row of the picture for each, all with the same scale.
    bias, low, high : (T, M)
        Mean of fresh less predicted rewards, and the ends of its interval; nan where an LLM was not re-evaluated.
    alarms : booleans (T, M)
        Whether a bias stands when all comparisons of its re-evaluation are looked at together.

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    shape = (len(times), len(llms))
    bias, low, high = shaped("bias", bias, shape), shaped("low", low, shape), shaped("high", high, shape)
    alarms = shaped("alarms", np.asarray(alarms, dtype=np.float64), shape) > 0
    labels = [shortened(llm, 26) for llm in llms]
    left, top = label_width(labels, 12) + 46, 30
    picture = blank(top + (_ROW + _GAP) * len(llms) + 30)
    known = np.concatenate([bias.ravel(), low.ravel(), high.ravel(), [0.0]])
    known = known[np.isfinite(known)]
    window = padded(known.min(), known.max(), 0.08, 0.08) if np.ptp(known) else (-1.0, 1.0)
    named = np.unique(np.linspace(0, len(times) - 1, min(len(times), _TIMES_NAMED)).round().astype(int))
    for i, label in enumerate(labels):
        above = top + (_ROW + _GAP) * i
        axes = panel(picture, left, above, WIDTH - left - 44, _ROW)
        write(picture, 0, above + _ROW / 2, label)
        axes.axhline(0, color=INK, linewidth=1.5 * POINT)
        for chosen, colour, marker in ((~alarms[:, i], _AS_PREDICTED, "o"), (alarms[:, i], _ALARM, "X")):
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
        axes.set(xlim=(-0.5, len(times) - 0.5), ylim=window, xticks=named)
        axes.set_xticklabels(_dates(times, named) if i == len(labels) - 1 else [""] * len(named))
        axes.locator_params(axis="y", nbins=4)
    keys = (("o", _AS_PREDICTED, "as predicted, within chance"), ("X", _ALARM, "biased, by more than chance explains"))
    entries = [(Line2D([], [], color=colour, marker=marker, linestyle=""), text) for marker, colour, text in keys]
    legend(picture, left, 2, WIDTH - left, entries)
    return png(picture)


def _dates(times: Sequence[str], places: np.ndarray) -> list[str]:
    """The times at these places, without what is the same for all of them behind the date."""
    days = [time[:10] for time in times]
    unique = len(set(days)) == len(days)
    return [days[place] if unique else times[place] for place in places]
