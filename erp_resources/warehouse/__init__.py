"""The warehouse: one Parquet file per partition, replaced whole, read by DuckDB through views.

What belongs here: the schemas of all tables, the reading and writing of partitions, staging, and the
views. What to keep out: what the numbers mean (`erp`), what is made from what (`lineage`), Dagster
(`io_manager`).

    warehouse/<pool>/<asset>/llm=<key>/reward_model=<key>/part-000001.parquet    the data
    warehouse/<pool>/.staging/...                                                chunks of unfinished partitions
    warehouse/<pool>.duckdb                                                      views over the data, nothing else

A partition is written beside its place and renamed to the next number, so that a file never changes: a reader sees the
old one or the new one, and a killed writer leaves the old one. The footer of a file carries its `Stamp`, its pages
carry checksums. Assets that are no table (the router, the report) are a folder of files with the stamp and their hashes
in `stamp.json`, written last.
"""

from erp_resources.warehouse.damage import damaged_files, damaged_partitions, find_damage
from erp_resources.warehouse.schemas import SCHEMAS, shown_name
from erp_resources.warehouse.staging import Staging
from erp_resources.warehouse.store import Partitions, Warehouse
from erp_resources.warehouse.table_file import TableFile

__all__ = [
    "SCHEMAS",
    "Partitions",
    "Staging",
    "TableFile",
    "Warehouse",
    "damaged_files",
    "damaged_partitions",
    "find_damage",
    "shown_name",
]
