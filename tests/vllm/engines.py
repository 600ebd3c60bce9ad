"""What the tests that start engines share."""

from multiprocessing import resource_tracker
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**28}


def living_children() -> list[str]:
    """The processes that this one has started and that still run."""
    import psutil

    tracker = resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    children = psutil.Process().children(recursive=True)
    return [f"{child.pid} {child.name()}" for child in children if child.pid != tracker]
