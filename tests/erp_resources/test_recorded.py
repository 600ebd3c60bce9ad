"""Recorded outcomes: the forms that are understood, and the lines of what is not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded_sets import LLMS, outcomes, tidy_folder, wide_file

from erp_resources.language_models import RecordedLLM, Sampling
from erp_resources.prompt_sources import PROMPTS, RecordedPrompts
from erp_resources.prompt_sources.recorded import embedded_part
from erp_resources.recorded import NOT_RECORDED, load_outcomes
from erp_resources.reward_models import RecordedRewardModel
from erp_resources.settings import UserError


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        load_outcomes(str(path), path.parent)
    return str(error.value)


def rewards(found: Any) -> dict[tuple[str, str], float]:
    """Mean reward by prompt and LLM."""
    texts = dict(zip(found.prompts["prompt_id"].to_pylist(), found.prompts["prompt"].to_pylist(), strict=True))
    cells = found.cells.to_pandas()
    cells["prompt"] = cells["prompt_id"].map(texts)
    return cells.groupby(["prompt", "llm"])[found.known].mean().to_dict()


def test_all_forms_say_the_same(tmp_path: Path) -> None:
    frame = outcomes()
    folder = tidy_folder(tmp_path / "folder", frame)
    one = tmp_path / "one.jsonl"
    frame.to_json(one, orient="records", lines=True)
    three = tmp_path / "three.csv"
    frame[["prompt", "llm", "reward"]].rename(columns={"prompt": "question", "llm": "model", "reward": "score"}).to_csv(
        three, index=False
    )
    wide = wide_file(tmp_path / "wide.csv", frame)
    expected = frame.groupby(["prompt", "llm"])["reward"].mean().to_dict()
    for path in (folder, one, three, wide):
        found = load_outcomes(str(path), tmp_path)
        assert rewards(found) == expected, path
        assert found.prompts.num_rows == 80
        assert found.cells.num_rows == 240
    found = load_outcomes(str(wide), tmp_path)
    assert found.has_costs()
    np.testing.assert_allclose(found.of(LLMS[1])["cost"].to_numpy(), frame[frame["llm"] == LLMS[1]]["cost"])
    assert found.of(LLMS[2])["response"][0].as_py() == "large 70b says 0"
    assert set(found.prompts["category"].to_pylist()) == {"sums", "words"}
    assert load_outcomes(str(three), tmp_path).prompts["split"].null_count == 80


def test_right_and_wrong_are_one_and_zero_however_they_are_written(tmp_path: Path) -> None:
    expected = {("a", "x"): 1.0, ("b", "x"): 0.0}
    frame = pd.DataFrame(
        {"prompt": ["a", "b"], "llm": ["x", "x"], "correct": [True, False], "split": ["Train", "TEST"]}
    )
    frame.to_csv(tmp_path / "o.csv", index=False)
    frame.to_json(tmp_path / "o.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "o.parquet")
    for form in ("csv", "jsonl", "parquet"):
        found = load_outcomes(str(tmp_path / f"o.{form}"), tmp_path)
        assert rewards(found) == expected, form
        assert found.prompts["split"].to_pylist() == ["train", "test"]


def test_samples_means_and_missing_cells_are_kept_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "prompt": ["a", "a", "a", "b", "b"],
            "llm": ["x", "x", "y", "x", "y"],
            "reward": [0.0, 1.0, 0.75, 0.5, None],
            "n_samples": [1, 1, 4, 2, 1],
        }
    )
    frame.to_csv(tmp_path / "o.csv", index=False)
    found = load_outcomes(str(tmp_path / "o.csv"), tmp_path)
    assert found.of("x")["sample"].to_pylist() == [0, 1, 0]
    assert found.of("x")["n"].to_pylist() == [1, 1, 2]
    assert found.of("y")["n"].to_pylist() == [4]
    assert found.notes == ("1 outcomes have neither a reward nor a response: they count as missing",)


def test_prompts_of_the_same_text_are_one_with_all_outcomes_and_a_leak_is_held_out(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "prompt_id": ["1", "2", "3", "4"],
            "prompt": ["same", "same", "other", "far"],
            "split": ["train", "test", "train", "ood"],
            "llm": ["x"] * 4,
            "reward": [0, 1, 1, 0],
        }
    )
    frame.to_parquet(tmp_path / "o.parquet")
    found = load_outcomes(str(tmp_path / "o.parquet"), tmp_path)
    splits = dict(zip(found.prompts["prompt"].to_pylist(), found.prompts["split"].to_pylist(), strict=True))
    assert splits == {"same": "test", "other": "train", "far": "ood"}
    assert rewards(found) == {("same", "x"): 0.5, ("other", "x"): 1.0, ("far", "x"): 0.0}
    assert found.notes[0].startswith("1 prompts stand more than once")
    assert found.notes[1].startswith("1 prompts stand in train and in test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt,llm,reward\na,x,1\nb,x,good\n", "o.csv:3: column 'reward' holds 'good', which is no number"),
        ("prompt,llm,reward\na,x,1\nb,x,inf\n", "o.csv:3: column 'reward' holds an infinite number"),
        ("prompt,llm,reward\na,x,1\n,x,1\n", "o.csv:3: column 'prompt' is empty; every row has a prompt"),
        ("prompt,llm,reward\na,x,1\nb, ,1\n", "o.csv:3: column 'llm' is empty; name the LLM"),
        ("prompt,llm,reward,n_samples\na,x,1,0\n", "o.csv:2: column 'n_samples' holds 0; write a whole number"),
        ("prompt,llm,reward,cost\na,x,1,-2\n", "o.csv:2: column 'cost' holds -2; write no negative number"),
        ("prompt,llm,reward,split\na,x,1,dev\n", "o.csv:2: column 'split' holds 'dev'; write train, test, ood"),
        ("prompt,llm,reward,sample\na,x,1,0\na,x,0,0\n", "o.csv:3: this sample of the prompt and LLM stands above"),
        ("prompt,llm,reward\na,x\n", "o.csv:2: has 2 cells, but the header has 3"),
        ("prompt,llm,reward\n", "o.csv: it has no rows"),
        ("prompt,llm,llm\na,x,1\n", "o.csv: the column 'llm' stands twice"),
        ("prompt,verdict\na,fine\n", "o.csv: it has neither a column 'llm' nor a column of numbers for each LLM"),
    ],
)
def test_what_does_not_fit_is_refused_by_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "o.csv").write_text(content)
    assert message in refusal(tmp_path / "o.csv")


def test_a_folder_that_cannot_be_understood_says_what_it_has(tmp_path: Path) -> None:
    folder = tidy_folder(tmp_path / "set", outcomes())
    pd.DataFrame({"prompt_id": ["nobody"], "llm": ["x"], "reward": [1.0]}).to_parquet(folder / "rewards.parquet")
    assert "rewards.parquet: row 1: prompt_id 'nobody' is not among the prompts" in refusal(folder)
    pd.DataFrame({"llm": ["x"]}).to_csv(folder / "more.csv")
    assert "more.csv: it has no column prompt_id, by which its rows would name their prompts" in refusal(folder)
    (tmp_path / "empty").mkdir()
    assert "has no file that ends in one of .parquet" in refusal(tmp_path / "empty")
    assert "there is no" in refusal(tmp_path / "nowhere")


def test_an_llm_gives_what_is_recorded_and_says_where_nothing_is(tmp_path: Path) -> None:
    frame = outcomes(4).drop(columns="prompt_id")
    frame.loc[frame.index[3], "response"] = None
    frame = frame.drop(index=frame.index[6])
    frame.to_json(tmp_path / "o.jsonl", orient="records", lines=True)
    entry = RecordedLLM(backend="recorded", path="o.jsonl", llm=LLMS[0], cost=1)
    prompts = ["never asked", *frame["prompt"].unique()]
    table = entry.load(tmp_path).sample(prompts, Sampling(), 0).to_pandas()
    assert table["prompt_index"].tolist() == [1, 2, 4]
    assert table["response"].tolist() == [f"{LLMS[0]} says 0", "", f"{LLMS[0]} says 3"]
    assert table["error"].fillna("").tolist() == ["", NOT_RECORDED, ""]
    with pytest.raises(UserError, match="there are no outcomes of 'nobody'; there are of large 70b"):
        RecordedLLM(backend="recorded", path="o.jsonl", llm="nobody", cost=1).load(tmp_path)


def test_changed_data_change_fingerprints(tmp_path: Path) -> None:
    frame = outcomes(6)
    frame.to_csv(tmp_path / "o.csv", index=False)
    llm = RecordedLLM(backend="recorded", path="o.csv", llm=LLMS[0], cost=1)
    source = RecordedPrompts(source="recorded", path="o.csv")
    before = llm.fingerprint(tmp_path), source.fingerprint(tmp_path)
    assert before == (llm.fingerprint(tmp_path), source.fingerprint(tmp_path))
    frame["reward"] = 1 - frame["reward"]
    frame.to_csv(tmp_path / "o.csv", index=False)
    assert llm.fingerprint(tmp_path) != before[0]
    assert source.fingerprint(tmp_path) != before[1]
    assert llm.outcomes(tmp_path)["reward"].to_pylist() == frame.loc[frame["llm"] == LLMS[0], "reward"].tolist()


def test_rewards_are_those_of_the_column_and_others_are_scored_by_the_model_under_otherwise(tmp_path: Path) -> None:
    outcomes(6).assign(taste=3.5).to_csv(tmp_path / "o.csv", index=False)
    cells = load_outcomes("o.csv", tmp_path).of(LLMS[0])
    found = RecordedRewardModel(backend="recorded", column="taste").recorded(cells)
    assert found is not None
    assert set(found["reward"].to_pylist()) == {3.5}
    assert RecordedRewardModel(backend="recorded", column="judge").recorded(cells) is None
    with pytest.raises(UserError, match="cannot score other responses; give it a reward model under otherwise"):
        RecordedRewardModel(backend="recorded").load(tmp_path)
    entry = RecordedRewardModel.model_validate(
        {"backend": "recorded", "otherwise": {"backend": "verifiable", "check": "exact"}}
    )
    assert entry.load(tmp_path).score(["p"], ["Paris."], ["paris"]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("text", "embed", "part"),
    [
        ("Q: 1\nA: 2\nQ: 3", {"after": "Q:"}, "3"),
        ("no mark", {"after": "Q:"}, None),
        ("User: hi\nAssistant: hello\nUser: what is\nup?", "last_user_turn", "what is\nup?"),
        ("just a question", "last_user_turn", None),
        (
            json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
            "last_user_turn",
            "a",
        ),
    ],
)
def test_the_part_that_is_embedded(text: str, embed: Any, part: str | None) -> None:
    assert embedded_part(text, embed) == part


def test_prompts_are_embedded_by_their_part_or_whole_where_there_is_none(tmp_path: Path) -> None:
    prompts = ["Few shots. Question: one?", "Few shots. Question: two?", "something else"]
    pd.DataFrame({"prompt": prompts, "llm": "x", "reward": 1}).to_csv(tmp_path / "o.csv", index=False)
    source = RecordedPrompts(source="recorded", path="o.csv", embed={"after": "Question:"}).load(tmp_path)
    table = source.load()
    assert table["embed_text"].to_pylist() == ["one?", "two?", "something else"]
    assert table.column_names == PROMPTS.names
    assert list(source.notes.values()) == [1]
