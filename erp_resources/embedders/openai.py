"""Embedders behind any server that speaks OpenAI's embeddings."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from erp_resources.embedders.interface import Embedded, Embedder, Normalized
from erp_resources.openai_client import OpenAIServer, RefusedError, gather
from erp_resources.settings import Count

if TYPE_CHECKING:
    import openai


class OpenAIEmbedder(Normalized, OpenAIServer):
    """An embedding model behind an OpenAI-compatible server; its embeddings are scaled to unit norm.

    Servers refuse a text that is longer than the model's context: with `max_characters` texts are cut to
    that length first. `dimensions` asks a model that can for shorter embeddings. With `normalize: false` they are what
    the server gives: most, OpenAI's own among them, scale to unit norm themselves.
    """

    backend: Literal["openai"]
    batch_size: Count = 128
    dimensions: Count | None = None
    max_characters: Count | None = None

    def load(self, root: Path) -> Embedder:
        """Connect to nothing yet. Raises `UserError` when the openai package or the key is missing."""
        return _OpenAIEmbedder(self)

    def inspect(self, root: Path) -> None:
        """See that the server answers. Raises `UserError` when it does not."""
        self.check_server()

    def too_long(self, root: Path, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts (n,) `max_characters` cuts; how long a text may be only the server knows."""
        return _longer(texts, self.max_characters)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the embeddings: not with key, patience, batches or concurrency."""
        names = ("backend", "model", "base_url", "dimensions", "max_characters")
        chosen = {name: getattr(self, name) for name in names}
        return json.dumps(chosen if self.normalize else chosen | {"normalize": False})


class _OpenAIEmbedder:
    """See `Embedder`."""

    def __init__(self, settings: OpenAIEmbedder) -> None:
        self._settings = settings
        self._client = settings.connect(_is_embeddings)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """See `Embedder.embed`; without texts and `dimensions`, d is 0.

        Raises `UserError` when the server fails, or refuses a text.
        """
        size = self._settings.batch_size
        if not texts:
            return Embedded(np.empty((0, self._settings.dimensions or 0), dtype=np.float32), np.zeros(0, dtype=bool))
        cut = [text[: self._settings.max_characters] for text in texts]
        batches = [cut[start : start + size] for start in range(0, len(cut), size)]
        parts = self._client.run(gather(map(self._embed, batches)))
        lengths = sorted({part.shape[1] for part in parts})
        if lengths != [self._settings.dimensions or lengths[0]]:
            raise self._client.error(
                f"its embeddings have {' and '.join(map(str, lengths))} dimensions; "
                "leave out dimensions, which not every model can choose"
            )
        embeddings = np.concatenate(parts)
        if not np.isfinite(embeddings).all():
            raise self._client.error("an embedding holds numbers that are not finite; see the server's log")
        if self._settings.normalize:
            # A vector of zeros has no direction and stays as it is. By the largest number first: squares may overflow.
            embeddings /= _or_one(np.abs(embeddings).max(axis=1, keepdims=True))
            embeddings /= _or_one(np.linalg.norm(embeddings, axis=1, keepdims=True))
        elif np.abs(embeddings).max() > np.finfo(np.float32).max:
            raise self._client.error("an embedding holds numbers beyond single precision; leave out normalize: false")
        return Embedded(embeddings.astype(np.float32), _longer(texts, self._settings.max_characters))

    async def _embed(self, texts: list[str]) -> NDArray[np.float64]:
        body: dict[str, Any] = {"model": self._settings.model, "input": texts}
        if self._settings.dimensions is not None:
            body["dimensions"] = self._settings.dimensions
        try:
            async with self._client.slot:
                answer = await self._client.ask(partial(_create, body=body))
        except RefusedError as error:
            refused = str(error) or "it did not say why"
        else:
            items = sorted(answer["data"], key=lambda item: item["index"])
            if [item["index"] for item in items] != list(range(len(texts))):
                raise self._client.error(f"it gave {len(items)} embeddings for {len(texts)} texts; lower batch_size")
            return np.array([item["embedding"] for item in items], dtype=np.float64)
        empty = sum(not text.strip() for text in texts)
        raise self._client.error(
            f"the server refuses a request of {len(texts)} texts, the longest of {max(map(len, texts))} characters: "
            f"{refused}; if one is too long set max_characters, if they are too many lower batch_size"
            + (f"; {empty} of them are empty, which many servers refuse" if empty else "")
        )


def _or_one(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(sizes == 0, 1, sizes)


def _longer(texts: Sequence[str], characters: int | None) -> NDArray[np.bool_]:
    return np.array([characters is not None and len(text) > characters for text in texts], dtype=bool)


async def _create(client: "openai.AsyncOpenAI", body: dict[str, Any]) -> Any:
    # The client would ask for base64, which not every server has.
    return await client.embeddings.with_raw_response.create(**body, encoding_format="float")


def _is_embeddings(answer: Any) -> bool:
    """Whether there is an embedding of numbers, all of one length, for every index."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
        return False
    vectors = [item.get("embedding") for item in data]
    return (
        all(type(item.get("index")) is int for item in data)
        and all(isinstance(vector, list) and vector for vector in vectors)
        and len({len(vector) for vector in vectors}) == 1
        and {type(number) for vector in vectors for number in vector} <= {int, float}
        and all(abs(number) < 1e308 for vector in vectors for number in vector if type(number) is int)
    )
