"""Damage to what is stored: found before it is built upon.

What belongs here: the search through a pool's warehouse. What to keep out: how one damaged file is noticed and set
aside (`store`), and making it again (`erp_assets`).

A file is read whole, with its checksums, when it is new or was touched, and else once a day, since a disk tells nobody
what it loses.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from erp_resources.files import replace_file
from erp_resources.lineage import STAGES, Partition
from erp_resources.warehouse.part_files import part_files
from erp_resources.warehouse.schemas import SCHEMAS, shown_name
from erp_resources.warehouse.store import Warehouse
from erp_resources.warehouse.table_file import DamagedFileError, verify

_AGAIN_AFTER = 86_400.0
"""Seconds after which a file that nobody touched is read again."""


def find_damage(warehouse: Warehouse, tables_only: bool = False) -> list[str]:
    """What is damaged of a pool, in words. Damaged tables are set aside, so that they are missing from here on.

    Raises `UserError` for what the system does not let be read.
    """
    note = warehouse.folder / ".verified.json"
    before = _read_note(note)
    now = time.time()
    verified: dict[str, list[float]] = {}
    said = []
    for partition, path in _current_files(warehouse):
        name = str(path.relative_to(warehouse.folder))
        try:
            stat = path.stat()
            mark = [stat.st_size, stat.st_ctime_ns]
            known = before.get(name, [])
            if known[:2] == mark and 0 <= now - known[2] < _AGAIN_AFTER:
                verified[name] = known
                continue
            verify(path)
            verified[name] = [*mark, now]
        except FileNotFoundError:
            continue  # replaced just now
        except DamagedFileError as error:
            said.append(warehouse.set_aside(partition, path, str(error)))
        except OSError as error:
            raise warehouse.out_of_reach(partition, error) from error
    for asset in () if tables_only else [asset for asset in STAGES if asset not in SCHEMAS]:
        said += [
            f"{shown_name(Partition(asset, key))} of pool '{warehouse.pool.name}' is damaged or incomplete: {folder}; "
            f"it is made again by: erp run --pool {warehouse.pool.name}"
            for key, folder in warehouse.folders(asset).items()
            if any(folder.iterdir()) and warehouse.stamp(Partition(asset, key)) is None
        ]
    if verified != before:
        with contextlib.suppress(OSError):  # then they are read again next time
            replace_file(note, json.dumps(verified).encode())
    return said


def damaged_partitions(warehouse: Warehouse) -> list[Partition]:
    """The partitions of tables that were found damaged, and are not made again yet."""
    return [
        Partition(asset, key)
        for asset in SCHEMAS
        for key, folder in warehouse.folders(asset).items()
        if (found := part_files(folder)).damaged and (not found.parts or found.damaged[-1][0] > found.parts[-1][0])
    ]


def damaged_files(warehouse: Warehouse, asset: str) -> list[tuple[Partition, Path]]:
    """The files of a table that were set aside and whose partitions are made again since."""
    if asset not in SCHEMAS:
        return []
    return [
        (Partition(asset, key), path)
        for key, folder in warehouse.folders(asset).items()
        for found in [part_files(folder)]
        for number, path in found.damaged
        if found.parts and found.parts[-1][0] > number
    ]


def _current_files(warehouse: Warehouse) -> Iterator[tuple[Partition, Path]]:
    for asset in SCHEMAS:
        for key, folder in warehouse.folders(asset).items():
            if (current := part_files(folder).current) is not None:
                yield Partition(asset, key), current


def _read_note(path: Path) -> dict[str, list[float]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
