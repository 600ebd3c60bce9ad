"""What was made from data carries their fingerprint as they were read, whatever was written to them meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from erp_assets.definitions import build_defs
from erp_resources.lineage import Partition, states
from erp_resources.pool import Pool
from erp_resources.prompt_sources import file as file_prompts
from erp_resources.warehouse import Warehouse

PROMPTS = Partition("prompts", "")


def test_prompts_whose_file_changes_after_it_was_read_are_refused(
    project: Path,
    edit_pool: Callable[[str, str], Pool],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = project / "p.csv"
    data.write_text("prompt\n" + "".join(f"question {i}\n" for i in range(10)))
    pool = edit_pool(
        'prompts: {source: function, function: "corpus:prompts", per_category: 12, seed: 0}',
        "prompts: {source: file, path: p.csv}",
    )
    read_rows = file_prompts.read_rows

    def then_changed(*arguments: Any) -> Any:
        rows = read_rows(*arguments)
        with data.open("a") as stream:
            stream.write("one more\n")
        return rows

    definitions = build_defs([pool])

    def make() -> str:
        dg.materialize(
            definitions.assets or [],  # type: ignore[arg-type]
            selection=[dg.AssetKey(["demo", "prompts"])],
            resources=definitions.resources,
            instance=instance,
        )
        return states(pool, Warehouse(pool).stamp)[PROMPTS]

    with monkeypatch.context() as patch:
        patch.setattr(file_prompts, "read_rows", then_changed)
        with pytest.raises(dg.Failure, match="prompts: the model, data or code changed while it was loaded; run again"):
            make()
    assert Warehouse(pool).stamp(PROMPTS) is None
    assert make() == "materialized"
    assert Warehouse(pool).read(PROMPTS).num_rows == 11
