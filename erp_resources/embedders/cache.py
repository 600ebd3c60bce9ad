"""Embeddings that were computed before, by the hash of their text.

What belongs here: the cache of one embedder in the warehouse, which all pools share. What to keep out: embedding.

A file for every chunk of texts, written beside and renamed: what a crash costs is one chunk, and a corpus that grows,
or a second pool on the same prompts, embeds what is new. The folder may be deleted at any time.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from erp_resources.embedders.interface import Embedded, Embedder
from erp_resources.files import replace_by

_CACHE = ".embeddings"

CHUNK = 512
"""Texts that are embedded between two writes to disk."""


def cache_folder(warehouse: Path, embedder: str) -> Path:
    """Where the warehouse keeps what an embedder of this fingerprint embedded."""
    return warehouse / _CACHE / hashlib.blake2b(embedder.encode(), digest_size=8).hexdigest()


def cache_folders(warehouse: Path) -> set[Path]:
    """All such folders, of whatever embedder."""
    return {path for path in (warehouse / _CACHE).glob("*") if path.is_dir()}


def embed_once(
    texts: Sequence[str],
    folder: Path,
    load: Callable[[], Embedder],
    advance: Callable[[int], None] = lambda texts: None,
) -> Embedded:
    """The embeddings of n texts; those that `folder` lacks are computed, longest first, and kept there.

    The embedder is loaded only when there are some. `advance` is told how many texts were just finished. Texts of
    about the same length are embedded together, so that little is padded, and the time that is left is known early to
    be no more than it seems.
    """
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    known = _read(folder)
    missing = {digest: text for digest, text in zip(hashes, texts, strict=True) if digest not in known}
    advance(len(texts) - len(missing))
    new = sorted(missing.items(), key=lambda item: -len(item[1]))
    embedder = load() if new else None
    for start in range(0, len(new), CHUNK):
        chunk = new[start : start + CHUNK]
        assert embedder is not None
        embedded = embedder.embed([text for _, text in chunk])
        digests = [digest for digest, _ in chunk]
        _write(folder, digests, embedded)
        known |= {digest: (embedded, row) for row, digest in enumerate(digests)}
        advance(len(chunk))
    if not texts:
        return Embedded(np.empty((0, 0), dtype=np.float32), np.zeros(0, dtype=bool))
    rows = [known[digest] for digest in hashes]
    vectors = np.stack([embedded.embeddings[row] for embedded, row in rows])
    return Embedded(vectors, np.array([embedded.truncated[row] for embedded, row in rows]))


def _read(folder: Path) -> dict[bytes, tuple[Embedded, int]]:
    """Every stored text hash, and where its embedding is. What cannot be read is removed, and made again."""
    found: dict[bytes, tuple[Embedded, int]] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read().combine_chunks()
            flat = pc.list_flatten(table["embedding"]).to_numpy()
            embedded = Embedded(flat.reshape(table.num_rows, -1), table["truncated"].to_numpy())
            digests: list[bytes] = table["text"].to_pylist()
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            if getattr(error, "errno", None) is None:  # it is the file, and not what the system has against reading it
                path.unlink(missing_ok=True)
            continue
        found |= {digest: (embedded, row) for row, digest in enumerate(digests)}
    return found


def _write(folder: Path, digests: Sequence[bytes], embedded: Embedded) -> None:
    n, dimension = embedded.embeddings.shape
    flat = pa.array(embedded.embeddings.ravel(), type=pa.float32())
    table = pa.table(
        {
            "text": pa.array(digests, pa.binary()),
            "embedding": pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * dimension), flat),
            "truncated": pa.array(embedded.truncated),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(b"".join(sorted(digests)), digest_size=8).hexdigest()
    replace_by(
        folder / f"{name}.parquet",
        lambda path: pq.write_table(table, path, compression="zstd", write_page_checksum=True),
    )
