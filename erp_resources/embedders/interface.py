"""The interface of an embedder, and what the settings of every one have."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer

from erp_resources.settings import Settings

_UNIT = 1e-3
"""How far from 1 the norms of vectors in half precision may be that were scaled to it."""


class Normalized(Settings):
    """Whether embeddings are scaled to unit norm, so that one beta of the probe (equation 3.2) fits every embedder.

    `normalize: false` leaves them as the model gives them: beta then weighs as much as their norm says. The setting is
    stored, and part of a fingerprint, only where it is false: what was embedded and trained without it stays as it is.
    """

    normalize: bool = True

    @model_serializer(mode="wrap")
    def _only_what_was_chosen(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        chosen: dict[str, Any] = dump(self)
        if self.normalize:
            chosen.pop("normalize", None)
        return chosen


def are_unit(embeddings: NDArray[np.float32]) -> bool:
    """Whether all of the embeddings (n, d) have unit norm, but for those that are zero; not of none at all."""
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    norms = norms[norms > 0]
    return bool(norms.size) and bool(np.abs(norms - 1).max() < _UNIT)


class Embedded(NamedTuple):
    """Embeddings, shape (n, d), and whether of each of the n texts only the beginning was read, (n,)."""

    embeddings: NDArray[np.float32]
    truncated: NDArray[np.bool_]


class Embedder(Protocol):
    """A fixed map from texts to vectors."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed n texts, in their order."""
        ...
