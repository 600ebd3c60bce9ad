"""A user's functions: fingerprints are of the code that was imported, and mistakes are told in words."""

import hashlib
import sys
from pathlib import Path

import pytest

from erp_resources.settings import UserError
from erp_resources.user_code import function_fingerprint, load_function


def test_a_function_is_found_beside_the_project_or_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine_of_test.py").write_text("def good():\n    return 7\n")
    assert load_function("mine_of_test:good", tmp_path)() == 7
    for wrong in ("mine_of_test", "mine_of_test:bad", "not_there:good"):
        with pytest.raises(UserError, match="function '"):
            load_function(wrong, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "sys:exit",
        "math:sqrt",
        "zipimport:x",
        "__main__:x",
        "..:x",
        "a..b:c",
        "a\x00:b",
        ":",
        "a:b:c",
        "a b:c",
        "x" * 5000 + ":y",
        "../x:y",
    ],
)
def test_what_names_no_function_of_the_user_s_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    for use in (load_function, function_fingerprint):
        with pytest.raises(UserError, match="function '") as error:
            use(name, tmp_path)
        assert len(str(error.value)) < 1_000
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "code",
    [
        "raise RuntimeError('boom')",
        "def broken(:",
        "import sys; sys.exit(3)",
        "x = 1\n1 / 0",
        "raise KeyError",
        "a\x00b",
        "import no_such_module_of_test",
        "class E(Exception):\n    def __str__(self): return 1\nraise E",
    ],
)
def test_a_module_that_cannot_be_imported_is_told_in_a_line_and_its_fingerprint_runs_nothing(
    tmp_path: Path, code: str
) -> None:
    (tmp_path / "boom_of_test.py").write_text(code)
    assert function_fingerprint("boom_of_test:score", tmp_path)
    with pytest.raises(UserError, match="function 'boom_of_test:score'") as error:
        load_function("boom_of_test:score", tmp_path)
    assert "\n" not in str(error.value)
    assert "boom_of_test" not in sys.modules


def test_the_line_that_raised_is_named(tmp_path: Path) -> None:
    (tmp_path / "raises_of_test.py").write_text("import json\n\njson.loads('{')\n")
    with pytest.raises(UserError, match=r"raises_of_test.py:3 with JSONDecodeError"):
        load_function("raises_of_test:score", tmp_path)


def test_a_change_anywhere_in_a_function_s_package_changes_its_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "package_of_test"
    folder.mkdir()
    for file, text in (("__init__.py", ""), ("a.py", "def good(): ...\n"), ("b.py", "X = 1\n")):
        (folder / file).write_text(text)
    before = function_fingerprint("package_of_test.a:good", tmp_path)
    assert function_fingerprint("package_of_test.a:good", tmp_path) == before
    (folder / "b.py").write_text("X = 2\n")
    assert function_fingerprint("package_of_test.a:good", tmp_path) != before


@pytest.mark.parametrize(
    "line",
    [
        "import helper_of_test",
        "from helper_of_test import VALUE",
        "from lib_of_test import inner",
        "import lib_of_test.inner",
        "def late():\n    import helper_of_test",
        "from relay_of_test import *",
    ],
)
def test_a_change_of_a_module_of_the_project_that_it_imports_changes_its_fingerprint(tmp_path: Path, line: str) -> None:
    (tmp_path / "uses_of_test.py").write_text(f"{line}\n\n\ndef good(): ...\n")
    (tmp_path / "relay_of_test.py").write_text("import helper_of_test\n")
    helper, inner = tmp_path / "helper_of_test.py", tmp_path / "lib_of_test" / "inner.py"
    inner.parent.mkdir()
    for path in (helper, inner):
        path.write_text("VALUE = 1\n")
    before = function_fingerprint("uses_of_test:good", tmp_path)
    for path in (helper, inner):
        path.write_text("VALUE = 2\n")
    assert function_fingerprint("uses_of_test:good", tmp_path) != before


def test_other_files_of_the_project_do_not_count_and_a_lone_module_has_the_fingerprint_it_always_had(
    tmp_path: Path,
) -> None:
    code = b"import json\nimport numpy\n\n\ndef good(): ...\n"
    (tmp_path / "lone_of_test.py").write_bytes(code)
    (tmp_path / "other_of_test.py").write_text("X = 1\n")
    assert function_fingerprint("lone_of_test:good", tmp_path) == hashlib.blake2b(code, digest_size=16).hexdigest()


def test_code_that_changed_since_it_was_imported_is_imported_again(tmp_path: Path) -> None:
    # The same size within the same second: Python's own compiled files do not see that it changed.
    folder = tmp_path / "again_of_test"
    folder.mkdir()
    (folder / "rewards.py").write_text("from again_of_test.helper import VALUE\n\n\ndef score(): return VALUE\n")
    (folder / "more.py").write_text("from again_of_test import helper\n\n\ndef value(): return helper.VALUE\n")
    for value in (1, 2, 3):
        (folder / "helper.py").write_text(f"VALUE = {value}\n")
        assert load_function("again_of_test.rewards:score", tmp_path)() == value
        assert load_function("again_of_test.more:value", tmp_path)() == value


def test_code_that_changes_while_it_is_imported_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "moving_of_test.py"
    path.write_text(f"open({str(path)!r}, 'a').write('#')\n\n\ndef score(): ...\n")
    with pytest.raises(UserError, match="changed while it was read; run again"):
        load_function("moving_of_test:score", tmp_path)


def test_a_module_of_another_project_is_not_taken_for_one_of_the_same_name(tmp_path: Path) -> None:
    for value in (1, 2, 1):
        root = tmp_path / str(value)
        root.mkdir(exist_ok=True)
        (root / "twin_of_test.py").write_text(f"def value(): return {value}\n")
        assert load_function("twin_of_test:value", root)() == value
