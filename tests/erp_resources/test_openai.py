"""LLMs and embedders behind an OpenAI-compatible server: real HTTP to a server that fails on demand."""

import asyncio
import base64
import gc
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fault_server import (
    FaultServer,
    Rule,
    always,
    completion,
    cut_off,
    dripping_server,
    error,
    fault_server,
    finishing,
    first,
    for_prompt,
    html,
    refuse,
    truncated,
    without,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from erp_resources.embedders.openai import OpenAIEmbedder
from erp_resources.language_models.answers import is_completion, read_answers
from erp_resources.language_models.interface import SERVED_RESPONSES, Sampling, TokenPrice
from erp_resources.language_models.openai import OpenAILLM
from erp_resources.settings import UserError

ROOT = Path(__file__).parents[2]
KEY = "sk-never-to-be-shown-7Qx"
KEY_ENV = "ERP_TEST_KEY"
TOO_LONG = "This model's maximum context length is 64 tokens, but n_prompt is 99 of max_tokens 5"


@pytest.fixture(scope="module")
def one_server() -> Iterator[FaultServer]:
    with fault_server() as server:
        yield server


@pytest.fixture
def server(one_server: FaultServer) -> FaultServer:
    one_server.reset()
    return one_server


@pytest.fixture(autouse=True)
def _short_waits_and_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # No certificates: a client that reads all of the system's takes longer than a test.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)
    monkeypatch.setenv(KEY_ENV, KEY)
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


def entry(server: FaultServer | str, **extra: Any) -> OpenAILLM:
    url = server if isinstance(server, str) else server.url
    settings = {"backend": "openai", "model": "m", "base_url": url, "api_key_env": KEY_ENV, "cost": 1, "max_retries": 2}
    return OpenAILLM.model_validate(settings | extra)


def load(server: FaultServer | str, **extra: Any) -> Any:
    return entry(server, **extra).load(ROOT)


def embedder(server: FaultServer, **extra: Any) -> Any:
    settings = {"backend": "openai", "model": "e", "base_url": server.url, "api_key_env": KEY_ENV, "max_retries": 2}
    return OpenAIEmbedder.model_validate(settings | extra).load(ROOT)


def sample(llm: Any, prompts: list[str], n: int = 4, seed: int = 0, **extra: Any) -> list[dict[str, Any]]:
    """The rows of a table that holds n samples of every prompt, or one error."""
    table = llm.sample(prompts, Sampling(n=n, **extra), seed)
    assert table.schema == SERVED_RESPONSES
    table.validate(full=True)
    rows = table.to_pylist()
    assert [row["prompt_index"] for row in rows] == sorted(row["prompt_index"] for row in rows)
    for index in range(len(prompts)):
        of_prompt = [row for row in rows if row["prompt_index"] == index]
        failed = of_prompt[0]["finish_reason"] == "error"
        assert [row["sample"] for row in of_prompt] == list(range(1 if failed else n))
        assert [row["error"] is not None for row in of_prompt] == [failed] * len(of_prompt)
    return rows


def responses(rows: list[dict[str, Any]]) -> list[str]:
    return [row["response"] for row in rows]


def fails(call: Callable[[], object]) -> str:
    """The message of the UserError, which is one line, drags no other exception along and holds no key."""
    with pytest.raises(UserError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 600
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(raised.value))
    return message


# Samples


def test_a_request_says_what_the_pool_file_says_and_brings_all_samples_of_a_prompt(server: FaultServer) -> None:
    llm = load(server, options={"reasoning_effort": "low"})
    rows = sample(llm, ["a", "bb"], n=3, temperature=0.7, max_tokens=9)
    assert len(server.requests) == 2
    request = next(request for request in server.requests if request.body["messages"][0]["content"] == "a")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body.pop("seed") >= 0
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "n": 3,
        "temperature": 0.7,
        "max_tokens": 9,
        "reasoning_effort": "low",
    }
    assert [response.split(" #")[0] for response in responses(rows)] == ["a", "a", "a", "bb", "bb", "bb"]
    assert {row["finish_reason"] for row in rows} == {"stop"}


def test_any_unicode_prompt_arrives_and_comes_back(server: FaultServer) -> None:
    prompts = ["Zürich 🦆", "", "日本語\n\0", "a" * 100_000]
    rows = sample(load(server), prompts, n=1)
    assert [response.rsplit(" #", 1)[0] for response in responses(rows)] == prompts


def test_no_prompts_give_an_empty_table_without_a_request(server: FaultServer) -> None:
    assert load(server).sample([], Sampling(), 0) == SERVED_RESPONSES.empty_table()
    assert server.requests == []


def test_every_sample_has_its_own_seed_and_the_same_arguments_give_the_same_table(server: FaultServer) -> None:
    prompts = ["same", "same", "other"]
    once = sample(load(server), prompts, n=8, seed=5)
    assert sample(load(server), prompts, n=8, seed=5) == once
    assert sample(load(server), prompts, n=8, seed=6) != once
    seeds = [int(response.split("#")[1]) for response in responses(once)]
    assert len(set(seeds)) == 24
    assert all(0 <= seed < 2**31 + 8 for seed in seeds)


@pytest.mark.parametrize(("bound", "requests"), [(1, [1] * 8), (3, [2, 3, 3]), (8, [8]), (20, [8])])
def test_bounded_requests_draw_the_same_samples(server: FaultServer, bound: int, requests: list[int]) -> None:
    in_one = sample(load(server), ["a", "b"], n=8)
    server.reset()
    assert responses(sample(load(server, samples_per_request=bound), ["a", "b"], n=8)) == responses(in_one)
    assert sorted(body.get("n", 1) for body in server.bodies) == sorted(requests * 2)


def at_most(count: int) -> Rule:
    def rule(body: dict[str, Any]) -> None:
        body["n"] = min(count, body.get("n", 1))

    return rule


@pytest.mark.parametrize(("count", "requests"), [(1, 8), (3, 3), (5, 2)])
def test_a_server_that_gives_fewer_samples_is_asked_for_the_rest_and_remembered(
    server: FaultServer, count: int, requests: int
) -> None:
    expected = responses(sample(load(server), ["a", "b", "c"], n=8))
    server.rules = [at_most(count)]
    llm = load(server)
    assert responses(sample(llm, ["a", "b", "c"], n=8)) == expected
    server.requests.clear()
    assert responses(sample(llm, ["a", "b", "c"], n=8)) == expected
    assert len(server.requests) == 3 * requests
    assert max(body.get("n", 1) for body in server.bodies) == count


N_REFUSED = [
    refuse("n", "Invalid value for 'n'.", param="n"),
    refuse("n", "'n' : number must be at most 1"),
    refuse("n", "Only n=1 is supported by this server", status=422),
    refuse("n", "Only one completion choice is allowed"),
    refuse("n", "Only one completion choice is allowed", status=500),
    refuse("n", "Set N to 1."),
    refuse("n", "not implemented", status=501),
]
SEED_REFUSED = [
    refuse("seed", "Unsupported parameter.", param="seed"),
    lambda body: (
        JSONResponse({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Not permitted"}]}, 422)
        if "seed" in body
        else None
    ),
]
MAX_TOKENS_REFUSED = refuse(
    "max_tokens",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    param="max_tokens",
)


@pytest.mark.parametrize("rule", N_REFUSED)
def test_a_server_that_refuses_n_is_asked_for_one_sample_at_a_time_and_remembered(
    server: FaultServer, rule: Rule
) -> None:
    expected = responses(sample(load(server), ["a", "b"], n=4))
    server.rules = [rule]
    llm = load(server)
    assert responses(sample(llm, ["a", "b"], n=4)) == expected
    server.requests.clear()
    assert responses(sample(llm, ["a", "b"], n=4)) == expected
    assert ["n" in body for body in server.bodies] == [False] * 8


@pytest.mark.parametrize("rule", SEED_REFUSED)
def test_a_server_that_refuses_seeds_goes_on_without_and_is_remembered(server: FaultServer, rule: Rule) -> None:
    server.rules = [rule]
    llm = load(server)
    assert len(set(responses(sample(llm, ["a", "b"])))) == 8
    server.requests.clear()
    assert len(set(responses(sample(llm, ["a", "b"])))) == 8
    assert ["seed" in body for body in server.bodies] == [False] * 2


def test_a_server_that_knows_max_completion_tokens_alone_gets_these(server: FaultServer) -> None:
    server.rules = [MAX_TOKENS_REFUSED]
    llm = load(server)
    sample(llm, ["a"], max_tokens=7)
    sample(llm, ["a"], max_tokens=7)
    assert [body.get("max_tokens") for body in server.bodies] == [7, None, None]
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 7, 7]


def test_a_server_that_refuses_everything_that_can_be_left_out_is_sampled(server: FaultServer) -> None:
    server.rules = [MAX_TOKENS_REFUSED, SEED_REFUSED[0], N_REFUSED[1]]
    llm = load(server)
    assert len(set(responses(sample(llm, ["a", "b"])))) == 8
    server.requests.clear()
    sample(llm, ["a", "b"])
    assert len(server.requests) == 8


@pytest.mark.parametrize("extra", [{}, {"samples_per_request": 1}])
def test_no_more_requests_than_max_concurrency_are_under_way(server: FaultServer, extra: dict[str, Any]) -> None:
    server.delay = lambda body: 0.02
    sample(load(server, max_concurrency=3, **extra), list("abcdefghij"), n=2)
    assert server.most_at_once == 3


# Tokens, and how a response ends


def test_the_tokens_of_a_request_are_divided_evenly_and_their_sum_is_exact(server: FaultServer) -> None:
    rows = sample(load(server), ["four"], n=4)  # The server counts 2 n + 1.
    assert [row["completion_tokens"] for row in rows] == [3, 2, 2, 2]
    assert {row["prompt_tokens"] for row in rows} == {4}
    alone = sample(load(server, samples_per_request=1), ["four"], n=4)
    assert [row["completion_tokens"] for row in alone] == [3, 3, 3, 3]


def choices_with(usage: dict[str, int] | None, *extras: dict[str, Any]) -> Rule:
    choices = [{"message": {"content": "x"}, "finish_reason": "stop"} | extra for extra in extras]
    return always(lambda: JSONResponse({"choices": choices, "usage": usage}))


@pytest.mark.parametrize("usage", [{"prompt_tokens": 1, "completion_tokens": 5}, None])
def test_the_tokens_of_every_response_are_taken_from_servers_that_count_them(
    server: FaultServer, usage: dict[str, int] | None
) -> None:
    server.rules = [choices_with(usage, {"token_ids": [1, 2, 3, 4]}, {"token_ids": [1]})]
    assert [row["completion_tokens"] for row in sample(load(server), ["a"], n=2)] == [4, 1]
    log = [{"logprobs": {"content": [{"token": "x"}] * count}} for count in (2, 3)]
    server.rules = [choices_with(usage, *log)]
    assert [row["completion_tokens"] for row in sample(load(server), ["a"], n=2)] == [2, 3]


def test_a_server_that_does_not_count_tokens_leaves_zeros(server: FaultServer) -> None:
    server.rules = [choices_with(None, {}, {})]
    rows = sample(load(server), ["a"], n=2)
    assert [(row["prompt_tokens"], row["completion_tokens"]) for row in rows] == [(0, 0)] * 2


def test_choices_beyond_those_asked_for_are_left_out(server: FaultServer) -> None:
    server.rules = [choices_with({"prompt_tokens": 1, "completion_tokens": 7}, {}, {}, {})]
    assert [row["completion_tokens"] for row in sample(load(server), ["a"], n=2)] == [4, 3]


@pytest.mark.parametrize(
    ("given", "kept"), [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), (None, "stop")]
)
def test_a_finish_reason_is_stop_or_length(server: FaultServer, given: str | None, kept: str) -> None:
    server.rules = [finishing(given)]
    assert [row["finish_reason"] for row in sample(load(server), ["a"], n=1)] == [kept]


@pytest.mark.parametrize(("content", "kept"), [(None, ""), ("", ""), ("\ud83e\udd86 \ud800", "🦆 \ufffd")])
def test_content_that_is_missing_or_no_unicode_is_text(server: FaultServer, content: str | None, kept: str) -> None:
    server.rules = [finishing("stop", content)]
    assert responses(sample(load(server), ["a"], n=1)) == [kept]


# Prompts that fail


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("extra", [{}, {"samples_per_request": 1}, {"max_concurrency": 1}])
def test_a_prompt_that_the_server_refuses_is_one_row_that_says_why(
    server: FaultServer, status: int, extra: dict[str, Any]
) -> None:
    server.rules = [for_prompt("long", lambda: error(status, TOO_LONG, code="context_length_exceeded"))]
    rows = sample(load(server, **extra), ["long", "a", "long"])
    assert [(row["prompt_index"], row["error"]) for row in rows if row["error"]] == [(0, TOO_LONG), (2, TOO_LONG)]
    failed = rows[0]
    assert (failed["sample"], failed["response"], failed["finish_reason"]) == (0, "", "error")
    assert len(rows) == 6


def test_a_refusal_of_a_prompt_teaches_nothing_about_n_and_seeds(server: FaultServer) -> None:
    server.rules = [for_prompt("bad", lambda: error(400, "the seed of doubt: n max_tokens unsupported"))]
    llm = load(server)
    sample(llm, ["bad", "a"])
    server.requests.clear()
    sample(llm, ["a"])
    assert [(body["n"], "seed" in body, "max_tokens" in body) for body in server.bodies] == [(4, True, True)]


def test_a_prompt_whose_response_is_filtered_is_one_row_that_says_so(server: FaultServer) -> None:
    server.rules = [finishing("content_filter", None, prompt="bad")]
    rows = sample(load(server, samples_per_request=1), ["a", "bad", "b"])
    assert [(row["prompt_index"], row["error"]) for row in rows if row["error"]] == [
        (1, "the server's content filter withheld a response")
    ]


def test_one_withheld_sample_of_four_comes_last_with_its_error_and_loses_no_other(server: FaultServer) -> None:
    texts = [{"message": {"content": text}, "finish_reason": "stop"} for text in "xyz"]
    withheld = {"message": {"content": None}, "finish_reason": "content_filter"}
    server.rules = [for_prompt("a", lambda: completion([withheld, *texts]))]
    rows = load(server).sample(["a"], Sampling(n=4), 0).to_pylist()
    assert [row["sample"] for row in rows] == [0, 1, 2, 3]
    assert [row["response"] for row in rows] == ["x", "y", "z", ""]
    assert [row["error"] for row in rows] == [None] * 3 + ["the server's content filter withheld a response"]
    assert len(server.requests) == 1


SHAPES: dict[str, tuple[Any, str | None, str | None]] = {
    "parts": ([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "3"}], "3", None),
    "parts without types": ([{"text": "a"}, "b", {"text": None}, 7], "ab", None),
    "no parts": ([], "", None),
    "a refusal": ({"content": None, "refusal": "I cannot help with that"}, "I cannot help with that", None),
    "a tool": ({"content": None, "tool_calls": [{"id": "1"}]}, None, "called a tool"),
    "a tool beside text": ({"content": "4", "tool_calls": [{"id": "1"}]}, "4", None),
    "nothing": ({}, "", None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_message_is_read_as_far_as_it_can_be(server: FaultServer, shape: str) -> None:
    content, text, problem = SHAPES[shape]
    message = content if isinstance(content, dict) else {"content": content}
    server.rules = [for_prompt("odd", lambda: completion([{"message": message, "finish_reason": "stop"}]))]
    rows = sample(load(server), ["odd", "plain"], n=1)
    assert rows[0]["response"] == (text or "")
    assert (rows[0]["error"] or "") == "" if problem is None else problem in rows[0]["error"]
    assert rows[1]["error"] is None
    assert len(server.requests) == 2


@pytest.mark.parametrize("choices", [[], None])
def test_no_choice_at_all_is_an_error_of_the_prompt_without_a_retry(server: FaultServer, choices: Any) -> None:
    server.rules = [for_prompt("bad", lambda: JSONResponse({"choices": choices, "prompt_filter_results": [{}]}))]
    rows = sample(load(server), ["a", "bad", "b"])
    assert [row["prompt_index"] for row in rows if row["error"]] == [1]
    assert "no choice at all" in rows[4]["error"]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "5", "completion_tokens": [1]},
        {"prompt_tokens": 2**40, "completion_tokens": -2},
        {"prompt_tokens": True, "completion_tokens": 1.5},
        [1, 2],
        "many",
        None,
    ],
)
def test_what_is_no_count_is_not_counted_and_the_response_is_kept(server: FaultServer, usage: Any) -> None:
    odd = {"message": {"content": "x"}, "logprobs": [1], "token_ids": 7}
    server.rules = [always(lambda: completion([odd], usage=usage))]
    (row,) = sample(load(server), ["a"], n=1)
    assert (row["response"], row["prompt_tokens"], row["completion_tokens"]) == ("x", 0, 0)


def test_the_model_that_answered_is_on_record(server: FaultServer) -> None:
    fallback = completion([{"message": {"content": "x"}}], model="cheap-fallback")
    server.rules = [for_prompt("b", lambda: fallback)]
    rows = sample(load(server), ["a", "b"], n=1)
    assert [row["model"] for row in rows] == ["m", "cheap-fallback"]


def test_a_prompt_that_alone_fails_is_its_own_error_and_the_others_are_kept(server: FaultServer) -> None:
    server.rules = [for_prompt("bad", lambda: error(500, "CUDA error")), for_prompt("odd", lambda: error(403, "no"))]
    kept: dict[int, Any] = {}
    table = load(server, max_retries=1).sample_and_keep(
        ["a", "bad", "b", "odd"], Sampling(n=4), 0, {}, lambda index, rows: kept.__setitem__(index, rows)
    )
    failed = {row["prompt_index"]: row["error"] for row in table.to_pylist() if row["error"]}
    assert set(failed) == {1, 3}
    assert "CUDA error" in failed[1]
    assert {index: len(rows) for index, rows in kept.items()} == {0: 4, 1: 1, 2: 4, 3: 1}


def test_answers_are_kept_when_they_come_and_not_asked_for_again(server: FaultServer) -> None:
    prompts = [f"p{i}" for i in range(12)]
    server.rules = [for_prompt("p7", lambda: error(401, "the key expired"))]
    server.delay = lambda body: 0.3 if body["messages"][0]["content"] == "p7" else 0.0
    kept: dict[int, Any] = {}
    llm = load(server, max_concurrency=4)
    with pytest.raises(UserError, match="the key expired"):
        llm.sample_and_keep(prompts, Sampling(n=2), 5, {}, lambda index, rows: kept.__setitem__(index, rows))
    assert len(kept) == 11
    server.reset()
    stored = json.loads(json.dumps({str(index): rows for index, rows in kept.items()}))  # as a journal holds them
    known = {int(index): rows for index, rows in stored.items()}
    again = llm.sample_and_keep(prompts, Sampling(n=2), 5, known, lambda index, rows: None)
    assert [body["messages"][0]["content"] for body in server.bodies] == ["p7"]
    assert again == llm.sample(prompts, Sampling(n=2), 5)


def test_a_request_of_many_that_fails_loses_no_other_sample_of_the_prompt(server: FaultServer) -> None:
    seeds: list[int] = []

    def third(body: dict[str, Any]) -> Response | None:
        if body["seed"] not in seeds:
            seeds.append(body["seed"])
        return error(503, "busy") if seeds.index(body["seed"]) == 2 else None

    server.rules = [third]
    rows = (
        load(server, samples_per_request=1, max_retries=0, max_concurrency=1)
        .sample(["a"], Sampling(n=4), 0)
        .to_pylist()
    )
    assert [row["error"] is None for row in rows] == [True, True, True, False]
    assert [row["sample"] for row in rows] == [0, 1, 2, 3]


@pytest.mark.parametrize("part", ["headers", "body"])
def test_the_timeout_bounds_a_request_whose_answer_drips(part: str) -> None:
    with dripping_server(part) as url:
        start = time.monotonic()
        message = fails(lambda: sample(load(url, timeout=0.5, max_retries=1), ["a"]))
        assert "no answer within 0.5 s after 1 retries" in message
        assert time.monotonic() - start < 5


def test_an_answer_without_end_is_refused_before_it_fills_the_memory(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("erp_resources.openai_client._LARGEST_ANSWER", 2**20)
    server.rules = [always(lambda: Response(b" " * 2**21, media_type="application/json"))]
    assert "an answer of more than 1 MiB" in fails(lambda: sample(load(server, max_retries=0), ["a"]))


def test_a_body_that_unpacks_to_more_than_an_answer_may_be_is_refused(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("erp_resources.openai_client._LARGEST_ANSWER", 2**20)
    packed = gzip.compress(b" " * 2**24)
    assert len(packed) < 2**20
    headers = {"content-encoding": "gzip"}
    server.rules = [always(lambda: Response(packed, media_type="application/json", headers=headers))]
    assert "an answer of more than 1 MiB" in fails(lambda: sample(load(server, max_retries=0), ["a"]))


def test_a_broken_choice_among_good_ones_loses_none_of_them_and_is_not_paid_for_again(server: FaultServer) -> None:
    good = {"message": {"content": "x"}, "finish_reason": "stop"}
    cut = {"message": {"content": "ha"}, "finish_reason": "error"}
    server.rules = [for_prompt("a", lambda: completion([good, cut, {"message": None}, good]))]
    rows = load(server).sample(["a"], Sampling(n=4), 0).to_pylist()
    assert [row["response"] for row in rows] == ["x", "x", "", ""]
    assert [row["error"] for row in rows] == [None, None, *["the server broke this response off"] * 2]
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(server: FaultServer) -> None:
    with fault_server() as other:
        headers = {"location": f"{other.url}/chat/completions"}
        server.rules = [always(lambda: Response(status_code=307, headers=headers))]
        message = fails(lambda: sample(load(server), ["secret prompt"]))
        assert "redirects, which is not followed; write the address itself in base_url" in message
        assert other.requests == []


def test_a_server_that_asks_for_a_long_pause_is_quoted(server: FaultServer) -> None:
    server.rules = [always(lambda: error(429, "quota", headers={"Retry-After": "3600"}))]
    assert "asks to be left alone for 3600 seconds" in fails(lambda: sample(load(server), ["a"]))


COMPLETIONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "finish_reason", "usage", "completion_tokens", "prompt_tokens", "model",
             "text", "type", "refusal", "tool_calls", "logprobs", "token_ids", "error"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip
CHOICE = st.fixed_dictionaries(
    {"message": st.dictionaries(st.sampled_from(["content", "refusal", "tool_calls"]), COMPLETIONS, max_size=3)},
    optional={"finish_reason": COMPLETIONS, "logprobs": COMPLETIONS, "token_ids": COMPLETIONS},
)
COMPLETION = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=3)}, optional={"usage": COMPLETIONS, "model": COMPLETIONS}
)


@given(COMPLETION | COMPLETIONS)
def test_whatever_a_server_answers_is_refused_or_fits_the_table(answer: Any) -> None:
    if not is_completion(answer):
        return
    rows = read_answers(answer, 3, lambda text: text.replace("key", "***"))
    assert 1 <= len(rows) <= 3
    table = pa.Table.from_pylist(
        [dict(zip(SERVED_RESPONSES.names, (0, i, *row), strict=True)) for i, row in enumerate(rows)], SERVED_RESPONSES
    )
    table.validate(full=True)
    assert all((row.error is None) or (row.response == "") for row in rows)


def test_a_chunk_of_refused_prompts_is_errors_if_a_harmless_one_is_answered(server: FaultServer) -> None:
    server.rules = [for_prompt(prompt, lambda: error(400, TOO_LONG)) for prompt in "abc"]
    llm = load(server)
    assert [row["error"] for row in sample(llm, list("abc"))] == [TOO_LONG] * 3
    asked = [body["messages"][0]["content"] for body in server.bodies]
    assert sorted(set(asked)) == ["Hello!", "a", "b", "c"]
    assert asked.count("Hello!") == 1
    server.requests.clear()
    sample(llm, list("abc"))
    assert len(server.requests) == 3


def test_a_setting_that_the_server_refuses_is_no_fault_of_the_prompts(server: FaultServer) -> None:
    server.rules = [refuse("max_tokens", "'max_tokens' must be at most 5", param="max_tokens")]
    message = fails(lambda: sample(load(server), list("abc")))
    assert message.startswith(f"model 'm' at {server.url}: the server refuses whatever it is asked: 'max_tokens' must")
    assert "check model, options" in message


TEMPERATURE_REFUSED = refuse(
    "temperature", "Unsupported parameter: 'temperature' is not supported with this model", param="temperature"
)


def test_a_model_that_takes_no_temperature_is_sampled_at_its_own_where_that_is_asked_for(server: FaultServer) -> None:
    server.rules = [TEMPERATURE_REFUSED]
    llm = load(server)
    assert len(set(responses(sample(llm, ["a", "b"])))) == 8
    assert "temperature" not in server.bodies[-1]
    message = fails(lambda: sample(load(server), ["a"], temperature=0.5))
    assert "the server refuses temperature 0.5" in message
    assert "takes sampling.temperature 1" in message


# Servers that fail


def test_the_client_waits_as_long_as_retry_after_says(server: FaultServer) -> None:
    server.rules = [first(1, lambda: error(429, "slow down", headers={"Retry-After": "1"}))]
    sample(load(server), ["a"])
    assert server.requests[1].at - server.requests[0].at >= 1
    server.reset()
    server.rules = [first(1, lambda: error(429, "slow down", headers={"Retry-After-Ms": "300"}))]
    sample(load(server), ["a"])
    assert server.requests[1].at - server.requests[0].at >= 0.3


PASSING = {
    **{str(status): (lambda status=status: error(status, "passing")) for status in (408, 409, 429, 500, 503)},
    "html": html,
    "html_502": lambda: html(502),
    "truncated": truncated,
    "cut_off": cut_off,
    "error_with_200": lambda: JSONResponse({"error": {"message": "upstream is busy", "code": 502}}),
    "a_list": lambda: JSONResponse([1]),
    "aborted": lambda: JSONResponse({"choices": [{"message": {"content": "ha"}, "finish_reason": "abort"}]}),
    "not_utf8": lambda: Response(b'{"choices": "\xff\xfe"}', media_type="application/json"),
}
SAID = {
    "html": "Welcome",
    "html_502": "502 Bad Gateway after 2 retries: <html><body><h1>Welcome</h1> <p>to the proxy",
    "truncated": "half a",
    "cut_off": "the connection failed after 2 retries",
    "error_with_200": "upstream is busy",
    "429": "lower max_concurrency",
    "500": "500 Internal Server Error after 2 retries: passing",
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_failure_that_passes_is_not_seen(server: FaultServer, fault: str) -> None:
    expected = sample(load(server), ["a", "b"])
    server.reset()
    server.rules = [first(2, PASSING[fault])]
    assert sample(load(server, max_concurrency=1), ["a", "b"]) == expected
    assert len(server.requests) == 4


@pytest.mark.parametrize("fault", PASSING)
def test_a_failure_that_stays_is_raised_when_the_retries_are_used_up(server: FaultServer, fault: str) -> None:
    server.rules = [always(PASSING[fault])]
    message = fails(lambda: sample(load(server), ["a"]))
    assert message.startswith(f"model 'm' at {server.url}: ")
    assert "after 2 retries" in message
    assert SAID.get(fault, "") in message
    # The prompt, and something harmless; of some servers a 500 says that they give one sample alone.
    assert len(server.requests) == (12 if fault == "500" else 6)


def test_a_slow_answer_is_asked_for_again_and_then_raised(server: FaultServer) -> None:
    server.delay = lambda body: 2 if len(server.requests) == 1 else 0
    assert len(sample(load(server, timeout=0.5), ["a"])) == 4
    assert len(server.requests) == 2
    server.delay = lambda body: 0.5
    message = fails(lambda: sample(load(server, timeout=0.1), ["a"]))
    assert message.endswith("no answer within 0.1 s after 2 retries; raise timeout or lower max_concurrency")


def test_a_server_says_in_few_words_what_went_wrong(server: FaultServer) -> None:
    server.rules = [always(lambda: error(418, "very\n\x1b[31m " * 1000))]
    message = fails(lambda: sample(load(server), ["a"]))
    assert "418 I'm a Teapot after 0 retries: very [31m very" in message
    assert "\x1b" not in message


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_its_variable_at_once(server: FaultServer, status: int) -> None:
    server.rules = [always(lambda: error(status, f"Incorrect API key provided: {KEY}."))]
    message = fails(lambda: sample(load(server), ["a"]))
    assert (
        f"after 0 retries: Incorrect API key provided: ***.; check the key in the environment variable {KEY_ENV}"
        in message
    )
    server.rules = [always(lambda: error(status, "No API key provided"))]
    message = fails(lambda: sample(load(server, api_key_env=None), ["a"]))
    assert message.endswith("set api_key_env to the name of the environment variable that holds the key")


def test_a_model_that_is_not_there_is_named(server: FaultServer) -> None:
    server.rules = [always(lambda: error(404, "The model `m` does not exist"))]
    message = fails(lambda: sample(load(server), ["a"]))
    assert message == (
        f"model 'm' at {server.url}: the server answered 404 Not Found after 0 retries: "
        "The model `m` does not exist; check model and base_url"
    )


def test_a_failing_server_ends_the_call_and_what_is_outstanding(server: FaultServer) -> None:
    server.rules = [for_prompt("bad", lambda: error(401, "no"))]
    server.delay = lambda body: 0.1 if body["messages"][0]["content"] == "bad" else 9
    llm = load(server, max_concurrency=4)
    start = time.monotonic()
    fails(lambda: sample(llm, ["a", "b", "bad", *map(str, range(50))]))
    assert time.monotonic() - start < 5
    assert len(server.requests) <= 5  # One may begin in the slot that the failure leaves.
    server.reset()
    assert len(sample(llm, ["a"])) == 4  # The slots are free again.


def test_a_server_that_dies_half_way_ends_the_call() -> None:
    with fault_server() as server:
        server.delay = lambda body: 0.02
        llm = load(server, max_concurrency=2)
        sample(llm, ["a"])
        threading.Timer(0.2, server.stop).start()
        start = time.monotonic()
        message = fails(lambda: sample(llm, ["a"] * 1000))
        assert time.monotonic() - start < 5
        assert "the connection failed after 2 retries" in message
        assert message.endswith("is the server up, and base_url right?")


# The key


def test_the_key_shows_nowhere(
    server: FaultServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = entry(server)
    llm = settings.load(ROOT)
    server.rules = [
        for_prompt("refused", lambda: error(400, f"not for {KEY}")),
        for_prompt("refused in JSON", lambda: JSONResponse({"detail": {"headers": {"authorization": KEY}}}, 422)),
        for_prompt("lists", lambda: JSONResponse({"headers": [KEY]})),
        for_prompt("fails", lambda: Response(f"<html>{'x' * 190}{KEY}</html>", status_code=500)),
        for_prompt("unknown", lambda: error(401, f"Bearer {KEY} is wrong")),
        for_prompt("echo", lambda: completion([{"message": {"content": f"You sent Bearer {KEY}."}}] * 4)),
        for_prompt("encoded", lambda: error(400, base64.b64encode(f"Bearer {KEY}".encode()).decode())),
        for_prompt("names", lambda: completion([{"message": {"content": "x"}}] * 4, model=KEY)),
    ]
    shown: list[object] = [settings, repr(settings), settings.model_dump(), settings.model_dump_json()]
    shown += [settings.fingerprint(ROOT), repr(llm), str(llm), sample(llm, ["a", "refused", "refused in JSON"])]
    shown += [sample(llm, [prompt]) for prompt in ("fails", "lists", "echo", "encoded", "names")]
    with pytest.raises(UserError) as raised:
        sample(llm, ["unknown"])
    shown += [raised.value, repr(raised.value), traceback.format_exception(raised.value)]
    assert "***" in str(shown)
    assert caplog.records
    shown += [vars(record) for record in caplog.records]
    shown += capfd.readouterr()
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
    assert KEY[:12] not in str(shown)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "is not set"),
        ("", "is not set"),
        (" \n", "is not set"),
        (f"{KEY} x", "no key has"),
        (f"{KEY}\x01", "no key has"),
        (f"{KEY}é", "no key has"),
    ],
)
def test_a_key_that_is_missing_or_broken_is_named_by_its_variable(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, value: str | None, problem: str
) -> None:
    monkeypatch.delenv(KEY_ENV) if value is None else monkeypatch.setenv(KEY_ENV, value)
    message = fails(lambda: load(server))
    assert f"model 'm' at {server.url}: the environment variable {KEY_ENV}" in message
    assert problem in message
    assert entry(server).fingerprint(ROOT)  # What only looks at a pool needs no key.


def test_a_key_read_from_a_file_may_end_in_a_line_break(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, f"{KEY}\n")
    sample(load(server), ["a"])
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_no_key_of_the_environment_is_sent_to_a_server_that_needs_none(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    sample(load(server, api_key_env=None), ["a"])
    assert KEY not in str(server.requests[0].headers)


# One client, many calls


def test_connections_are_kept_from_call_to_call(server: FaultServer) -> None:
    llm = load(server, max_concurrency=2)
    for _ in range(5):
        sample(llm, list("abcdef"))
    assert len({request.connection for request in server.requests}) <= 2


def test_an_llm_works_where_an_event_loop_runs_and_from_several_threads(server: FaultServer) -> None:
    llm = load(server)
    expected = sample(llm, ["a", "b"])

    async def in_a_notebook() -> list[dict[str, Any]]:
        return sample(llm, ["a", "b"])

    assert asyncio.run(in_a_notebook()) == expected
    assert asyncio.run(in_a_notebook()) == expected
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: sample(llm, ["a", "b"]), range(8))) == [expected] * 8


def test_the_client_ends_with_its_llm(server: FaultServer) -> None:
    gc.collect()
    before = threading.active_count()
    llms = [load(server) for _ in range(3)]
    for llm in llms:
        sample(llm, ["a"])
    assert threading.active_count() > before
    del llm, llms
    gc.collect()
    assert threading.active_count() == before


def test_a_process_ends_without_a_warning(server: FaultServer) -> None:
    code = f"""if True:
        import asyncio
        from erp_resources.language_models.interface import Sampling
        from erp_resources.language_models.openai import OpenAILLM

        entry = OpenAILLM(backend="openai", model="m", base_url="{server.url}", cost=1)
        dropped, kept, cancelled = [entry.load(None) for _ in range(3)]
        for llm in (dropped, kept, cancelled) * 3:
            llm.sample(["a", "b"], Sampling(n=2), 0)
        del dropped, llm
        try:
            cancelled._client.run(asyncio.wait_for(asyncio.sleep(9), 0.1))
        except TimeoutError:
            pass
    """
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interrupt_ends_the_call_and_what_is_outstanding(server: FaultServer) -> None:
    server.delay = lambda body: 9
    llm = load(server, max_concurrency=2)
    # What ran before in this process (Dagster) may have put another handler in Python's place.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            sample(llm, list("abcdef"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < 5
    server.reset()
    assert len(sample(llm, ["a"])) == 4
    assert len(server.requests) == 1


# Settings


def test_the_fingerprint_changes_with_what_changes_the_responses_alone(server: FaultServer) -> None:
    plain = entry(server).fingerprint(ROOT)
    same = {"cost": {"input": 1, "output": 2}, "timeout": 9, "max_retries": 9, "max_concurrency": 9}
    same |= {"api_key_env": None, "samples_per_request": 1, "base_url": server.url + "/"}
    for name, value in same.items():
        assert entry(server, **{name: value}).fingerprint(ROOT) == plain, name
    other: dict[str, Any] = {"model": "x", "base_url": "https://api.openai.com/v1", "options": {"top_p": 0.5}}
    for name, value in other.items():
        assert entry(server, **{name: value}).fingerprint(ROOT) != plain, name


def test_a_cost_is_a_number_or_a_price_of_tokens() -> None:
    assert entry("http://x/v1", cost=2.5).cost == 2.5
    assert entry("http://x/v1", cost={"input": 2.5, "output": 10}).cost == TokenPrice(input=2.5, output=10)


@pytest.mark.parametrize("cost", ["x", -1, {"input": 1}, {"input": 1, "output": -1}])
def test_a_mistake_in_a_cost_is_explained_once(cost: object) -> None:
    with pytest.raises(ValidationError) as raised:
        entry("http://x/v1", cost=cost)
    assert raised.value.error_count() == 1


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://[", "http://x:99999/v1"])
def test_a_base_url_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        entry(url)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@x/v1",
        f"https://x/v1?key={KEY}",
        f"htp://user:{KEY}@x/v1",
        f"127.0.0.1/v1?key={KEY}",
        f"http://x/v1#{KEY}",
        f"http://x/v1\n{KEY}",
        f"http://x /{KEY}",
    ],
)
def test_a_base_url_that_may_hold_a_key_is_refused_without_it(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        entry(url)
    assert KEY not in str(raised.value.errors()[0]["ctx"]["error"])
    assert "api_key_env" in str(raised.value.errors()[0]["ctx"]["error"])


@pytest.mark.parametrize("pasted", [KEY, f"{KEY}==", "sk/a+b", "MY KEY", "1KEY", "ключ"])
def test_what_is_no_name_of_a_variable_is_refused_and_not_repeated(pasted: str) -> None:
    with pytest.raises(ValidationError) as raised:
        entry("http://x/v1", api_key_env=pasted)
    said = str(raised.value.errors()[0]["ctx"]["error"])
    assert pasted not in said
    assert "no name of an environment variable" in said


@pytest.mark.parametrize("name", ["temperature", "n", "stream", "messages"])
def test_options_may_not_say_what_other_settings_say(name: str) -> None:
    with pytest.raises(ValidationError, match=f"leave out {name}"):
        entry("http://x/v1", options={name: 1})


def test_importing_the_settings_does_not_import_the_client() -> None:
    code = (
        "import sys, erp_resources.language_models.openai, erp_resources.embedders.openai; "
        "assert not {'openai', 'httpx', 'httpx2'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# Embeddings


def direction(text: str, size: int = 4) -> np.ndarray:
    vector = np.array([1.0 + len(text), *range(1, size)])
    return vector / np.linalg.norm(vector)


TEXTS = ["", "a", "Zürich 🦆", "bb", "a" * 90]


@pytest.mark.parametrize("batch_size", [1, 2, 128])
def test_embeddings_have_unit_norm_and_the_order_of_the_texts(server: FaultServer, batch_size: int) -> None:
    server.delay = lambda body: 0.05 if "a" in body["input"] else 0
    embeddings, truncated_texts = embedder(server, batch_size=batch_size).embed(TEXTS)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, [direction(text) for text in TEXTS], atol=1e-6)
    assert not truncated_texts.any()
    sizes = sorted((len(body["input"]) for body in server.bodies), reverse=True)
    assert sizes == {1: [1] * 5, 2: [2, 2, 1], 128: [5]}[batch_size]
    assert {body["encoding_format"] for body in server.bodies} == {"float"}
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_texts_beyond_max_characters_are_cut_and_counted(server: FaultServer) -> None:
    embeddings, cut = embedder(server, max_characters=8).embed(["a" * 8, "a" * 9, "🦆" * 10])
    assert cut.tolist() == [False, True, True]
    assert server.bodies[0]["input"] == ["a" * 8, "a" * 8, "🦆" * 8]
    np.testing.assert_array_equal(embeddings[0], embeddings[1])


def test_the_dimensions_asked_for_are_those_that_come(server: FaultServer) -> None:
    assert embedder(server, dimensions=3).embed(["a"]).embeddings.shape == (1, 3)
    assert server.bodies[0]["dimensions"] == 3
    server.rules = [without("dimensions")]
    assert "have 4 dimensions" in fails(lambda: embedder(server, dimensions=3).embed(["a"]))


def test_no_texts_give_no_embeddings_without_a_request(server: FaultServer) -> None:
    assert embedder(server).embed([]).embeddings.shape == (0, 0)
    assert embedder(server, dimensions=7).embed([]).embeddings.shape == (0, 7)
    assert server.requests == []


def test_no_more_batches_than_max_concurrency_are_under_way(server: FaultServer) -> None:
    server.delay = lambda body: 0.02
    embedder(server, batch_size=1, max_concurrency=3).embed(["a"] * 10)
    assert server.most_at_once == 3


def test_texts_that_the_server_refuses_are_described_with_the_way_out(server: FaultServer) -> None:
    server.rules = [always(lambda: error(400, "maximum context length is 8192 tokens"))]
    message = fails(lambda: embedder(server).embed(["a", "b" * 40_000]))
    assert message == (
        f"model 'e' at {server.url}: the server refuses a request of 2 texts, the longest of 40000 characters: maximum "
        "context length is 8192 tokens; if one is too long set max_characters, if they are too many lower batch_size"
    )


def vectors(*embeddings: str) -> Response:
    data = ", ".join(f'{{"index": {i}, "embedding": {embedding}}}' for i, embedding in enumerate(embeddings))
    return Response(f'{{"data": [{data}]}}', media_type="application/json")


@pytest.mark.parametrize(
    "fault", [html, truncated, cut_off, lambda: vectors("[]", "[]"), lambda: vectors("[1, 2]", "[1]")]
)
def test_embedding_goes_on_after_a_failure_that_passes(server: FaultServer, fault: Callable[[], Response]) -> None:
    server.rules = [first(2, fault)]
    assert embedder(server).embed(["a", "b"]).embeddings.shape == (2, 4)
    server.rules = [always(fault)]
    assert "after 2 retries" in fails(lambda: embedder(server).embed(["a", "b"]))


def test_embeddings_that_cannot_be_right_are_refused(server: FaultServer) -> None:
    server.rules = [always(lambda: vectors("[1, 2]"))]
    assert "gave 1 embeddings for 2 texts" in fails(lambda: embedder(server).embed(["a", "b"]))
    server.rules = [always(lambda: vectors("[1, NaN]"))]
    assert "not finite" in fails(lambda: embedder(server).embed(["a"]))
    for wrong in ("[1, null]", '[1, "2"]', "[1, true]", "[1, [2]]", "null", f"[{10**400}]"):
        server.rules = [always(lambda wrong=wrong: vectors(wrong))]
        assert "is not the JSON that was asked for" in fails(lambda: embedder(server).embed(["a"]))


def test_embeddings_of_any_size_have_unit_norm(server: FaultServer) -> None:
    server.rules = [always(lambda: vectors("[3e300, 4e300]", "[3e-300, 4e-300]"))]
    np.testing.assert_allclose(embedder(server).embed(["a", "b"]).embeddings, [[0.6, 0.8]] * 2, atol=1e-6)


def test_a_server_is_sent_what_its_chat_template_is_told_beside_the_options(server: FaultServer) -> None:
    sample(load(server, chat_template_kwargs={"enable_thinking": False}, options={"top_k": 5}), ["a"], n=1)
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.bodies[0]["top_k"] == 5
    sample(load(server), ["a"], n=1)
    assert "chat_template_kwargs" not in server.bodies[1]


def test_normalize_false_takes_embeddings_as_the_server_gives_them(server: FaultServer) -> None:
    server.rules = [always(lambda: vectors("[3, 4]", "[0, 0]"))]
    np.testing.assert_array_equal(embedder(server, normalize=False).embed(["a", "b"]).embeddings, [[3, 4], [0, 0]])
    server.rules = [always(lambda: vectors("[3e300, 4e300]"))]
    assert "beyond single precision" in fails(lambda: embedder(server, normalize=False).embed(["a"]))


def test_a_key_that_looks_like_a_variable_is_not_repeated() -> None:
    for key in ("gsk_3jFabcdef0123456789", "AKIAIOSFODNN7EXAMPLE"):
        assert key not in fails(lambda key=key: load("http://x/v1", api_key_env=key))


def test_a_password_in_the_place_of_a_port_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as raised:
        entry("http://user:hunter2PASSWORD")
    assert "hunter2" not in str(raised.value.errors()[0]["msg"])


def test_an_embedding_of_zeros_stays_zeros(server: FaultServer) -> None:
    server.rules = [always(lambda: vectors("[0, 0]", "[3, 4]"))]
    np.testing.assert_allclose(embedder(server).embed(["a", "b"]).embeddings, [[0, 0], [0.6, 0.8]], atol=1e-6)


def test_the_fingerprint_of_an_embedder_changes_with_what_changes_its_embeddings_alone() -> None:
    def fingerprint(**extra: Any) -> str:
        return OpenAIEmbedder.model_validate({"backend": "openai", "model": "e"} | extra).fingerprint(ROOT)

    for same in ({"batch_size": 1}, {"timeout": 1}, {"max_concurrency": 1}, {"api_key_env": "X"}, {"max_retries": 0}):
        assert fingerprint(**same) == fingerprint()
    for other in ({"model": "x"}, {"dimensions": 3}, {"max_characters": 9}, {"base_url": "http://x/v1"}):
        assert fingerprint(**other) != fingerprint()


def test_a_table_of_many_prompts_is_sorted(server: FaultServer) -> None:
    prompts = [str(i) for i in range(200)]
    table: pa.Table = load(server).sample(prompts, Sampling(n=5), 0)
    assert table["prompt_index"].to_pylist() == [i for i in range(200) for _ in range(5)]
    assert [text.split(" #")[0] for text in table["response"].to_pylist()] == [
        text for text in prompts for _ in range(5)
    ]
