"""The trained routers of a pool, ready to route prompts.

What belongs here: joining a stored router with its embedder, and telling whether it is today's. What to keep out: the
decision rule (`erp.routing`) and the bundle's format (`erp.router`).
"""

import dataclasses
import datetime
import warnings

import erp
from erp_resources.embedders.loading import embed_function
from erp_resources.lineage import Partition, states
from erp_resources.notes import Notes
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse


@dataclasses.dataclass(frozen=True)
class StoredRouter:
    """A router as it was made last, without LLMs that the pool file no longer has.

    `stale`: the pool file, or what the router was made from, has changed since; `said` tells what, in a line.
    """

    router: erp.Router
    stale: bool
    said: str = ""


def load_router(pool: Pool, reward_model: str, strict: bool = False) -> erp.Router:
    """The router of a reward model, as it was materialised last, with the pool's embedder.

    Of a router that is not today's a warning says so; with `strict` it is refused. It never names an LLM that the pool
    file no longer has. Raises `UserError` when there is none yet, when it is damaged or of another version, when none
    of its LLMs is left, or when the pool file names another embedder by now.
    """
    found = stored_router(pool, reward_model)
    if found.stale:
        if strict:
            raise UserError(f"refused, since strict is set: {found.said}")
        warnings.warn(found.said, stacklevel=2)
    return with_embedder(pool, found.router)


def stored_router(pool: Pool, reward_model: str) -> StoredRouter:
    """The router of a reward model and whether it is today's; it cannot embed yet."""
    again = f"make it again with: erp run --pool {pool.name}"
    place = Warehouse(pool).place(Partition("router", reward_model))
    try:
        router = erp.Router.load(place)
    except FileNotFoundError:
        if place.is_dir() and any(place.iterdir()):
            raise UserError(f"the router for '{reward_model}' in {place} has lost files; {again}") from None
        raise UserError(
            f"there is no router for '{reward_model}' of pool '{pool.name}' yet; make it with: "
            f"erp run --pool {pool.name}"
        ) from None
    except (ValueError, KeyError, OSError) as error:
        why = str(error).removesuffix(": make the router again")
        raise UserError(f"the router for '{reward_model}' cannot be used: {why}\nM{again[1:]}") from error
    if dict(router.embedder) != pool.embedder.model_dump(mode="json"):
        raise UserError(
            f"the router for '{reward_model}' was trained with another embedder than the pool file names; {again}"
        )
    left = [llm for llm in router.llms if llm in pool.llms]
    if not left:
        raise UserError(
            f"the router for '{reward_model}' has {', '.join(router.llms)}, and the pool file has none of them any "
            f"more; {again}"
        )
    changes = _changes(pool, reward_model, router)
    if not changes:
        return StoredRouter(router, stale=False)
    said = f"router of {_shown_time(router.made)}; the pool has changed since: {', '.join(changes)}; {again}"
    return StoredRouter(router if len(left) == len(router.llms) else router.only(left), stale=True, said=said)


def with_embedder(pool: Pool, router: erp.Router) -> erp.Router:
    """The router, able to embed prompts. Raises `UserError` when the embedder cannot be loaded, or has changed."""
    embed = embed_function(router.embedder, pool.root, router.embedder_fingerprint)
    return dataclasses.replace(router, embed=embed)


def _changes(pool: Pool, reward_model: str, router: erp.Router) -> list[str]:
    """What is not as it was when the router was made, in words; nothing when it is today's."""
    removed = [f"{llm} removed" for llm in router.llms if llm not in pool.llms]
    warehouse = Warehouse(pool)
    tried = Notes(warehouse.folder).all().items()
    failed = {partition for partition, note in tried if note.last_try is not None and note.last_try.failure is not None}
    state = states(pool, warehouse.stamp, failed=failed)[Partition("router", reward_model)]
    if state == "materialized":
        return removed
    added = [f"{llm} added" for llm in pool.llms if llm not in router.llms]
    return removed + added or ["what it was made from is not as it was"]


def _shown_time(made: str) -> str:
    """A time as people say it: without the date when it is today's."""
    when = datetime.datetime.fromisoformat(made).astimezone()
    return f"{when:%H:%M}" if when.date() == datetime.datetime.now().astimezone().date() else f"{when:%Y-%m-%d %H:%M}"
