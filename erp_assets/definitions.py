"""The code location: every pool file in pools/ as one asset graph.

What belongs here: the assembly of definitions. What to keep out: assets and checks, which stand in a
module per stage.
"""

import warnings
from pathlib import Path

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning, PreviewWarning

from erp_assets import (
    costs,
    evaluation,
    features,
    frontiers,
    generations,
    policies,
    probes,
    prompts,
    reevaluation,
    report,
    rewards,
    router,
)
from erp_assets.automation import sensor_of
from erp_assets.stage import IO_MANAGER
from erp_resources.io_manager import WarehouseIOManager
from erp_resources.pool import Pool, find_root, load_pool, pool_names

# Partitioned checks are a preview and the mapping from two dimensions to one is beta in the version of
# Dagster that is pinned; both are tested here, and a user can do nothing about the warnings.
for _category in (BetaWarning, PreviewWarning):
    warnings.filterwarnings("ignore", category=_category)

_STAGES = (
    prompts,
    features,
    generations,
    costs,
    rewards,
    probes,
    policies,
    evaluation,
    frontiers,
    router,
    report,
    reevaluation,
)


def build_defs(pools: list[Pool]) -> dg.Definitions:
    """The assets, checks and warehouse of these pools."""
    built = [definition for pool in pools for module in _STAGES for definition in module.build(pool)]
    return dg.Definitions(
        assets=[definition for definition in built if not isinstance(definition, dg.AssetChecksDefinition)],
        asset_checks=[definition for definition in built if isinstance(definition, dg.AssetChecksDefinition)],
        sensors=[sensor_of(pool) for pool in pools],
        executor=dg.in_process_executor,  # a run is a process already, and its steps are short
        resources={IO_MANAGER: WarehouseIOManager({pool.name: pool for pool in pools})},
    )


def load_definitions(root: Path) -> dg.Definitions:
    """The definitions of every pool file of a project; raises `UserError` when one of them is not valid."""
    return build_defs([load_pool(name, root) for name in pool_names(root)])


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev`, `dg dev` and `erp ui` load."""
    return load_definitions(find_root())
