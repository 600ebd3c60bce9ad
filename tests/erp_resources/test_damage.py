"""Damage: what is stored is read as it was written, or is named, set aside and missing; never something else."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_warehouse import LARGE, SMALL, pool, rewards, warehouse

from erp_resources.lineage import STAGES, Partition
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Warehouse, damaged_partitions, find_damage
from erp_resources.warehouse.journal import Journal
from erp_resources.warehouse.schemas import fitted

__all__ = ["pool", "warehouse"]  # fixtures

REPORT = Partition("report", "")


def file_of(warehouse: Warehouse, partition: Partition) -> Path:
    path = warehouse.current_file(partition)
    assert path is not None
    return path


def flip(path: Path, place: int, bit: int = 3) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)


def zero_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(2).data_page_offset
    content[start + 20 : start + 300] = bytes(280)
    path.write_bytes(content)


def into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("else")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of a page flipped": lambda path: flip(path, 60),
    "a page zeroed": zero_page,
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "another file": lambda path: path.write_bytes(b"PAR1 not really PAR1"),
    "a folder in its place": into_folder,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_partition_is_named_set_aside_and_missing_until_it_is_made_again(
    warehouse: Warehouse, kind: str
) -> None:
    warehouse.write(SMALL, rewards(3_000), "f")
    warehouse.write(LARGE, rewards(5), "f")
    path = file_of(warehouse, SMALL)
    DAMAGE[kind](path)
    (said,) = find_damage(warehouse)
    assert "rewards[small|taste] of pool 'demo' is damaged" in said
    assert "erp run --pool demo" in said
    assert warehouse.stamp(SMALL) is None
    assert not path.exists()
    assert path.with_name(f"{path.name}.damaged").exists()
    assert damaged_partitions(warehouse) == [SMALL]
    assert find_damage(warehouse) == []
    with warehouse.connect() as connection:
        assert connection.execute("SELECT llm, count(*) FROM rewards GROUP BY llm").fetchall() == [("org/large", 5)]
    warehouse.write(SMALL, rewards(3_000), "f")
    assert warehouse.read(SMALL).num_rows == 3_000
    assert damaged_partitions(warehouse) == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_reading_a_damaged_partition_ends_in_words_and_one_that_was_never_looked_at_is_found_by_it(
    warehouse: Warehouse, kind: str
) -> None:
    warehouse.write(SMALL, rewards(3_000), "f")
    DAMAGE[kind](file_of(warehouse, SMALL))
    with pytest.raises(UserError, match=r"rewards\[small\|taste\].*is damaged.*erp run --pool demo"):
        warehouse.read(SMALL)
    assert warehouse.stamp(SMALL) is None


@example(place=697, bit=4)  # in the footer: a column of another type
@given(place=st.integers(0, 1_000_000), bit=st.integers(0, 7))
def test_with_any_bit_flipped_a_partition_is_what_was_written_or_damaged(
    warehouse: Warehouse, place: int, bit: int
) -> None:
    for path in warehouse.place(SMALL).glob("part*"):
        path.unlink()
    warehouse.put(SMALL, rewards(40), "f")
    flip(file_of(warehouse, SMALL), place, bit)
    if not find_damage(warehouse) and warehouse.stamp(SMALL) is not None:
        assert warehouse.read(SMALL).equals(fitted(rewards(40), SMALL))
        with warehouse.connect() as connection:  # which looks at no checksums
            found = connection.execute("SELECT prompt_id, reward FROM rewards WHERE prompt_id > 'p01'").fetchall()
        assert found == [(f"p{i:03d}", float(i)) for i in range(10, 40)]


VALUES = {pa.string(): ["a", "", "ünï"], pa.bool_(): [True, False, True]}


@pytest.mark.parametrize("asset", SCHEMAS)
def test_every_table_is_sound_as_it_was_written(warehouse: Warehouse, asset: str) -> None:
    partition = Partition(asset, "|".join(["a"] * len(STAGES[asset].dimensions)))
    columns = {
        field.name: pa.array(
            [[0.5, -1.0], [], [2.5]] if pa.types.is_list(field.type) else VALUES.get(field.type, [1, 0, 7])
        )
        for field in SCHEMAS[asset]
    }
    table = pa.table({name: column.cast(SCHEMAS[asset].field(name).type) for name, column in columns.items()})
    warehouse.put(partition, table, "f")
    assert find_damage(warehouse) == []
    assert warehouse.read(partition).equals(table.cast(SCHEMAS[asset]))


def test_the_partition_that_was_superseded_just_before_takes_the_place_of_a_damaged_one(warehouse: Warehouse) -> None:
    warehouse.write(SMALL, rewards(3), "before")
    warehouse.write(SMALL, rewards(4), "now")
    flip(file_of(warehouse, SMALL), 60)
    assert len(find_damage(warehouse)) == 1
    assert warehouse.stamp(SMALL).fingerprint == "before"  # type: ignore[union-attr]
    warehouse.write(SMALL, rewards(4), "now")
    assert file_of(warehouse, SMALL).name == "part-000003.parquet"


def test_a_file_is_read_again_when_it_was_touched_and_once_a_day(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.write(SMALL, rewards(30), "f")
    looked: list[str] = []
    monkeypatch.setattr("erp_resources.warehouse.damage.verify", lambda path: looked.append(path.name))
    assert find_damage(warehouse) == find_damage(warehouse) == []
    assert len(looked) == 1
    os.utime(file_of(warehouse, SMALL))
    find_damage(warehouse)
    assert len(looked) == 2
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 90_000)
    find_damage(warehouse)
    assert len(looked) == 3


def test_files_from_before_there_were_checksums_are_read_and_counted_as_sound(warehouse: Warehouse) -> None:
    stamp = warehouse.write(SMALL, rewards(30), "f")
    path = file_of(warehouse, SMALL)
    table = pq.read_table(path, partitioning=None)
    footer = {"erp.fingerprint": "f", "erp.content": '{"prompt_id": "as it was hashed then"}'}
    pq.write_table(table.replace_schema_metadata(footer), path.with_name("part.parquet"), compression="zstd")
    path.unlink()
    assert find_damage(warehouse) == []
    assert warehouse.read(SMALL).equals(fitted(rewards(30), SMALL))
    assert warehouse.stamp(SMALL) != stamp


def test_what_the_system_refuses_to_read_is_no_damage_and_is_not_made_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.write(SMALL, rewards(3), "f")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    monkeypatch.setattr(pq, "read_metadata", refuse)
    for look in (warehouse.stamp, warehouse.read):
        with pytest.raises(UserError, match=r"rewards\[small\|taste\].*cannot be read.*Permission denied"):
            look(SMALL)
    assert file_of(warehouse, SMALL).exists()


def test_of_a_damaged_partition_the_row_groups_that_can_be_read_are_there(warehouse: Warehouse) -> None:
    with warehouse.staging(SMALL, "f", settings="these") as staging:
        for index in range(4):
            staging.write(index, rewards(1_000, start=index))
        staging.commit(4)
    path = file_of(warehouse, SMALL)
    flip(path, pq.read_metadata(path).row_group(2).column(2).data_page_offset + 200)
    assert len(find_damage(warehouse)) == 1
    ((settings, starts),) = [
        (file.stamp.settings, [group["reward"][0].as_py() for group in file.readable_groups()])  # type: ignore[union-attr]
        for file in warehouse.files_left(SMALL)
    ]
    assert (settings, starts) == ("these", [0.0, 1.0, 3.0])


@pytest.mark.parametrize("kind", ["a bit of a page flipped", "cut in half", "empty", "another file"])
def test_a_damaged_chunk_counts_as_not_there_and_is_made_again(warehouse: Warehouse, kind: str) -> None:
    with warehouse.staging(SMALL, "f") as staging:
        for index in range(3):
            staging.write(index, rewards(500, start=index))
        chunk = warehouse.staging_folder(SMALL) / "f" / "chunk-000001.parquet"
        DAMAGE[kind](chunk)
        assert warehouse.staged_rows(SMALL) in (1_000, 1_500)  # by the footers alone
        assert [staging.has(index) for index in range(3)] == [True, False, True]
        staging.write(1, rewards(500, start=1))
        DAMAGE[kind](chunk)
        with pytest.raises(UserError, match=r"rewards\[small\|taste\]: a chunk.*erp run --pool demo"):
            staging.commit(3)
        staging.write(1, rewards(500, start=1))
        staging.commit(3)
    assert warehouse.read(SMALL).num_rows == 1_500


def test_a_changed_byte_of_a_journal_costs_its_line_and_changes_none(tmp_path: Path) -> None:
    pieces = {f"p{i}": [{"response": f"answer {i}\n\u2028", "tokens": i}] for i in range(4)}
    path = tmp_path / "chunk-000000.jsonl"
    journal = Journal(path)
    for key, piece in pieces.items():
        journal.add(key, piece)
    journal.close()
    assert journal.pieces() == pieces
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        found = Journal(path).pieces()
        assert found.items() <= pieces.items()
        assert len(found) >= 2  # a line feed stands between two


@pytest.mark.parametrize("kind", ["changed", "lost", "one file too many", "stamp lost", "stamp is no JSON"])
def test_a_damaged_report_or_router_is_missing(warehouse: Warehouse, kind: str) -> None:
    def save(folder: Path) -> None:
        (folder / "report.html").write_text("page")

    def break_it(folder: Path) -> None:
        {
            "changed": lambda: flip(folder / "report.html", 2),
            "lost": (folder / "report.html").unlink,
            "one file too many": lambda: (folder / "other").write_text("x"),
            "stamp lost": (folder / "stamp.json").unlink,
            "stamp is no JSON": lambda: (folder / "stamp.json").write_text("{"),
        }[kind]()

    stamp = warehouse.put(REPORT, save, "f")
    assert warehouse.stamp(REPORT) == stamp
    assert find_damage(warehouse) == []
    break_it(warehouse.place(REPORT))
    assert warehouse.stamp(REPORT) is None
    (said,) = find_damage(warehouse)
    assert "report of pool 'demo' is damaged" in said
    (warehouse.place(REPORT) / "other").unlink(missing_ok=True)
    warehouse.put(REPORT, save, "g")
    assert warehouse.stamp(REPORT).fingerprint == "g"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["garbage", "empty", "deleted", "note is garbage", "note is lost"])
def test_a_damaged_database_of_views_is_made_again(warehouse: Warehouse, kind: str) -> None:
    warehouse.write(SMALL, rewards(3), "f")
    note = warehouse.folder / ".staging" / "views.json"
    {
        "garbage": lambda: warehouse.database.write_bytes(b"no database" * 1_000),
        "empty": lambda: warehouse.database.write_bytes(b""),
        "deleted": warehouse.database.unlink,
        "note is garbage": lambda: note.write_bytes(b"\xff\xfe"),
        "note is lost": note.unlink,
    }[kind]()
    (note.parent / ".views.json.4711.new").write_text("of a killed process")
    warehouse.refresh_views()
    with duckdb.connect(str(warehouse.database), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM rewards").fetchall() == [(3,)]
    assert list(note.parent.glob(".*.new")) == []


def test_the_views_are_not_written_again_without_need(warehouse: Warehouse) -> None:
    warehouse.write(SMALL, rewards(3), "f")
    before = warehouse.database.stat()
    warehouse.refresh_views()
    assert warehouse.database.stat() == before


def test_a_partition_with_a_damaged_footer_keeps_no_other_table_from_duckdb(warehouse: Warehouse) -> None:
    prompts = pa.table({name: ["a"] for name in SCHEMAS["prompts"].names})
    warehouse.write(Partition("prompts", ""), prompts, "f")
    warehouse.write(SMALL, rewards(3), "f")
    os.truncate(file_of(warehouse, SMALL), 50)
    with warehouse.connect() as connection:
        assert connection.execute("SELECT count(*) FROM prompts").fetchall() == [(1,)]
    warehouse.refresh_views()
    with duckdb.connect(str(warehouse.database), read_only=True) as client:
        assert client.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == [("prompts",)]
    assert damaged_partitions(warehouse) == [SMALL]
