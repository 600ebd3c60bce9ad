"""The trained routers of a pool, ready to route prompts.

What belongs here: joining a stored router with its embedder. What to keep out: the decision rule
(`erp.routing`) and the bundle's format (`erp.router`).
"""

import dataclasses

import erp
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse


def load_router(pool: Pool, reward_model: str) -> erp.Router:
    """The router of a reward model, as it was materialised last, with the pool's embedder.

    Raises `UserError` when there is none yet, or when the pool file names another embedder by now.
    """
    try:
        router = erp.Router.load(Warehouse(pool).place(Partition("router", reward_model)))
    except FileNotFoundError:
        raise UserError(
            f"there is no router for '{reward_model}' of pool '{pool.name}' yet; "
            f"make it with: erp run --pool {pool.name}"
        ) from None
    if dict(router.embedder) != pool.embedder.model_dump(mode="json"):
        raise UserError(
            f"the router for '{reward_model}' was trained with another embedder than the pool file names; "
            f"make it again with: erp run --pool {pool.name}"
        )
    embedder = pool.embedder.load(pool.root)
    return dataclasses.replace(router, embed=lambda texts: embedder.embed(texts).embeddings)
