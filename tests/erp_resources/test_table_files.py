"""Files of others: what is read of each format, and in which words the rest is refused."""

import bz2
import csv
import gzip
import io
import json
import os
import pickle
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from erp_resources.settings import UserError
from erp_resources.tables import (
    Rows,
    beginning,
    columns_in,
    find_column,
    flatten,
    last_user_turn,
    listed,
    lists_in,
    objects,
    read_document,
    read_many,
    read_rows,
)


def written(file: Path, content: Any) -> Path:
    """A file with content: text, bytes, columns of a Parquet file, or a list of rows of JSON."""
    if isinstance(content, dict | pa.Table):
        pq.write_table(pa.table(content) if isinstance(content, dict) else content, file)
    elif isinstance(content, list):
        file.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def table(tmp_path: Path, name: str, content: Any, array: str | None = None) -> Rows:
    return read_rows(written(tmp_path / name, content), name, array)


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as raised:
        act()
    told = str(raised.value)
    assert "\n" not in told
    assert len(told) < 700
    return told


# --- separators and headers ---

THREE = [("prompt", "llm", "reward"), ("q; 1, or\tmore", "a", "1"), ("q 2", "b", "0.5"), ("q 3", "a", "")]


def separated(separator: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator).writerows(THREE)
    return stream.getvalue()


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t", "t.CSV", "t.csv.gz"])
def test_the_separator_is_found_whatever_the_name_and_encoding(
    tmp_path: Path, name: str, separator: str, encoding: str, is_compressed: bool
) -> None:
    content = separated(separator).encode(encoding)
    rows = table(tmp_path, name, gzip.compress(content, mtime=0) if is_compressed else content)
    assert rows.texts("prompt").to_pylist() == ["q; 1, or\tmore", "q 2", "q 3"]
    assert rows.numbers("reward").to_pylist() == [1.0, 0.5, None]
    usual = "\t" if name == "t.tsv" else ","
    named = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}[separator]
    assert (f"read with {named} between cells" in rows.notes) == (separator != usual)
    assert any("gz" in note for note in rows.notes) == (is_compressed != (name == "t.csv.gz"))


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,b;c\n1,2;3\n4,5;6\n", ["a", "b;c"]),  # where both fit, a .csv means commas
        ("a, b;c\n1;2\n3;4\n", ["a, b", "c"]),
        ("a;b,c\n1;2\n1;2,5\n", ["a", "b,c"]),
        ("sep=;\na;b\n1;2\n", ["a", "b"]),
        ("sep=,\na,b\n1;5,2\n", ["a", "b"]),
        ("gpt-4|total_cost\n1\n", ["gpt-4|total_cost"]),
        ("prompt,gpt-4|total_cost\nx,1\n", ["prompt", "gpt-4|total_cost"]),
        ('prompt\n"a, b; c"\n', ["prompt"]),
        ("prompt,\na,\n", ["prompt"]),
        (",prompt\n0,a\n", ["", "prompt"]),
        (" Prompt , LLM\na, b\n", ["Prompt", "LLM"]),
        (",,\n\nprompt,llm,\na,b,\n", ["prompt", "llm"]),
        ("", []),
        ("\n\n", []),
        ("a,b", ["a", "b"]),
    ],
)
def test_the_columns_are_those_of_the_header(tmp_path: Path, content: str, columns: list[str]) -> None:
    assert table(tmp_path, "t.csv", content).table.column_names == columns
    assert columns_in(tmp_path / "t.csv", "t.csv") == columns


def test_blanks_after_separators_are_left_out_and_quotes_behind_them_count(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.csv", 'prompt, llm, reward\n"q, 1", "a, b", 1\nq 2, c, 0\n')
    assert rows.texts("llm").to_pylist() == ["a, b", "c"]
    assert rows.numbers("reward").to_pylist() == [1, 0]
    assert rows.notes == {"blanks after the separators are left out": 1}
    kept = table(tmp_path, "t.csv", "prompt,llm\n q, a\n")
    assert kept.texts("llm").to_pylist() == [" a"]


def test_quotes_between_tabs_may_be_just_text(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.tsv", 'prompt\tllm\n"Hi" he said\tx\n"\ty\n')
    assert rows.texts("prompt").to_pylist() == ['"Hi" he said', '"']
    assert rows.notes == {"quotes are read as they stand, since cells are not quoted": 1}
    rows = table(tmp_path, "t.tsv", 'prompt\tllm\n"a\tb\nc"\tx\n')
    assert rows.texts("prompt").to_pylist() == ["a\tb\nc"]
    assert rows.notes == {}


def test_rows_of_nothing_but_separators_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.csv", "prompt,llm,reward\n,,\na,x,1\n,,\n , ,\n\n,,,,\n")
    assert rows.table.num_rows == 1
    assert rows.notes == {"empty rows": 4}
    assert rows.place(0) == "t.csv:3"
    assert table(tmp_path, "t.jsonl", '{}\n{"a": 1}\n{}').notes == {"empty rows": 2}


def test_files_that_were_put_one_behind_the_other_are_one_table(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.csv", "prompt,llm\na,x\nprompt,llm\nb,y\n\ufeffprompt,llm\nc,z\n")
    assert rows.texts("prompt").to_pylist() == ["a", "b", "c"]
    assert rows.notes == {"rows that repeat the header, left out": 2}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_is_found_by_the_line_on_which_it_begins(tmp_path: Path, end: str) -> None:
    content = end.join(["prompt,llm", f'"a{end}b",x', "", "c,y", 'd,"', '",']).encode()
    told = refusal(lambda: table(tmp_path, "t.csv", content))
    assert told == "t.csv:6: has 3 cells, but the header has 2; quote text with commas"
    rows = table(tmp_path, "t.csv", end.join(["sep=,", "prompt,llm", f'"a{end}b",x', "", "c,y"]))
    assert [rows.place(row) for row in range(2)] == ["t.csv:3", "t.csv:6"]
    assert rows.texts("prompt")[0].as_py() == f"a{end}b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1\n", "t.csv:2: has 1 cells, but the header has 2; quote text with commas"),
        ('a;b\n"x" y;2\n', "t.csv:2: is not CSV: ';' expected after '\"'"),
        ("a;b\n1;2\n1;2;3\n", "t.csv:3: has 3 cells, but the header has 2; quote text with semicolons"),
        ('a,b\n1,"x" y\n', "t.csv:2: is not CSV: ',' expected after '\"'; inside quoted text write a quote twice"),
        ('a,b\n1,"x\n', "t.csv:2: is not CSV: unexpected end of data"),
        ("a,b\n1,x\0\n", "t.csv: holds NUL bytes, so it is no text in UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)"),
        ("a,b\n" + "1,x\n" * 2000 + "\0\0\0", "t.csv:2002: holds a NUL byte, which is no text; the file is damaged"),
        ('{"prompt": "a"}\n', "t.csv: holds JSON; give it the ending .jsonl or .json"),
    ],
)
def test_what_is_no_csv_is_refused_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    assert refusal(lambda: table(tmp_path, "t.csv", content)).startswith(message)


def test_a_name_that_stands_twice_is_refused_only_where_it_is_asked_for(tmp_path: Path) -> None:
    for name, content in {
        "t.csv": "prompt,Status,reward, Status\na,PASS,1,FAIL\n",
        "t.parquet": pa.table([["a"], ["PASS"], [1], ["FAIL"]], names=["prompt", "Status", "reward", "Status "]),
        "t.jsonl": '{"prompt": "a", "Status": "PASS", "reward": 1, "Status ": "FAIL"}',
    }.items():
        rows = table(tmp_path, name, content)
        assert rows.table.column_names == ["prompt", "Status", "reward"]
        assert rows.numbers("reward").to_pylist() == [1]
        assert (
            refusal(lambda rows=rows: rows.texts("Status")) == f"{name}: the column 'Status' stands twice; rename one"
        )
        assert not rows.is_numeric("Status")


@pytest.mark.parametrize("name", ["BZh", "ARROW1", "arrow1", "FEA1", "PK", "Rar!", "<b>", "%PDF", "PAR2", "version"])
def test_a_column_may_be_called_as_other_files_begin(tmp_path: Path, name: str) -> None:
    assert table(tmp_path, "t.csv", f"{name},x\n1,2\n").table.column_names == [name, "x"]


def test_names_are_found_in_any_case_with_blanks_or_dashes(tmp_path: Path) -> None:
    present = ["Prompt ID", "MODEL", "question", "Question"]
    assert find_column(["prompt_id"], present, "t.csv") == "Prompt ID"
    assert find_column(["llm", "model"], present, "t.csv") == "MODEL"
    assert find_column(["question"], present, "t.csv") == "question"
    assert find_column(["answer"], present, "t.csv") is None
    told = refusal(lambda: find_column(["QUESTION"], present, "t.csv"))
    assert told == "t.csv: the columns question, Question are called alike; rename one"


def test_an_error_lists_no_more_than_a_few_lines_of_columns(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.csv", ",".join(f"a long name of a column {i} " * 9 for i in range(500)) + "\n")
    told = refusal(lambda: rows.texts("prompt"))
    assert told.startswith("t.csv: there is no column 'prompt' (it has a long name")
    assert "more)" in told
    assert listed(["a\nb\x1b[31m", "ü"]) == "a\\nb\\x1b[31m, ü"
    assert listed([]) == "none"


# --- what is no table ---


def refused_files(folder: Path) -> dict[str, tuple[str, Any, str]]:
    """By what they are: a name, content, and what is said."""
    packed, book = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("t.csv", "prompt\na\n")
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    text = b"prompt\na\n"
    return {
        "zip": ("t.zip", packed.getvalue(), "is a zip archive; unpack it first"),
        "zip by another name": ("t.csv", packed.getvalue(), "is a zip archive; unpack it first"),
        "workbook": ("t.xlsx", book.getvalue(), "is a workbook; save its sheet as CSV UTF-8"),
        "workbook by another name": ("t.csv", book.getvalue(), "is a workbook; save its sheet as CSV UTF-8"),
        "bzip2": ("t.csv.bz2", bz2.compress(text), "is compressed by bzip2; unpack it first"),
        "bzip2 by another name": ("t.csv", bz2.compress(text), "is compressed by bzip2; unpack it first"),
        "pickle": ("t.pkl", pickle.dumps([1]), "is a pickle, which runs code when it is opened; save it as CSV UTF-8"),
        "pickle by another name": ("t.parquet", pickle.dumps([1]), "is a pickle, which runs code"),
        "tar": ("t.tar.gz", gzip.compress(text, mtime=0), "is a tar archive; unpack it first"),
        "twice compressed": (
            "t.csv.gz",
            gzip.compress(gzip.compress(text), mtime=0),
            "is compressed twice; unpack it first",
        ),
        "cut off": (
            "t.csv.gz",
            gzip.compress(text * 99, mtime=0)[:-9],
            "the compressed file is cut off; copy it again",
        ),
        "damaged": ("t.csv.gz", gzip.compress(text, mtime=0)[:10] + b"\xff" * 99, "the compressed file is damaged"),
        "git lfs": ("t.jsonl", "version https://git-lfs.github.com/spec/v1\n", "run: git lfs pull"),
        "web page": ("t.csv", "<!DOCTYPE html>\n<html>", "is a web page, not the data; download the raw file"),
        "another's text as Parquet": ("t.parquet", text, "Parquet magic bytes not found"),
        "Parquet by another name": ("t.csv", {"x": ["a"]}, "is a Parquet file; give it the ending .parquet"),
        "cp1252": ("t.csv", "prompt\na\ncafé\n".encode("cp1252"), "t.csv:3: is not UTF-8: byte 0xe9; save the file as"),
        "cp1252, far": ("t.csv", b"prompt\n" + b"a\n" * 200_000 + b"\xe9\n", "t.csv:200002: is not UTF-8: byte 0xe9"),
        "cp1252, JSON": ("t.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "t.jsonl:2: is not UTF-8: byte 0xe9"),
        "utf-16 without a mark": ("t.csv", "prompt\na\n".encode("utf-16-le"), "save it as UTF-8 (in Excel: CSV UTF-8)"),
        "half of utf-16": ("t.csv", "prompt\na\n".encode("utf-16")[:-1], "is no whole text in UTF-16; save it as"),
    }


@pytest.mark.parametrize("kind", refused_files(Path()))
def test_what_is_no_table_is_refused_with_a_way_out(tmp_path: Path, kind: str) -> None:
    name, content, message = refused_files(tmp_path)[kind]
    for read in (read_rows, columns_in):
        if "far" in kind and read is columns_in:
            continue
        told = refusal(lambda read=read: read(written(tmp_path / name, content), name))
        assert told.startswith(name)
        assert message in told


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "round.csv").symlink_to(tmp_path / "round.csv")
    heard = socket.socket(socket.AF_UNIX)
    place = os.getcwd()
    os.chdir(tmp_path)  # a socket's whole name may have 107 letters
    try:
        heard.bind("socket.csv")
    finally:
        os.chdir(place)
    for name, message in {
        "pipe.csv": "is a device, pipe or socket, not a file; save its content to a file first",
        "zero.csv": "is a device, pipe or socket",
        "socket.csv": "is a device, pipe or socket",
        "folder.csv": "is a folder, not a file",
        "none.csv": "there is no such file",
        "pipe.csv/t.csv": "there is no such file",
        "round.csv": "it cannot be read: ",
        "x" * 300: "it cannot be read: ",
        "a\0b.csv": "it cannot be read: ",
    }.items():
        assert message in refusal(lambda name=name: read_rows(tmp_path / name, name))
    heard.close()


@pytest.mark.parametrize("added", ['{"a": 1}\n', '{"a": '])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: str
) -> None:
    file = written(tmp_path / "t.jsonl", [{"a": i} for i in range(100_000)])
    columns_of = objects.columns_of

    def meanwhile(*arguments: Any) -> Any:
        with file.open("a") as stream:
            stream.write(added)
        return columns_of(*arguments)

    monkeypatch.setattr("erp_resources.tables.objects.columns_of", meanwhile)
    told = refusal(lambda: read_rows(file, "t.jsonl"))
    assert told == "t.jsonl: it was changed while it was read; try again when it is complete"


# --- JSON ---

RECORDS = [
    {"prompt": "a\u2028\u2029\x85\x0b\x0c\x1cb", "llm": "m", "reward": 1},
    {"prompt": "c", "llm": "n", "reward": 0.5},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in RECORDS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", LINES),
        ("t.ndjson", LINES.replace("\n", "\r\n")),
        ("t.jsonl", LINES.replace("\n", "\r")),
        ("t.jsonl", "\n\n" + LINES.replace("\n", "\n \n")),
        ("t.json", LINES),
        ("t.json", LINES.strip()),
        ("t.txt", LINES),
        ("t.json.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("t.jsonl", LINES.encode("utf-16")),
        ("t.jsonl", LINES.encode("utf-8-sig")),
        ("t.json", json.dumps(RECORDS)),
        ("t.json", "\n" + json.dumps(RECORDS, indent=3, ensure_ascii=False)),
        ("t.jsonl", json.dumps(RECORDS)),
        ("t", json.dumps(RECORDS, indent=1)),
        ("t.json", "\n".join(json.dumps(row, indent=2) for row in RECORDS)),
        ("t.jsonl", "\n".join(json.dumps(row, indent=2) for row in RECORDS)),
        ("t.json", json.dumps({"version": 2, "samples": RECORDS, "stats": {}})),
        ("t.json", json.dumps({"results": {"rows": RECORDS, "n": [2]}, "eval": {"model": "m"}}, indent=1)),
        ("t.json", '{"a": "b", "rows": [%s]}' % ",".join(LINES.split("\n")[:2])),  # noqa: UP031
    ],
)
def test_every_form_of_json_is_the_same_table(tmp_path: Path, name: str, content: Any) -> None:
    rows = table(tmp_path, name, content)
    assert rows.table.to_pylist() == RECORDS
    assert columns_in(tmp_path / name, name) == ["prompt", "llm", "reward"]


def test_the_rows_of_a_list_have_the_lines_on_which_they_begin(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.json", json.dumps({"n": "1\n2", "rows": RECORDS}, indent=1))
    assert [rows.place(row) for row in range(2)] == ["t.json:4", "t.json:9"]


def test_a_long_list_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erp_resources.tables.json_text._PIECE", 7)
    monkeypatch.setattr("erp_resources.tables.objects._PIECE", 7)
    many = [{"a": i, "b": ["x" * i, {"c": None}], "d": i / 3} for i in range(50)]
    for indent in (None, 1):
        rows = table(tmp_path, "t.json", json.dumps(many, indent=indent))
        assert rows.table["a"].to_pylist() == list(range(50))
        assert rows.table["d"].to_pylist() == [i / 3 for i in range(50)]
    content = json.dumps(many, indent=1).replace('"c": null', '"c": nul', 1)
    assert refusal(lambda: table(tmp_path, "t.json", content)) == "t.json:7: is not JSON: Expecting value"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.jsonl",
            '{"a": 1}\n{"a": 2',
            "t.jsonl:2: is not JSON: Expecting ',' delimiter; a .jsonl file has one object",
        ),
        ("t.jsonl", '{"a": 1}\n7\n', 't.jsonl:2: is no object, but 7; write {"prompt": ...}'),
        ("t.jsonl", '{"a": 1, "b": 2, "a": 3}', "t.jsonl:1: the key 'a' stands twice in one object; rename one"),
        ("t.json", '[{"a": 1},\n {"a": 1, "a": 2}]', "t.json:2: is not JSON: the key 'a' stands twice in one object"),
        ("t.json", '[{"a": 1},\n 7]', "t.json:2: is no object, but 7"),
        ("t.json", '[{"a": 1}\n {"a": 2}]', "t.json:2: is not JSON: ',' is missing"),
        ("t.json", '[{"a": 1},', "t.json:1: is not JSON: it ends too early"),
        ("t.json", '[{"a": 1}]\n[]', "t.json:2: is not JSON: something follows after the end of the list"),
        (
            "t.json",
            '{"a": [{"b": 1}], "c": [{"b": 1}]}',
            "t.json: it holds several lists of objects (a, c), so its rows",
        ),
        (
            "t.json",
            '{"prompt": {"0": "a"}, "reward": {"0": 1}}',
            "t.json: it is one object without a list of rows; write",
        ),
        ("t.json", '{"prompt": ["a"], "reward": [1]}', "t.json: it is one object without a list of rows; write"),
        ("t.json", '"text"', 't.json:1: is no object, but "text"'),
        ("t.jsonl", "[" * 100_000, "t.jsonl:1: is not JSON: its values are nested too deeply"),
        ("t.jsonl", '{"a":' * 100_000, "t.jsonl:1: its values are nested too deeply"),
        ("t.jsonl", '{"a": ' + "9" * 5000 + "}", "t.jsonl:1: is not JSON: Exceeds the limit"),
        ("t.jsonl", '{"a": "x\0"}', "t.jsonl:1: is not JSON: Invalid control character at"),
    ],
)
def test_what_is_no_json_is_refused_by_its_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    if "\0" in content:  # in the head of a file it says that this is no text at all
        content = " " * 5000 + content
    assert refusal(lambda: table(tmp_path, name, content)).startswith(message)


def test_the_list_that_is_meant_can_be_named(tmp_path: Path) -> None:
    content = json.dumps(
        {"samples": [{"a": 1}], "more": {"samples": [{"a": 2}]}, "chat": [{"role": "user", "content": "x"}]}
    )
    file = written(tmp_path / "t.json", content)
    assert lists_in(file, "t.json") == ["samples", "more.samples"]
    assert read_rows(file, "t.json", "more.samples").table.to_pylist() == [{"a": 2}]
    told = refusal(lambda: read_rows(file, "t.json", "sample"))
    assert told == "t.json: there is no list of objects 'sample' (there is samples, more.samples)"
    assert read_document(file, "t.json")["samples"] == [{"a": 1}]
    assert "something follows" in refusal(lambda: read_document(written(file, "{} {}"), "t.json"))


def test_columns_are_those_of_all_rows_not_of_the_first(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.jsonl", [{"prompt": "a", "reward": 1}, {"prompt": "b", "llm": "small", "reward": 0}])
    assert rows.table.column_names == columns_in(tmp_path / "t.jsonl", "t.jsonl") == ["prompt", "reward", "llm"]
    assert rows.texts("llm").to_pylist() == [None, "small"]
    assert beginning(tmp_path / "t.jsonl", "t.jsonl").table.num_rows == 2


def test_objects_that_head_a_log_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = table(
        tmp_path, "t.jsonl", [{"spec": {"model": "m"}}, {"final_report": 1}, {"prompt": "a"}, {"prompt": "b", "n": 1}]
    )
    assert rows.table.num_rows == 2
    assert rows.place(0) == "t.jsonl:3"
    assert list(rows.notes.values()) == [2]
    assert table(tmp_path, "t.jsonl", [{"a": 1}, {"b": 1}]).table.num_rows == 2


def test_half_a_character_is_mended_and_said(tmp_path: Path) -> None:
    first, second = '{"prompt": "q \\ud83d", "tags": [{"x": "\\ude00"}]}', '{"prompt": "\\ud83d\\ude00", "\\udfff": 1}'
    content = "\n".join([first, second, '{"prompt": "\\u00e9"}'])
    for name, text in {"t.jsonl": content, "t.json": "[" + content.replace("\n", ",") + "]"}.items():
        rows = table(tmp_path, name, text)
        assert rows.texts("prompt").to_pylist() == ["q \ufffd", "😀", "é"]
        assert rows.table.column_names == ["prompt", "tags", "\ufffd"]
        assert list(rows.notes.values()) == [2]
        assert "half a character" in next(iter(rows.notes))


# --- cells ---


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([True, 0, None], [1, 0, None]),
        ([True, 0.5, False], [1, 0.5, 0]),
        (["1", 2, "0.5", ""], [1, 2, 0.5, None]),
        ([2**64, 1], [2.0**64, 1]),
        ([2**60 + 1], [2.0**60]),
        ([float("nan"), 1], [None, 1]),
        (["true", "False", " 1 "], [1, 0, 1]),
        (["+1", ".5", "1.", "1E3", "nan", "-0"], [1, 0.5, 1, 1000, None, 0]),
    ],
)
def test_numbers_are_read_however_they_are_written(tmp_path: Path, values: list[Any], numbers: list[Any]) -> None:
    rows = table(tmp_path, "t.jsonl", [{"x": value} for value in values])
    assert rows.numbers("x").to_pylist() == numbers
    assert rows.is_numeric("x")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1_000", "holds '1_000', which is no number; write nothing between thousands"),
        ("1 000", "write nothing between thousands"),
        ("1,000", "write the decimals after a point, and nothing between thousands"),
        ("0,5", "write the decimals after a point, and nothing between thousands"),
        ("85%", "write 0.5 for 50%"),
        ("N/A", "leave the cell empty where there is none"),
        ("１", "which is no number"),
        ("0x10", "which is no number"),
        ("1e5_0", "which is no number"),
        ("Infinity", "holds an infinite number; leave the cell empty"),
        ("1e999", "holds an infinite number; leave the cell empty"),
    ],
)
def test_what_is_no_number_is_refused_by_line_with_what_to_write(tmp_path: Path, cell: str, message: str) -> None:
    for name, content in {
        "t.csv": f'id,x\n1,1\n2,"{cell}"\n',
        "t.jsonl": [{"x": 1}, {"x": cell}],
        "t.parquet": {"x": ["1", cell]},
    }.items():
        rows = table(tmp_path, name, content)
        told = refusal(lambda rows=rows: rows.numbers("x"))
        assert message in told
        assert told.startswith(
            {"t.csv": "t.csv:3: ", "t.jsonl": "t.jsonl:2: ", "t.parquet": "t.parquet: row 2: "}[name]
        )
        assert not rows.is_numeric("x")


def test_decimal_commas_are_read_where_semicolons_separate_and_all_cells_fit(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.csv", "prompt;a;b;c\nx, y;0,5;1,5;1\nz;-1,25e-05;N/A;2\nw;;2;3\n")
    before = dict(rows.notes)
    assert rows.is_numeric("a")
    assert rows.notes == before
    assert rows.numbers("a").to_pylist() == [0.5, -1.25e-5, None]
    assert rows.notes["column 'a': the comma is read as the decimal point"] == 2
    assert rows.numbers("c").to_pylist() == [1, 2, 3]
    assert rows.texts("a").to_pylist() == ["0,5", "-1,25e-05", ""]
    assert "t.csv:2: column 'b' holds '1,5'" in refusal(lambda: rows.numbers("b"))
    assert "write the decimals after a point" in refusal(
        lambda: table(tmp_path, "t.csv", 'a,b\n"0,5",1\n').numbers("a")
    )


def test_names_may_be_numbers_beside_text(tmp_path: Path) -> None:
    rows = table(
        tmp_path, "t.jsonl", [{"x": 7, "y": "a"}, {"x": "seven", "y": 0.5}, {"x": True, "y": ["b"]}, {}, {"x": 2**70}]
    )
    assert rows.labels("x").to_pylist() == ["7", "seven", "true", str(2**70)]
    assert rows.labels("y").to_pylist() == ["a", "0.5", "b", None]
    rows = table(tmp_path, "t.jsonl", [{"x": "a"}, {"x": {"b": 1}}])
    told = refusal(lambda: rows.labels("x"))
    assert told == "t.jsonl:2: column 'x' holds {\"b\": 1}, but a name or a number is needed"
    rows = table(tmp_path, "t.jsonl", [{"x": 12345678901}, {"x": 1.0}, {"x": 1e-7}])
    assert rows.labels("x").to_pylist() == ["12345678901", "1", "1e-7"]
    parquet = table(tmp_path, "t.parquet", {"x": [42.0, float("nan")], "y": pa.array(["a", None]).dictionary_encode()})
    assert parquet.labels("x").to_pylist() == ["42", None]
    assert parquet.labels("y").to_pylist() == ["a", None]
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        halves = table(tmp_path, "t.parquet", {"x": pa.array([0.5, 2.0, None], kind)})
        assert halves.labels("x").to_pylist() == ["0.5", "2", None]


def test_ids_that_a_data_frame_made_floats_are_whole_again(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.csv", "id,version\n0.0,1.0\n1.0,1.5\n")
    assert rows.ids("id").to_pylist() == ["0", "1"]
    assert rows.ids("version").to_pylist() == ["1.0", "1.5"]
    assert rows.labels("id").to_pylist() == ["0.0", "1.0"]


def test_text_is_needed_where_text_is_asked_for(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.jsonl", [{"x": "a", "y": None}, {"x": 7, "y": None}])
    assert refusal(lambda: rows.texts("x")) == "t.jsonl:2: column 'x' holds 7, but text is needed; put it in quotes"
    assert rows.texts("y").to_pylist() == [None, None]


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


MESSAGES = [
    ([turn("user", "Hi")], "Hi"),
    ([turn("user", [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}])], "Hi\nthere"),
    ({"messages": [turn("user", "Hi")]}, "Hi"),
    ([{"from": "human", "value": "Hi"}], "Hi"),
    ([turn("system", "Be brief.")], '[{"role": "system", "content": "Be brief."}]'),
    (
        [turn("user", "né"), turn("assistant", [{"text": "b"}]), turn("user", "c")],
        '[{"role": "user", "content": "né"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]',
    ),
]


@pytest.mark.parametrize(("value", "text"), MESSAGES)
def test_messages_are_a_prompt(tmp_path: Path, value: Any, text: str) -> None:
    rows = table(tmp_path, "t.jsonl", [{"prompt": value}, {"prompt": "plain"}])
    assert rows.prompts("prompt").to_pylist() == [text, "plain"]
    assert list(rows.notes.values()) == [1]
    assert "lists of messages" in next(iter(rows.notes))
    if isinstance(value, list) and len(value) == 1:
        parquet = table(tmp_path, "t.parquet", {"prompt": [value, None]})
        assert parquet.prompts("prompt").to_pylist() == [text, None]


def test_the_last_turn_of_the_user_is_found_whatever_the_others_hold() -> None:
    talk = [turn("user", "first"), turn("user", [{"type": "text", "text": "last"}]), turn("assistant", None), "odd"]
    assert last_user_turn(talk) == last_user_turn({"messages": talk}) == "last"
    for value in ([turn("assistant", "a")], [turn("user", "")], [], 7, {"a": 1}, [[talk]]):
        assert last_user_turn(value) is None


@pytest.mark.parametrize(
    "value",
    [
        7, [], {}, ["a", "b"], [turn("user", None)], [turn("user", 3)], [{"content": "x"}], {"text": "x"},
        [turn("user", [{"type": "image_url", "image_url": {"url": "x"}}])],
    ],
)  # fmt: skip
def test_what_is_no_list_of_messages_is_refused_as_a_prompt(tmp_path: Path, value: Any) -> None:
    rows = table(tmp_path, "t.jsonl", [{"prompt": "a"}, {"prompt": value}])
    told = refusal(lambda: rows.prompts("prompt"))
    assert told.startswith("t.jsonl:2: column 'prompt' holds ")
    assert told.endswith("but text or a list of messages is needed")


def test_a_response_may_be_anything(tmp_path: Path) -> None:
    values = [
        "text",
        7,
        turn("assistant", "said"),
        [turn("assistant", [{"type": "text", "text": "in parts"}])],
        {"a": [1]},
    ]
    rows = table(tmp_path, "t.jsonl", [{"response": value} for value in values])
    assert rows.responses("response").to_pylist() == ["text", "7", "said", "in parts", '{"a": [1]}']


def test_objects_within_rows_become_columns_with_dots(tmp_path: Path) -> None:
    data = [
        {"q": "a", "scores": {"A": 1, "B": 0.5}, "deep": {"er": {"still": "x"}}, "some": {"a": 1}},
        {"q": "b", "scores": {"A": 0}, "deep": None, "some": 3},
    ]
    for name, content in {
        "t.jsonl": data,
        "t.parquet": pa.Table.from_pylist([{**row, "some": None} for row in data]),
    }.items():
        rows = flatten(table(tmp_path, name, content))
        assert rows.table.column_names == ["q", "scores.A", "scores.B", "deep.er.still", "some"]
        assert rows.numbers("scores.A").to_pylist() == [1, 0]
        assert rows.numbers("scores.B").to_pylist() == [0.5, None]
        assert rows.texts("deep.er.still").to_pylist() == ["x", None]
    assert refusal(lambda: flatten(table(tmp_path, "t.jsonl", data)).numbers("some")).startswith(
        "t.jsonl:1: column 'some'"
    )
    literal = flatten(table(tmp_path, "t.jsonl", [{"scores": {"A": 1}, "scores.A": 2}]))
    assert literal.table.to_pylist() == [{"scores.A": 2}]


def test_several_files_are_one_table_and_each_row_knows_its_own(tmp_path: Path) -> None:
    files = [
        written(tmp_path / "a.csv", "prompt,reward\nx,1\n"),
        written(
            tmp_path / "b.jsonl", [{"prompt": "y", "reward": 0.5}, {"prompt": "z", "reward": True, "more": {"k": 1}}]
        ),
        written(tmp_path / "c.parquet", {"prompt": ["w"], "reward": [0]}),
    ]
    rows = read_many(files, [f"all/{file.name}" for file in files])
    assert rows.texts("prompt").to_pylist() == ["x", "y", "z", "w"]
    assert rows.numbers("reward").to_pylist() == [1, 0.5, 1, 0]
    assert rows.files().to_pylist() == ["all/a.csv", "all/b.jsonl", "all/b.jsonl", "all/c.parquet"]
    assert [rows.place(row) for row in range(4)] == [
        "all/a.csv:2",
        "all/b.jsonl:1",
        "all/b.jsonl:2",
        "all/c.parquet: row 1",
    ]
    assert flatten(rows).numbers("more.k").to_pylist() == [None, None, 1, None]
    assert "all/a.csv and 2 more: there is no column 'llm'" in refusal(lambda: rows.texts("llm"))


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array([b"a", b"\xc3\xa9"]), ["a", "é"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
    ],
)
def test_text_in_parquet_is_text_whoever_wrote_it(tmp_path: Path, column: pa.Array, texts: list[str | None]) -> None:
    assert table(tmp_path, "t.parquet", {"x": column}).texts("x").to_pylist() == texts


def test_parquet_that_is_compressed_as_a_whole_is_read(tmp_path: Path) -> None:
    plain = written(tmp_path / "t.parquet", {"x": ["a"]})
    assert table(tmp_path, "t.parquet.gz", gzip.compress(plain.read_bytes(), mtime=0)).texts("x").to_pylist() == ["a"]


def test_an_index_without_a_name_is_a_nameless_column(tmp_path: Path) -> None:
    rows = table(tmp_path, "t.parquet", {"x": ["a", "b"], "__index_level_0__": [0, 1]})
    assert rows.table.column_names == ["x", ""]
    with_bad_text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    assert "it cannot be read: " in refusal(lambda: table(tmp_path, "t.parquet", {"x": with_bad_text}))
