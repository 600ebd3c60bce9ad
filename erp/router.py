"""The trained router: probes, costs and a train-set frontier in one bundle that lives on disk.

What belongs here: the bundle, its files, and decisions for new prompts. What to keep out: training
(`erp.probes`), the decision rule (`erp.routing`), and embedding models: the caller hands in a function that
embeds, or an installed package makes it from what the bundle says of the embedder (`load_router`).

A bundle is a folder of two files, `router.json` and the `tensors-<hash>.safetensors` it names. The tensors
are written first and under a new name, `router.json` is renamed into place, and only then older tensors go:
whoever dies or reads in between finds a whole bundle, the old one or the new one. Both carry hashes, so that a
damaged bundle is no router.
"""

import datetime
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.numpy
from numpy.typing import ArrayLike, NDArray

from erp._check import Floats, costs_of, finite
from erp.features import Features
from erp.frontier import Frontier
from erp.guard import Guard
from erp.routing import checked_exchange_rate, exchange_rate_for_budget, route

Embed = Callable[[Sequence[str]], NDArray[Any]]

FORMAT = 3
"""The version of the bundle's files; those of another are made again."""

EMBEDDERS = "erp.embedders"
"""The group of entry points under which packages offer embedders: by backend, a function of the embedder's settings,
the folder where relative paths in them start, and its fingerprint, that returns an `Embed`."""

_JSON = "router.json"
_ATTEMPTS = 20
_FRONTIER = ("exchange_rate", "cost", "reward", "regret")


@dataclass(frozen=True, eq=False)
class Decisions:
    """Where n prompts go.

    `llms` (n names), `predicted` (n, M) predicted rewards and `costs` (n, M) predicted costs in the order of the
    router's LLMs, `cost` (n,) of the chosen LLMs, and the `exchange_rate` decided at.
    """

    llms: list[str]
    predicted: Floats
    costs: Floats
    cost: Floats
    exchange_rate: float


@dataclass(frozen=True, eq=False)
class Router:
    """Sends each prompt to the LLM with the best predicted reward for its cost (equation 4.4).

    Nothing in a router changes after it is made (its arrays are read-only copies) and calls of `embed` take
    turns behind a lock, so that any number of threads may share one, whatever `embed` is.

    Parameters
    ----------
    pool, reward_model : str
        The names of the pool and of the reward model whose rewards the probes predict.
    llms : names (M,)
    coefficients : (M, f), intercepts : (M,)
        The probes, as `erp.probes.RidgeProbes` fits them on f features, one row per LLM.
    costs : (M,)
        Cost per prompt of every LLM, on average.
    frontier : Frontier or None
        The router's own frontier on the train split, decided by leave-one-out predictions: a budget becomes
        an exchange rate on it. None: no budget can be kept.
    embedder : mapping
        The settings of the embedding model, for whoever makes `embed` again; anything that JSON holds.
    embed : callable or None
        Embeds a list of n prompts as an array (n, d). None: only embeddings can be routed.
    features : Features
        What the probes read of an embedding and its text; by default the embedding.
    cost_coefficients : (M, f) or None
        Probes of cost, where costs differ by prompt: argmax_i predicted_i - exchange_rate * predicted cost_i.
    cost_intercepts : (M,) or None
        Theirs.
    guard : Guard or None
        What the best single LLM is left for; None: for any predicted gain.
    embedder_root, embedder_fingerprint : str
        Where relative paths in `embedder` start, and what its weights were like when the probes were trained.
    made : str
        When the bundle was saved, as ISO 8601 has it; empty until then.

    Raises
    ------
    ValueError
        When shapes do not fit, names repeat, a cost is negative or a value is not finite.
    """

    pool: str
    reward_model: str
    llms: tuple[str, ...]
    coefficients: Floats
    intercepts: Floats
    costs: Floats
    frontier: Frontier | None
    embedder: Mapping[str, Any]
    embed: Embed | None = None
    features: Features = field(default_factory=Features.of_embedding)
    cost_coefficients: Floats | None = None
    cost_intercepts: Floats | None = None
    guard: Guard | None = None
    embedder_root: str = ""
    embedder_fingerprint: str = ""
    made: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        llms = tuple(self.llms)
        if not llms or len(set(llms)) != len(llms):
            raise ValueError(f"llms must be different names, at least one: {llms}")
        arrays = {
            "coefficients": finite("coefficients", self.coefficients, 2, (len(llms), None)),
            "intercepts": finite("intercepts", self.intercepts, 1, (len(llms),)),
            "costs": costs_of(self.costs, len(llms)),
        }
        if (self.cost_coefficients is None) != (self.cost_intercepts is None):
            raise ValueError("give both cost_coefficients and cost_intercepts, or neither")
        if self.cost_coefficients is not None and self.cost_intercepts is not None:
            shape = arrays["coefficients"].shape
            arrays["cost_coefficients"] = finite("cost_coefficients", self.cost_coefficients, 2, shape)
            arrays["cost_intercepts"] = finite("cost_intercepts", self.cost_intercepts, 1, (len(llms),))
        object.__setattr__(self, "llms", llms)
        for name, array in arrays.items():
            copy = array.copy()
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)

    @property
    def dimensions(self) -> int:
        """The number of dimensions d of the embeddings that the probes were fitted on."""
        if self.features.needs_texts:
            return int(self.features.centres.shape[1] - self.features.form_mean.size)
        return int(self.coefficients.shape[1])

    def predict(self, prompts: Sequence[str]) -> Floats:
        """Predicted reward of every LLM on n prompts, (n, M).

        Raises `ValueError` when there is no `embed` or its embeddings do not fit the probes.
        """
        return self._predicted(self._seen(self._embed(prompts), list(prompts)))

    def predict_embeddings(self, embeddings: ArrayLike, prompts: Sequence[str] | None = None) -> Floats:
        """Predicted reward of every LLM on n prompts by their embeddings, (n, d) -> (n, M); n may be 0.

        The prompts are needed where the features read their texts as well. Raises `ValueError` when they are and are
        not given, or the embeddings do not fit the probes or are not finite.
        """
        return self._predicted(self._seen(embeddings, prompts))

    def _seen(self, embeddings: ArrayLike, prompts: Sequence[str] | None) -> Floats:
        """The features (n, f) of n prompts."""
        array = np.asarray(embeddings, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != self.dimensions:
            raise ValueError(
                f"embeddings have shape {array.shape}, router '{self.pool}/{self.reward_model}' "
                f"has probes for (n, {self.dimensions}); its embedder is {json.dumps(dict(self.embedder))}"
            )
        if array.shape[0] == 0:
            return np.empty((0, self.coefficients.shape[1]))
        return self.features(array, prompts)

    def _predicted(self, seen: Floats) -> Floats:
        return np.asarray(seen @ self.coefficients.T + self.intercepts)

    def _costs(self, seen: Floats) -> Floats:
        """The cost of every LLM, (M,), or as predicted for n prompts, (n, M), none negative."""
        if self.cost_coefficients is None or self.cost_intercepts is None:
            return self.costs
        return np.maximum(seen @ self.cost_coefficients.T + self.cost_intercepts, 0.0)

    def route(
        self, prompts: Sequence[str], *, exchange_rate: float | None = None, budget: float | None = None
    ) -> Decisions:
        """Choose an LLM for every prompt.

        Parameters
        ----------
        prompts : n strings
        exchange_rate : float, optional
            Lambda: the reward worth one unit of cost. Without it and without a budget it is 0: the best
            predicted reward at any cost.
        budget : float, optional
            Instead: the largest mean cost per prompt, turned into the exchange rate that keeps it exactly on
            the train split (equation 4.1). On other prompts the mean cost may differ.

        Raises
        ------
        ValueError
            When both are given, the exchange rate is negative, the budget is out of reach, there is no
            `embed`, or its embeddings do not fit the probes.
        """
        exchange_rate = self._exchange_rate(exchange_rate, budget)
        return self._decide(self._seen(self._embed(prompts), list(prompts)), exchange_rate)

    def route_embeddings(
        self,
        embeddings: ArrayLike,
        prompts: Sequence[str] | None = None,
        *,
        exchange_rate: float | None = None,
        budget: float | None = None,
    ) -> Decisions:
        """`route` for prompts that are embedded already, (n, d); their texts as for `predict_embeddings`."""
        exchange_rate = self._exchange_rate(exchange_rate, budget)
        return self._decide(self._seen(embeddings, prompts), exchange_rate)

    def only(self, llms: Sequence[str]) -> Self:
        """The router of some of its LLMs. It knows no budgets, which hold for the LLMs that it was made with.

        Raises `ValueError` when an LLM is not one of its own, or there is none.
        """
        unknown = [llm for llm in llms if llm not in self.llms]
        if unknown or not llms:
            raise ValueError(f"the router's LLMs are {', '.join(self.llms)}; asked for {', '.join(llms) or 'none'}")
        rows = [self.llms.index(llm) for llm in llms]

        def some(array: Floats | None) -> Floats | None:
            return None if array is None else array[rows]

        guard = self.guard and Guard(self.guard.rewards[rows], self.guard.costs[rows], self.guard.margin)
        return replace(
            self,
            llms=tuple(llms),
            coefficients=self.coefficients[rows],
            intercepts=self.intercepts[rows],
            costs=self.costs[rows],
            frontier=None,
            cost_coefficients=some(self.cost_coefficients),
            cost_intercepts=some(self.cost_intercepts),
            guard=guard,
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the bundle into `folder`, in place of the one there.

        Readers may load throughout, and a crash leaves the old bundle or the new one. Writers of one folder
        must take turns. Raises `ValueError` for a router without a frontier.
        """
        if self.frontier is None:
            raise ValueError("a router of some of another's LLMs is not saved: make it anew")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"coefficients": self.coefficients, "intercepts": self.intercepts, "costs": self.costs}
        tensors |= {f"frontier.{name}": getattr(self.frontier, name) for name in _FRONTIER}
        tensors |= {f"features.{name}": tensor for name, tensor in self.features.tensors().items()}
        if self.cost_coefficients is not None and self.cost_intercepts is not None:
            tensors |= {"cost_coefficients": self.cost_coefficients, "cost_intercepts": self.cost_intercepts}
        if self.guard is not None:
            tensors |= {"guard.rewards": self.guard.rewards, "guard.costs": self.guard.costs}
            tensors["guard.margin"] = np.array([self.guard.margin])
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        content = safetensors.numpy.save(tensors)
        tensors_name = f"tensors-{_content_hash(content)}.safetensors"
        description = {
            "format": FORMAT,
            "pool": self.pool,
            "reward_model": self.reward_model,
            "llms": list(self.llms),
            "embedder": dict(self.embedder),
            "embedder_root": self.embedder_root,
            "embedder_fingerprint": self.embedder_fingerprint,
            "made": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "tensors": tensors_name,
        }
        description["hash"] = _description_hash(description)
        _replace(folder / tensors_name, content)
        _replace(folder / _JSON, (json.dumps(description, indent=2) + "\n").encode())
        for path in [*folder.glob("tensors-*.safetensors"), *folder.glob("*.partial")]:
            if path.name != tensors_name:
                path.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], embed: Embed | None = None) -> Self:
        """Read the bundle in `folder`; `embed` as for the class, made from the bundle's embedder settings.

        Raises `FileNotFoundError` when there is no bundle and `ValueError` when its files are damaged or of
        another format, both naming the file.
        """
        folder = Path(folder)
        for _ in range(_ATTEMPTS):
            description = _read_description(folder / _JSON)
            tensors_path = folder / description["tensors"]
            try:
                content = tensors_path.read_bytes()
                break
            except FileNotFoundError:
                # A writer has replaced both files since the description was read, unless this goes on.
                continue
        else:
            raise FileNotFoundError(
                f"{folder / _JSON} names {tensors_path.name}, which is missing: make the router again"
            )
        if tensors_path.name != f"tensors-{_content_hash(content)}.safetensors":
            raise ValueError(f"{tensors_path} is damaged (its hash is not its name): make the router again")
        tensors = safetensors.numpy.load(content)
        return cls(
            pool=description["pool"],
            reward_model=description["reward_model"],
            llms=tuple(description["llms"]),
            coefficients=tensors["coefficients"],
            intercepts=tensors["intercepts"],
            costs=tensors["costs"],
            frontier=Frontier(**{name: tensors[f"frontier.{name}"] for name in _FRONTIER}),
            embedder=description["embedder"],
            embed=embed,
            features=Features.from_tensors(
                {name.removeprefix("features."): a for name, a in tensors.items() if name.startswith("features.")}
            ),
            cost_coefficients=tensors.get("cost_coefficients"),
            cost_intercepts=tensors.get("cost_intercepts"),
            guard=Guard(tensors["guard.rewards"], tensors["guard.costs"], float(tensors["guard.margin"][0]))
            if "guard.margin" in tensors
            else None,
            embedder_root=description["embedder_root"],
            embedder_fingerprint=description["embedder_fingerprint"],
            made=description["made"],
        )

    def _embed(self, prompts: Sequence[str]) -> NDArray[Any]:
        if isinstance(prompts, str):
            raise ValueError("prompts must be a list of prompts, got one string: put it in a list")
        if self.embed is None:
            raise ValueError("this router has no embed function: give Router.load one, or route embeddings")
        prompts = list(prompts)
        if not prompts:
            return np.empty((0, self.dimensions))
        with self._lock:
            embeddings = np.asarray(self.embed(prompts))
        if embeddings.shape[:1] != (len(prompts),):
            raise ValueError(f"embed returned shape {embeddings.shape} for {len(prompts)} prompts")
        return embeddings

    def _exchange_rate(self, exchange_rate: float | None, budget: float | None) -> float:
        if budget is None:
            return checked_exchange_rate(0.0 if exchange_rate is None else exchange_rate)
        if exchange_rate is not None:
            raise ValueError("give an exchange_rate or a budget, not both")
        if self.frontier is None:
            raise ValueError(
                "this router has other LLMs than it was made with, so it knows no budgets: make it again, or give an "
                "exchange_rate"
            )
        return exchange_rate_for_budget(self.frontier, budget)

    def _decide(self, seen: Floats, exchange_rate: float) -> Decisions:
        predicted, costs = self._predicted(seen), self._costs(seen)
        if predicted.shape[0] == 0:
            return Decisions([], predicted, predicted, np.empty(0), exchange_rate)
        decide = route if self.guard is None else self.guard.route
        chosen = decide(predicted, costs, exchange_rate)
        each = np.broadcast_to(costs, predicted.shape)
        paid = each[np.arange(len(chosen)), chosen]
        return Decisions([self.llms[i] for i in chosen], predicted, each, paid, exchange_rate)


def load_router(folder: str | os.PathLike[str], embed: Embed | None = None) -> Router:
    """The router in a folder, ready to route prompts from anywhere.

    Without `embed` its embedder is made from what the bundle says of it, by the installed package that offers such
    embedders (this project's own does): the very model that the probes were trained on, which is checked. A bundle that
    was moved to another machine needs `embed` if its model is a local folder.

    Raises `FileNotFoundError` when there is no bundle, `ValueError` when it is damaged, of another format, or no
    installed package makes its embedder, and what the package raises when the model cannot be loaded.
    """
    router = Router.load(folder, embed)
    if embed is not None:
        return router
    backend = str(router.embedder.get("backend"))
    offered = list(entry_points(group=EMBEDDERS, name=backend))
    if not offered:
        raise ValueError(
            f"{Path(folder) / _JSON}: no installed package makes an embedder of backend '{backend}'; install "
            "expected-reward-routing (again), or give load_router a function `embed`"
        )
    make = offered[0].load()
    return replace(router, embed=make(router.embedder, Path(router.embedder_root), router.embedder_fingerprint))


def _content_hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _description_hash(description: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in description.items() if name != "hash"}
    return _content_hash(json.dumps(kept, sort_keys=True).encode())


def _replace(path: Path, content: bytes) -> None:
    """Put a whole file in place at once."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: there is no router in this folder") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}): make the router again") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): make the router again") from error
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this version reads {FORMAT}: make the router again")
    if description.get("hash") != _description_hash(description):
        raise ValueError(f"{path} is damaged (its hash is not that of what it says): make the router again")
    return dict(description)
