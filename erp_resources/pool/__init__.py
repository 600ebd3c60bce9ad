"""The pool file: all that a user edits, validated once, with errors that name file, line and way out.

What belongs here: the shape of a pool file (`shape`), which YAML is read (`yaml_text`), how a file is found and read
(`loading`), and the wording of its errors (`mistakes`). What to keep out: the settings of a backend (they stand in that
backend's file), and what is done with a pool (`erp_assets`).
"""

from erp_resources.pool.loading import check_entries, find_root, line_of, load_pool, overlooked, pool_names
from erp_resources.pool.shape import POOLS_FOLDER, Pool, Split
from erp_resources.settings import WAREHOUSE_FOLDER

__all__ = [
    "POOLS_FOLDER",
    "WAREHOUSE_FOLDER",
    "Pool",
    "Split",
    "check_entries",
    "find_root",
    "line_of",
    "load_pool",
    "overlooked",
    "pool_names",
]
