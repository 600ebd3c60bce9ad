"""Files of others: whatever is in them becomes a typed table or is refused by its line, and nothing else happens."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from erp_resources.settings import UserError
from erp_resources.tables import FORMATS, Rows, columns_in, flatten, lists_in, read_document, read_rows


def written(file: Path, content: Any) -> Path:
    """A file with content: text, bytes, or columns of a Parquet file."""
    if isinstance(content, dict | pa.Table):
        pq.write_table(pa.table(content) if isinstance(content, dict) else content, file)
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def table(tmp_path: Path, name: str, content: Any, **options: Any) -> Rows:
    return read_rows(written(tmp_path / name, content), name, **options)


def use_all(rows: Rows) -> None:
    """Ask for every column in every way: each gives an array of the table's length, or is refused."""
    flat = flatten(rows)
    for found in [rows] if flat.table.equals(rows.table) else [rows, flat]:
        assert found.table.num_rows == rows.table.num_rows == len(rows.lines) == len(rows.file_of)
        for name in found.table.column_names:
            found.is_numeric(name)
            for read in (found.texts, found.labels, found.ids, found.prompts, found.responses, found.numbers):
                try:
                    column = read(name)
                except UserError as error:
                    assert "\n" not in str(error)  # noqa: PT017
                else:
                    assert isinstance(column, pa.Array)
                    assert len(column) == found.table.num_rows
                    column.validate(full=True)


# --- any bytes, any rows ---

NAMES = st.sampled_from(
    [*(f"t{ending}" for ending in FORMATS), "t.txt", "t", "t.zip", "t.xlsx", "T.CSV", "t.jsonl.bz2", "t.csv.csv"]
)
PIECES = st.sampled_from(
    [b"prompt", b"llm", b",", b";", b"\t", b"|", b"\n", b"\r\n", b"\r", b'"', b'""', b" ", b"1", b"0,5", b"1_000",
     b"nan", b"Infinity", b"true", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xe9", b"\xe2\x80\xa8",
     b"{", b"}", b"[", b"]", b":", b'"prompt"', b'"llm"', b"{}", b"[]", b"null", b"1e999", b'"\\ud83d"', b'"\\u0000"',
     b'{"prompt": "a", "llm": 1}', b'{"prompt": [{"role": "user", "content": "x"}]}', b'{"a": {"b": {"c": 1}}}',
     b"18446744073709551616", b"-", b"\\", b"9" * 5000, b"[" * 3000, b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"sep=;\n"]
)  # fmt: skip
MATTER = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(b"".join))


@given(name=NAMES, content=MATTER, is_compressed=st.booleans(), cut=st.integers(0, 30))
@example("t.csv", b"prompt,reward\na,1_000\n", False, 0)
@example("t.jsonl", b'{"prompt":"a","id":18446744073709551616}\n', False, 0)
@example("t.jsonl", b'{"prompt":"a \\ud83d"}\n', False, 0)
@example("t.json", b'{"a": [' + b"[" * 100_000, False, 0)
@example("t.csv.gz", b"prompt\n" * 100, True, 12)
def test_any_bytes_give_a_table_or_are_refused(
    tmp_path: Path, name: str, content: bytes, is_compressed: bool, cut: int
) -> None:
    if is_compressed:
        content = gzip.compress(content)
        content = content[: len(content) - cut]
    file = written(tmp_path / name, content)
    for act in (columns_in, read_document, lists_in):
        try:
            act(file, name)
        except UserError as error:
            assert str(error).startswith(name)  # noqa: PT017
    try:
        rows = read_rows(file, name)
    except UserError as error:
        assert str(error).startswith(name)  # noqa: PT017
    else:
        use_all(rows)


TEXT = st.text(max_size=12)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**62, 2**65), st.floats(), TEXT,
    st.sampled_from(["1", "0.5", "0,5", " ", "\ud83d", "x\ud83d\ude00", "\0", "\u2028", "a,b;c\td|e", '"', "\r"]),
)  # fmt: skip
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", 3]), "content": SCALAR})
VALUE = st.recursive(
    st.one_of(SCALAR, st.lists(MESSAGE, max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=4,
)
KEYS = st.sampled_from(["prompt", "llm", " llm", "scores", "scores.A", "reward", "", "a b", "\ud800"])
ROWS = st.lists(st.dictionaries(KEYS, VALUE, max_size=4), max_size=4)


@given(
    rows=ROWS,
    form=st.sampled_from(["lines", "list", "wrapped", "pretty", "one after another"]),
    name=st.sampled_from(["t.json", "t.jsonl"]),
)
def test_any_rows_of_json_give_a_table_or_are_refused(tmp_path: Path, rows: Any, form: str, name: str) -> None:
    text = {
        "lines": lambda: "\n".join(json.dumps(row) for row in rows),
        "list": lambda: json.dumps(rows),
        "wrapped": lambda: json.dumps({"version": 1, "inner": {"rows": rows}}),
        "pretty": lambda: json.dumps(rows, indent=2),
        "one after another": lambda: "\n".join(json.dumps(row, indent=1) for row in rows),
    }[form]()
    try:
        found = table(tmp_path, name, text)
    except UserError as error:
        assert str(error).startswith(name)  # noqa: PT017
    else:
        use_all(found)


TYPES = st.sampled_from(
    [pa.string(), pa.large_string(), pa.binary(), pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(),
     pa.decimal128(10, 2), pa.timestamp("ns"), pa.date32(), pa.list_(pa.float32()), pa.duration("s"), pa.time64("us"),
     pa.struct({"a": pa.int64(), "b": pa.struct({"c": pa.string()})}), pa.map_(pa.string(), pa.int64()), pa.null(),
     pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})), pa.dictionary(pa.int32(), pa.string()),
     pa.dictionary(pa.int8(), pa.float64())]
)  # fmt: skip


def random_array(kind: pa.DataType, n: int, seed: int) -> pa.Array:
    """n values of a type, some of them null."""
    rng = np.random.default_rng(seed)
    numbers = [None if rng.random() < 0.3 else int(rng.integers(0, 100)) for _ in range(n)]

    def value(kind: pa.DataType, number: int | None) -> Any:
        if number is None or pa.types.is_null(kind):
            return None
        if pa.types.is_struct(kind):
            return {field.name: value(field.type, number) for field in kind}
        if pa.types.is_map(kind):
            return [("k", number)]
        if pa.types.is_list(kind):
            return [value(kind.value_type, number)] * (number % 3)
        if pa.types.is_dictionary(kind):
            return value(kind.value_type, number)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return str(number)
        if pa.types.is_binary(kind):
            return bytes([number, 255 if number % 7 == 0 else 65])
        return bool(number % 2) if pa.types.is_boolean(kind) else number

    return pa.array([value(kind, number) for number in numbers], kind)


@given(
    kinds=st.lists(TYPES, min_size=1, max_size=4), n=st.integers(0, 5), seed=st.integers(0, 99), flip=st.integers(-1)
)
def test_any_parquet_gives_a_table_or_is_refused(
    tmp_path: Path, kinds: list[pa.DataType], n: int, seed: int, flip: int
) -> None:
    names = (["a", "a", " b", "__index_level_0__"] * 4)[: len(kinds)]
    buffer = io.BytesIO()
    pq.write_table(pa.table([random_array(kind, n, seed + i) for i, kind in enumerate(kinds)], names=names), buffer)
    content = bytearray(buffer.getvalue())
    if flip >= 0:  # damage
        content[flip % len(content)] ^= 1 << (flip % 8)
    try:
        found = table(tmp_path, "t.parquet", bytes(content))
    except UserError as error:
        assert str(error).startswith("t.parquet")  # noqa: PT017
    else:
        use_all(found)


# --- rows that are written are read back ---

CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
LINES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8).filter(
    lambda lines: all("".join(line).strip() for line in lines)
)


@given(lines=LINES, separator=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n", "\r"]), quoted=st.booleans())
def test_what_csv_writes_is_read_back(
    tmp_path: Path, lines: list[tuple[str, str]], separator: str, end: str, quoted: bool
) -> None:
    stream = io.StringIO()
    # The module csv leaves a line break unquoted that is not its own.
    quoted = quoted or any("\r" in cell or "\n" in cell for line in lines for cell in line)
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("prompt", "llm"), *lines])
    rows = table(tmp_path, "t.csv", stream.getvalue())
    assert list(zip(rows.texts("prompt").to_pylist(), rows.texts("llm").to_pylist(), strict=True)) == lines


JSON_ROWS = st.lists(
    st.fixed_dictionaries(
        {"text": CELLS, "number": st.floats(allow_nan=False, allow_infinity=False), "whole": st.integers()}
    ),
    min_size=1,
    max_size=8,
)


@given(rows=JSON_ROWS, is_ascii=st.booleans(), form=st.sampled_from(["lines", "list", "pretty", "gzip"]))
def test_what_json_writes_is_read_back(tmp_path: Path, rows: list[dict[str, Any]], is_ascii: bool, form: str) -> None:
    lines = "\n".join(json.dumps(row, ensure_ascii=is_ascii) for row in rows)
    content: Any = {
        "lines": lines,
        "list": json.dumps(rows, ensure_ascii=is_ascii),
        "pretty": json.dumps(rows, ensure_ascii=is_ascii, indent=1),
        "gzip": gzip.compress(lines.encode()),
    }[form]
    found = table(tmp_path, "t.jsonl.gz" if form == "gzip" else "t.json", content)
    assert found.texts("text").to_pylist() == [row["text"] for row in rows]
    assert found.numbers("number").to_pylist() == [row["number"] for row in rows]
    assert found.labels("whole").to_pylist() == [str(row["whole"]) for row in rows]


@given(rows=JSON_ROWS.filter(lambda rows: all(abs(row["whole"]) < 2**63 for row in rows)))
def test_what_parquet_writes_is_read_back(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    found = table(tmp_path, "t.parquet", pa.Table.from_pylist(rows))
    assert found.table.to_pylist() == rows


@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), SCALAR, max_size=3), max_size=6), size=st.integers(1, 5))
def test_a_file_is_read_alike_in_parts(tmp_path: Path, rows: list[dict[str, Any]], size: int) -> None:
    lines = [json.dumps(row | {"all": "x"}) for row in [{"a": 1, "b": 1, "c": 1}, *rows]]
    file = written(tmp_path / "t.jsonl", "\n".join(lines))
    whole = read_rows(file, "t.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("erp_resources.tables.objects._BATCH_ROWS", size)
        parts = read_rows(file, "t.jsonl")
    for name in "abc":
        assert parts.is_numeric(name) == whole.is_numeric(name)
        for read in ("texts", "labels", "numbers", "responses"):
            assert outcome(parts, read, name) == outcome(whole, read, name)


def outcome(rows: Rows, read: str, name: str) -> Any:
    try:
        return getattr(rows, read)(name).to_pylist()
    except UserError as error:
        return str(error)
