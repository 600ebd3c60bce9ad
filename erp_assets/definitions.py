"""The code location: every pool file in pools/ as one asset graph.

What belongs here: the assembly of definitions. What to keep out: assets and checks, which stand in a
module per stage.

Every process of Dagster loads all pools: the UI, the daemon, and each run. So a file that is not valid, or only half
saved, is left out here, and stops no other pool; in its place stands one asset that says what is wrong.
"""

import logging
import textwrap
import warnings
from collections.abc import Mapping
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
    splits,
)
from erp_assets.automation import sensor_of
from erp_assets.stage import IO_MANAGER
from erp_resources.io_manager import WarehouseIOManager
from erp_resources.pool import Pool, find_root, load_pool, pool_names
from erp_resources.settings import UserError

# Partitioned checks are a preview and the mapping from two dimensions to one is beta in the version of
# Dagster that is pinned; both are tested here, and a user can do nothing about the warnings.
for _category in (BetaWarning, PreviewWarning):
    warnings.filterwarnings("ignore", category=_category)

INVALID = "pool_file_is_invalid"
"""The asset that stands for a pool whose file cannot be used."""

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
    splits,
    router,
    report,
    reevaluation,
)


def build_defs(pools: list[Pool], invalid: Mapping[str, str] | None = None) -> dg.Definitions:
    """The assets, checks and warehouse of these pools, and what is wrong with those whose files are `invalid`."""
    built = [definition for pool in pools for module in _STAGES for definition in module.build(pool)]
    return dg.Definitions(
        assets=[
            *(definition for definition in built if not isinstance(definition, dg.AssetChecksDefinition)),
            *(_refusal(name, error) for name, error in (invalid or {}).items()),
        ],
        asset_checks=[definition for definition in built if isinstance(definition, dg.AssetChecksDefinition)],
        sensors=[sensor_of(pool) for pool in pools],
        executor=dg.in_process_executor,  # a run is a process already, and its steps are short
        resources={IO_MANAGER: WarehouseIOManager({pool.name: pool for pool in pools})},
    )


def _refusal(name: str, error: str) -> dg.AssetSpec:
    """What the UI shows in the place of a pool: why its file is left out."""
    # Indented, Markdown shows it as it is, whatever the file has in it.
    said = f"This pool is left out until its file is valid:\n\n{textwrap.indent(error, '    ')}"
    return dg.AssetSpec([name, INVALID], description=said, group_name="invalid_pool_files", kinds={"yaml"})


def load_pools(root: Path) -> tuple[list[Pool], dict[str, str]]:
    """The pools of a project whose files are valid, and by name what is wrong with the others."""
    pools, invalid = [], {}
    for name in pool_names(root):
        try:
            pools.append(load_pool(name, root))
        except UserError as error:
            invalid[name] = str(error)
        except Exception as error:  # a mistake of ours: it stops this pool, and no other
            invalid[name] = f"pools/{name}.yaml cannot be read: {error!r}"
    return pools, invalid


def load_definitions(root: Path) -> dg.Definitions:
    """The definitions of a project: those of every valid pool file, and what is wrong with the others."""
    pools, invalid = load_pools(root)
    for name, error in invalid.items():
        logging.getLogger("dagster").warning(f"pool '{name}' is left out until its file is valid: {error}")
    return build_defs(pools, invalid)


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev`, `dg dev` and `erp ui` load."""
    return load_definitions(find_root())
