"""The interface of an embedder."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Embedded(NamedTuple):
    """Embeddings, shape (n, d), and how many of the n texts had to be truncated."""

    embeddings: NDArray[np.float32]
    truncated: int


class Embedder(Protocol):
    """A fixed map from texts to vectors."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed n texts, in their order."""
        ...
