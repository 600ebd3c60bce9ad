"""The router's bundle on disk and its decisions."""

import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from erp import Features, Guard, RidgeProbes, Router, exact_frontier, mean_cost, route
from erp._check import Floats
from erp.router import EMBEDDERS, load_router

COSTS = np.array([0.2, 1.5, 0.5])
EMBEDDER = {"backend": "sentence_transformers", "model": "tiny", "options": {"max_length": 8}}


def embed(prompts: Sequence[str]) -> Floats:
    """A stand-in for an embedding model: four numbers that depend on the prompt alone."""
    return np.array([[len(p), p.count("a"), p.count("e"), hash_of(p)] for p in prompts], dtype=np.float64)


def hash_of(prompt: str) -> float:
    return sum(prompt.encode()) % 97 / 97


PROMPTS = [f"prompt {'a' * (i % 7)}{'e' * (i % 5)} {i}" for i in range(60)]


def make(seed: int = 0, **changes: object) -> Router:
    rng = np.random.default_rng(seed)
    embeddings = embed(PROMPTS)
    targets = embeddings @ rng.normal(size=(4, 3)) * 0.1 + 0.3 * rng.normal(size=(60, 3))
    probes = RidgeProbes().fit(embeddings, targets)
    parts: dict[str, object] = {
        "pool": "playground",
        "reward_model": "thorough",
        "llms": ("small", "large", "maths"),
        "coefficients": probes.coefficients_,
        "intercepts": probes.intercept_,
        "costs": COSTS,
        "frontier": exact_frontier(probes.leave_one_out_, targets, COSTS),
        "embedder": EMBEDDER,
        "embed": embed,
    }
    return Router(**{**parts, **changes})  # type: ignore[arg-type]


def test_it_decides_by_its_probes_and_the_exchange_rate() -> None:
    router = make()
    for exchange_rate in (0.0, 0.3, 2.0):
        decisions = router.route(PROMPTS, exchange_rate=exchange_rate)
        predicted = embed(PROMPTS) @ router.coefficients.T + router.intercepts
        chosen = route(predicted, COSTS, exchange_rate)
        np.testing.assert_array_equal(decisions.predicted, predicted)
        assert decisions.llms == [router.llms[i] for i in chosen]
        assert decisions.cost.tolist() == COSTS[chosen].tolist()
        assert decisions.exchange_rate == exchange_rate
    assert router.route(PROMPTS).exchange_rate == 0.0


def test_a_batch_decides_as_its_prompts_one_by_one() -> None:
    router = make()
    batch = router.route(PROMPTS, exchange_rate=0.2)
    assert batch.llms == [router.route([prompt], exchange_rate=0.2).llms[0] for prompt in PROMPTS]


def test_a_budget_becomes_the_exchange_rate_of_the_train_frontier() -> None:
    router = make()
    decisions = router.route(PROMPTS, budget=0.6)
    k = int(np.flatnonzero(router.frontier.cost <= 0.6)[0])
    assert decisions.exchange_rate == router.frontier.exchange_rate[k]
    with pytest.raises(ValueError, match=r"out of reach: the smallest is 0\.2"):
        router.route(PROMPTS, budget=0.1)


def test_a_budget_holds_exactly_on_the_predictions_of_the_frontier() -> None:
    router = make()
    predicted = router.predict(PROMPTS)
    router = make(frontier=exact_frontier(predicted, predicted, COSTS))
    for budget in (0.2, 0.33, 0.8, 1.5):
        decisions = router.route(PROMPTS, budget=budget)
        assert decisions.cost.mean() <= budget + 1e-12
        assert mean_cost(COSTS, route(predicted, COSTS, decisions.exchange_rate)) == decisions.cost.mean()


def test_a_saved_router_loads_as_it_was(tmp_path: Path) -> None:
    router = make()
    router.save(tmp_path / "bundle")
    loaded = Router.load(tmp_path / "bundle", embed)
    assert (loaded.pool, loaded.reward_model, loaded.llms) == ("playground", "thorough", router.llms)
    assert loaded.embedder == EMBEDDER
    for name in ("coefficients", "intercepts", "costs"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(router, name))
    for name in ("exchange_rate", "cost", "reward", "regret"):
        np.testing.assert_array_equal(getattr(loaded.frontier, name), getattr(router.frontier, name))
    ours, theirs = router.route(PROMPTS, budget=0.5), loaded.route(PROMPTS, budget=0.5)
    assert (ours.llms, ours.exchange_rate) == (theirs.llms, theirs.exchange_rate)


def test_saving_again_leaves_the_two_files_of_the_new_router(tmp_path: Path) -> None:
    make(0).save(tmp_path)
    make(1).save(tmp_path)
    make(1).save(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split("-")[0] for name in names] == ["router.json", "tensors"]
    np.testing.assert_array_equal(Router.load(tmp_path).coefficients, make(1).coefficients)


def test_a_crash_at_any_step_of_saving_leaves_a_whole_router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    old, new = make(0), make(1)
    for step in range(4):
        folder = tmp_path / str(step)
        old.save(folder)
        steps = iter(range(10))

        def dying(real: object, step: int = step, steps: object = steps) -> object:
            def call(*args: object, **kwargs: object) -> object:
                if next(steps) == step:  # type: ignore[call-overload]
                    raise Killed
                return real(*args, **kwargs)  # type: ignore[operator]

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dying(os.fsync))
            patch.setattr(os, "replace", dying(os.replace))
            with pytest.raises(Killed):
                new.save(folder)
        np.testing.assert_array_equal(Router.load(folder).coefficients, old.coefficients)
        new.save(folder)
        np.testing.assert_array_equal(Router.load(folder).coefficients, new.coefficients)
        assert len(list(folder.iterdir())) == 2


def test_stale_and_half_written_files_do_not_disturb_loading_and_go_with_the_next_save(
    tmp_path: Path,
) -> None:
    router = make()
    router.save(tmp_path)
    (tmp_path / "tensors-0123456789abcdef.safetensors").write_bytes(b"stale")
    (tmp_path / ".router.json.partial").write_bytes(b'{"half')
    np.testing.assert_array_equal(Router.load(tmp_path).costs, COSTS)
    router.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_readers_find_a_whole_router_while_a_writer_replaces_it(tmp_path: Path) -> None:
    routers = [make(0), make(1)]
    routers[0].save(tmp_path)
    first_intercepts = {router.intercepts[0] for router in routers}
    done = threading.Event()

    def write() -> None:
        for i in range(60):
            routers[i % 2].save(tmp_path)
        done.set()

    def read() -> int:
        reads = 0
        while not done.is_set():
            assert Router.load(tmp_path).intercepts[0] in first_intercepts
            reads += 1
        return reads

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        assert sum(reader.result() for reader in readers) > 0


def test_threads_share_a_router_and_embed_is_never_called_twice_at_once(tmp_path: Path) -> None:
    busy = threading.Lock()

    def exclusive(prompts: Sequence[str]) -> Floats:
        assert busy.acquire(blocking=False), "embed is running in another thread"
        try:
            return embed(prompts)
        finally:
            busy.release()

    router = make(embed=exclusive)
    expected = make().route(PROMPTS, exchange_rate=0.1).llms
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: router.route(PROMPTS, exchange_rate=0.1).llms, range(64)))
    assert all(result == expected for result in results)


def test_a_router_does_not_change() -> None:
    coefficients = make().coefficients.copy()
    router = make(coefficients=coefficients)
    coefficients[:] = 0
    assert router.coefficients.any()
    with pytest.raises(ValueError, match="read-only"):
        router.costs[0] = 0.0


def test_without_embed_embeddings_can_be_routed_and_prompts_cannot(tmp_path: Path) -> None:
    make().save(tmp_path)
    router = Router.load(tmp_path)
    expected = make().route(PROMPTS, budget=0.5)
    assert router.route_embeddings(embed(PROMPTS), budget=0.5).llms == expected.llms
    with pytest.raises(ValueError, match="no embed function"):
        router.route(PROMPTS)


def test_no_prompts_are_no_decisions() -> None:
    router = make()
    assert router.predict([]).shape == (0, 3)
    assert router.route([], budget=0.5).llms == []
    assert router.route_embeddings(np.empty((0, 4))).cost.shape == (0,)


def test_mistakes_are_named() -> None:
    router = make()
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*'playground/thorough' has probes for \(n, 4\).*tiny"):
        router.route_embeddings(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(1, 2\).*\(n, 4\)"):
        make(embed=lambda prompts: np.ones((len(prompts), 2))).route(["a"])
    with pytest.raises(ValueError, match=r"embed returned shape \(1, 4\) for 2 prompts"):
        make(embed=lambda prompts: np.ones((1, 4))).route(["a", "b"])
    with pytest.raises(ValueError, match="embeddings must be finite"):
        router.route_embeddings(np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="got one string: put it in a list"):
        router.route("prompt")
    with pytest.raises(ValueError, match="an exchange_rate or a budget, not both"):
        router.route(PROMPTS, exchange_rate=0.0, budget=1.0)
    with pytest.raises(ValueError, match="exchange_rate must be a finite number"):
        router.route(PROMPTS, exchange_rate=-1.0)
    with pytest.raises(ValueError, match="llms must be different names"):
        make(llms=("a", "a", "b"))
    with pytest.raises(ValueError, match=r"intercepts has shape \(3,\), expected \(2,\)"):
        make(llms=("a", "b"), coefficients=np.ones((2, 4)))


def test_damaged_and_missing_bundles_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"router\.json does not exist: there is no router"):
        Router.load(tmp_path)
    make().save(tmp_path)
    tensors = next(tmp_path.glob("tensors-*"))
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match="is damaged"):
        Router.load(tmp_path)
    tensors.unlink()
    with pytest.raises(FileNotFoundError, match=r"names tensors-.*which is missing: make the router again"):
        Router.load(tmp_path)
    description = json.loads((tmp_path / "router.json").read_text())
    (tmp_path / "router.json").write_text(json.dumps({**description, "format": 2}))
    with pytest.raises(ValueError, match="has format 2, this version reads 3"):
        Router.load(tmp_path)
    (tmp_path / "router.json").write_text(json.dumps({**description, "llms": ["small", "large", "maths!"]}))
    with pytest.raises(ValueError, match="is damaged"):
        Router.load(tmp_path)
    (tmp_path / "router.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        Router.load(tmp_path)


def test_any_changed_letter_of_its_description_is_damage(tmp_path: Path) -> None:
    make().save(tmp_path)
    path = tmp_path / "router.json"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            read = Router.load(tmp_path)
        except (ValueError, FileNotFoundError):
            continue
        assert (read.pool, read.llms, read.embedder) == ("playground", make().llms, EMBEDDER)  # white space


def test_a_router_of_some_of_its_llms_decides_among_them_and_knows_no_budget(tmp_path: Path) -> None:
    router = make()
    some = router.only(["maths", "small"])
    predicted = router.predict(PROMPTS)[:, [2, 0]]
    np.testing.assert_array_equal(some.predict(PROMPTS), predicted)
    chosen = route(predicted, COSTS[[2, 0]], 0.1)
    assert some.route(PROMPTS, exchange_rate=0.1).llms == [("maths", "small")[i] for i in chosen]
    with pytest.raises(ValueError, match="knows no budgets"):
        some.route(PROMPTS, budget=1.0)
    with pytest.raises(ValueError, match="is not saved"):
        some.save(tmp_path)
    with pytest.raises(ValueError, match="asked for none"):
        router.only([])


def test_it_is_loaded_with_the_embedder_that_an_installed_package_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    class Offered:
        def load(self) -> object:
            def make_embedder(*arguments: object) -> object:
                asked.append(arguments)
                return embed

            return make_embedder

    make(embedder_root="/the/project", embedder_fingerprint="weights").save(tmp_path)
    offers = {"sentence_transformers": [Offered()]}
    monkeypatch.setattr("erp.router.entry_points", lambda group, name: offers[name] if group == EMBEDDERS else [])
    loaded = load_router(tmp_path)
    assert asked == [(EMBEDDER, Path("/the/project"), "weights")]
    assert loaded.route(PROMPTS).llms == make().route(PROMPTS).llms
    assert loaded.made
    offers["sentence_transformers"] = []
    with pytest.raises(ValueError, match="no installed package makes an embedder of backend 'sentence_transformers'"):
        load_router(tmp_path)
    assert load_router(tmp_path, embed).route(PROMPTS).llms == loaded.route(PROMPTS).llms


def whole(**changes: object) -> Router:
    """A router with everything that one may have."""
    random = np.random.default_rng(3)
    embeddings = embed(PROMPTS)
    features = Features.fit(embeddings, PROMPTS)
    seen = features(embeddings, PROMPTS)
    targets = np.stack([seen[:, 0], seen[:, 1], seen[:, 2]], axis=1) + 0.2 * random.normal(size=(60, 3))
    spent = COSTS * (1 + 0.1 * embeddings[:, [1]])
    probes, costs = RidgeProbes().fit(seen, targets), RidgeProbes().fit(seen, spent)
    guard = Guard(targets.mean(axis=0), spent.mean(axis=0), 0.05)
    parts: dict[str, object] = {
        "coefficients": probes.coefficients_,
        "intercepts": probes.intercept_,
        "costs": spent.mean(axis=0),
        "frontier": guard.path(probes.leave_one_out_, costs.leave_one_out_).frontier(targets, spent),
        "features": features,
        "cost_coefficients": costs.coefficients_,
        "cost_intercepts": costs.intercept_,
        "guard": guard,
    }
    return make(**{**parts, **changes})


def test_it_reads_features_predicts_costs_and_is_guarded() -> None:
    router = whole()
    seen = router.features(embed(PROMPTS), PROMPTS)
    predicted = seen @ router.coefficients.T + router.intercepts
    assert router.cost_coefficients is not None
    assert router.cost_intercepts is not None
    costs = np.maximum(0, seen @ router.cost_coefficients.T + router.cost_intercepts)
    assert router.guard is not None
    plain = whole(guard=None)
    differ = 0
    for rate in (0.0, 0.1, 1.0):
        decisions = router.route(PROMPTS, exchange_rate=rate)
        chosen = router.guard.route(predicted, costs, rate)
        assert decisions.llms == [router.llms[i] for i in chosen]
        np.testing.assert_allclose(decisions.cost, costs[np.arange(60), chosen])
        np.testing.assert_array_equal(
            router.route_embeddings(embed(PROMPTS), PROMPTS, exchange_rate=rate).predicted, decisions.predicted
        )
        unguarded = route(predicted, costs, rate)
        assert plain.route(PROMPTS, exchange_rate=rate).llms == [router.llms[i] for i in unguarded]
        differ += int((unguarded != chosen).sum())
    assert differ > 0
    assert router.dimensions == 4
    assert router.route([]).llms == []


def test_a_stored_router_is_the_router_with_everything_that_it_has(tmp_path: Path) -> None:
    router = whole()
    router.save(tmp_path)
    loaded = Router.load(tmp_path, embed)
    for rate in (0.0, 0.2, 3.0):
        ours, theirs = router.route(PROMPTS, exchange_rate=rate), loaded.route(PROMPTS, exchange_rate=rate)
        assert ours.llms == theirs.llms
        np.testing.assert_array_equal(ours.predicted, theirs.predicted)
        np.testing.assert_array_equal(ours.cost, theirs.cost)
    assert loaded.guard is not None
    assert router.guard is not None
    assert loaded.guard.margin == router.guard.margin


def test_texts_are_asked_for_where_features_read_them_and_cost_probes_come_whole() -> None:
    with pytest.raises(ValueError, match="read the prompts' texts as well"):
        whole().route_embeddings(embed(PROMPTS))
    with pytest.raises(ValueError, match="give both cost_coefficients and cost_intercepts"):
        whole(cost_intercepts=None)
