"""The interface of an embedder."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Embedded(NamedTuple):
    """Embeddings, shape (n, d), and whether of each of the n texts only the beginning was read, (n,)."""

    embeddings: NDArray[np.float32]
    truncated: NDArray[np.bool_]


class Embedder(Protocol):
    """A fixed map from texts to vectors."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed n texts, in their order."""
        ...
