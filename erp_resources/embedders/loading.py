"""An embedder from the settings that a router's bundle holds: what `erp.load_router` finds as an entry point.

What belongs here: making the function that embeds. What to keep out: the backends.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from erp_resources.embedders import EmbedderEntry
from erp_resources.settings import UserError


def embed_function(
    settings: Mapping[str, Any], root: Path, fingerprint: str = ""
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """A function that embeds n texts as the embedder of these settings does, (n, d).

    Raises `UserError` when it cannot be loaded, or is not the one that has this fingerprint.
    """
    try:
        entry: Any = TypeAdapter(EmbedderEntry).validate_python(dict(settings))
    except ValidationError as error:
        raise UserError(f"the router's embedder is not one of this version: {dict(settings)}; make it again") from error
    if fingerprint and entry.fingerprint(root) != fingerprint:
        raise UserError(
            f"the embedding model '{entry.model}' is not as it was when the router was trained: its files or settings "
            "have changed; make the router again with: erp run"
        )
    embedder = entry.load(root)
    return lambda texts: embedder.embed(texts).embeddings
