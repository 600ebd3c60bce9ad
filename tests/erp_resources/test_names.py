"""Names: what Dagster and file systems take, in any script; and values in messages."""

from urllib.parse import quote

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_resources.names import check_distinct, check_entry_name, check_pool_name
from erp_resources.settings import shown


@pytest.mark.parametrize(
    "name", ["small", "org/large-1.5", "größe", "模型", "モデル-2", "मॉडल", "نموذج", "4", "gpt_4:x"]
)
def test_an_entry_s_name_may_be_in_any_script(name: str) -> None:
    assert check_entry_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " a",
            "a b",
            "a|b",
            "a,b",
            "[a]",
            "a=b",
            "a%b",
            "a...b",
            "a.",
            "..",
            "_a",
            "a\n",
            "a\u202eb",
            "\ud800",
            "a\0",
        ),
        *("x" * 300, "模" * 100, "con", "NUL.txt", "\u0301a", "😀", "a\u200bb"),
    ],
)
def test_a_name_that_dagster_or_a_disk_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"legal name|too long"):
        check_entry_name(name)


@given(st.text(max_size=40))
def test_what_is_accepted_dagster_and_a_disk_take(name: str) -> None:
    try:
        check_entry_name(name)
    except ValueError:
        return
    assert dg.StaticPartitionsDefinition([name]).get_partition_keys() == [name]
    dg.MultiPartitionsDefinition(
        {"llm": dg.StaticPartitionsDefinition([name]), "x": dg.StaticPartitionsDefinition([name])}
    )
    assert len(f"reward_model={quote(name, safe='')}".encode()) <= 255


@pytest.mark.parametrize("pair", [("GPT", "gpt"), ("straße", "STRASSE"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_share_a_folder_on_some_disk_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="share a folder"):
        check_distinct(pair)


@pytest.mark.parametrize("name", ["größe", "_x", "ñ", "A", "1a", "", "../x", "a-b", "x" * 5_000, "a\n", "con", "nul"])
def test_a_pool_s_name_is_a_lower_case_ascii_word(name: str) -> None:
    with pytest.raises(ValueError, match=r"legal name|too long"):
        check_pool_name(name)


@given(st.text(st.characters(), max_size=400) | st.integers() | st.lists(st.text()) | st.floats())
def test_a_shown_value_is_one_harmless_line(value: object) -> None:
    text = shown(value)
    assert len(text) <= 200
    assert text.isprintable()
    text.encode()


def test_a_value_that_cannot_be_a_text_is_shown_as_its_type() -> None:
    assert shown(10**10_000) == "<int>"
    assert shown("\x1b[31m\u202e\ud800") == r"\x1b[31m\u202e\ud800"
