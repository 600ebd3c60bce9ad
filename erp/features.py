"""What the probes read of a prompt: its embedding, its form, and which prompts it is like.

What belongs here: the map from embeddings and texts to the features of a linear probe, fitted without any reward.
What to keep out: embedding models, and the probes themselves (`erp.probes`).

A probe on the embedding alone (the paper's, `Features.of_embedding`) has to find out from rewards what kinds of
prompts there are, in hundreds of directions at once. Told the kinds, it needs few rewards to learn who is good at
which: `Features.fit` adds what an embedding model hardly keeps, the form of the text (its length, digits, code,
options), and membership in several k-means clusterings of both. The probe stays linear and its leave-one-out
predictions exact. `benchmarks/routing_quality.py` shows what each part is worth.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans

from erp._check import Floats, finite

CLUSTERINGS = (16, 32) * 4
"""How many clusters each of the clusterings has: fits from several starts, since one alone is noisy."""

_FEWEST = 4
"""Train prompts to a cluster, on average, below which a clustering has fewer clusters."""

_FORM_WEIGHT = 0.1
"""Of a statistic of form with unit variance, beside an embedding of unit norm."""

_LINEAR_WEIGHT = 0.3
"""Of the embedding and the form themselves in the features' inner product, beside the share of common clusters."""

_FARTHEST = 5.0

_STATISTICS = 18

_OPTION = re.compile(r"(?m)^\s*\(?[A-J][).:]")
_CODE = re.compile(r"\b(?:def|return|import|class|function|assert|var|int|void|SELECT)\b")
_NUMBER = re.compile(r"\d+")


def form(texts: Sequence[str]) -> Floats:
    """Statistics of the form of n texts, (n, 18): lengths, shares of kinds of letters, marks of options and code."""
    return np.array([_form(text) for text in texts], dtype=np.float64).reshape(len(texts), _STATISTICS)


def _form(text: str) -> list[float]:
    length, words = len(text), len(text.split())
    per_letter = 1 / max(1, length)
    return [
        np.log1p(length),
        np.log1p(words),
        np.log1p(text.count("\n")),
        length / (words + 1),
        sum(map(str.isdigit, text)) * per_letter,
        sum(map(str.isupper, text)) * per_letter,
        (length - sum(map(str.isalnum, text)) - sum(map(str.isspace, text))) * per_letter,
        sum(letter > "\x7f" for letter in text) * per_letter,
        np.log1p(text.count("?")),
        np.log1p(text.count("$")),
        np.log1p(text.count("\\")),
        np.log1p(len(_OPTION.findall(text))),
        np.log1p(len(_CODE.findall(text))),
        np.log1p(len(_NUMBER.findall(text))),
        np.log1p(text.count("=")),
        np.log1p(text.count(",")),
        text.rstrip().endswith("?"),
        text.rstrip().endswith("."),
    ]


@dataclass(frozen=True, eq=False)
class Features:
    """A fitted map from embeddings (n, d) and texts to features (n, f); read-only.

    Attributes
    ----------
    form_mean, form_scale : (s,)
        What statistics of form are centred and divided by; s is 0 for the embedding alone.
    centres : (c, d + s)
        The centres of all clusterings, one below the other.
    sizes : (k,)
        How many of them each clustering has.
    """

    form_mean: Floats = field(default_factory=lambda: np.empty(0))
    form_scale: Floats = field(default_factory=lambda: np.empty(0))
    centres: Floats = field(default_factory=lambda: np.empty((0, 0)))
    sizes: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of_embedding(cls) -> Self:
        """The embedding as it is: the paper's probe (equation 3.2)."""
        return cls()

    @classmethod
    def fit(cls, embeddings: ArrayLike, texts: Sequence[str], seed: int = 0) -> Self:
        """Standardise the form and cluster the train prompts, by embeddings (n, d) of unit norm and n texts.

        Raises `ValueError` when their numbers differ or an embedding is not finite.
        """
        embeddings = finite("embeddings", embeddings, 2, (len(texts), None))
        statistics = form(texts)
        mean, scale = statistics.mean(axis=0), statistics.std(axis=0)
        scale[scale == 0] = 1.0
        joined = _joined(embeddings, statistics, mean, scale)
        distinct = len(np.unique(joined, axis=0))
        centres = []
        for start, clusters in enumerate(CLUSTERINGS):
            clusters = max(1, min(clusters, len(texts) // _FEWEST, distinct))
            model = KMeans(clusters, n_init=1, random_state=seed + start).fit(joined)
            centres.append(model.cluster_centers_)
        return cls(mean, scale, np.concatenate(centres), np.array([float(len(part)) for part in centres]))

    @property
    def needs_texts(self) -> bool:
        """Whether the features are more than the embedding."""
        return self.form_mean.size > 0

    def __call__(self, embeddings: ArrayLike, texts: Sequence[str] | None = None) -> Floats:
        """The features (n, f) of embeddings (n, d), and of their texts where they are needed.

        Raises `ValueError` when texts are needed and missing, shapes do not fit or an embedding is not finite.
        """
        if not self.needs_texts:
            return finite("embeddings", embeddings, 2)
        if texts is None:
            raise ValueError("these features read the prompts' texts as well: give both texts and embeddings")
        dimensions = self.centres.shape[1] - self.form_mean.size
        embeddings = finite("embeddings", embeddings, 2, (len(texts), dimensions))
        joined = _joined(embeddings, form(texts), self.form_mean, self.form_scale)
        # The nearest centre has the largest inner product less half of its own squared norm.
        nearness = joined @ self.centres.T - np.square(self.centres).sum(axis=1) / 2
        member = np.zeros_like(nearness)
        end = 0
        for size in self.sizes.astype(int):
            place = end + nearness[:, end : end + size].argmax(axis=1)
            member[np.arange(len(texts)), place] = 1 / np.sqrt(self.sizes.size)
            end += size
        return np.concatenate([member, np.sqrt(_LINEAR_WEIGHT) * joined], axis=1)

    def tensors(self) -> dict[str, Floats]:
        """Its arrays by name, to be stored."""
        return {name: getattr(self, name) for name in ("form_mean", "form_scale", "centres", "sizes")}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Floats]) -> Self:
        """The map whose `tensors` were stored."""
        return cls(*(np.asarray(tensors[name]) for name in ("form_mean", "form_scale", "centres", "sizes")))


def _joined(embeddings: Floats, statistics: Floats, mean: Floats, scale: Floats) -> Floats:
    """Embeddings (n, d) and standardised statistics (n, s) side by side; what is far out counts as far, not more."""
    standardised = np.clip((statistics - mean) / scale, -_FARTHEST, _FARTHEST)
    return np.concatenate([embeddings, _FORM_WEIGHT * standardised], axis=1)
