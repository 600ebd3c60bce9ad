"""What a server may answer: one prompt carries the error, the others are kept, and nothing is paid for twice."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pyarrow as pa
import pytest
from fault_server import FaultServer, always, error, fault_server, for_prompt
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from erp_resources.language_models.interface import SERVED_RESPONSES, Sampling
from erp_resources.language_models.openai import OpenAILLM
from erp_resources.settings import UserError

ROOT = Path(__file__).parents[2]
KEY = "sk-never/to+be-shown-7Qx?"


@pytest.fixture(scope="module")
def one_server() -> Iterator[FaultServer]:
    with fault_server() as server:
        yield server


@pytest.fixture
def server(one_server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FaultServer:
    one_server.reset()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)
    return one_server


def entry(url: str, **extra: Any) -> OpenAILLM:
    settings = {"backend": "openai", "model": "m", "base_url": url, "cost": 1, "max_retries": 0}
    return OpenAILLM.model_validate(settings | extra)


def rows(server: FaultServer, prompts: list[str], n: int = 2, seed: int = 0, **extra: Any) -> list[dict[str, Any]]:
    table: pa.Table = entry(server.url, **extra).load(ROOT).sample(prompts, Sampling(n=n), seed)
    return table.to_pylist()


def raised(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error_:
        call()
    return str(error_.value)


def choice(content: Any, reason: Any = "stop", **message: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content} | message, "finish_reason": reason}


def answering(*choices: Any, **extra: Any) -> Callable[[], Response]:
    return lambda: Response(json.dumps({"choices": list(choices)} | extra), media_type="application/json")


FILTERED = {"choices": [], "prompt_filter_results": [{}], "usage": {"prompt_tokens": 1}}
ONE_PROMPT_FAILS = {
    "no choices": (lambda: JSONResponse(FILTERED), "gave no choice"),
    "null choices": (lambda: JSONResponse({"choices": None}), "gave no choice"),
    "always 500": (lambda: error(500, "CUDA error"), "CUDA error"),
    "moderation": (lambda: error(403, "your input was flagged"), "flagged"),
    "a filter": (lambda: error(400, "content management policy"), "content management policy"),
    "every sample withheld": (answering(choice(None, "content_filter")), "content filter withheld"),
    "a tool": (answering(choice(None, "tool_calls", tool_calls=[{"id": "1"}])), "called a tool"),
    "null message": (answering({"message": None}), "not the JSON"),
    "a number": (answering(choice(7)), "not the JSON"),
    "no JSON": (lambda: Response("[" * 200_000), "not the JSON"),
    "no content": (lambda: Response(status_code=204), "not the JSON"),
}


@pytest.mark.parametrize("kind", ONE_PROMPT_FAILS)
def test_a_prompt_that_alone_fails_carries_its_error_and_the_others_are_kept(server: FaultServer, kind: str) -> None:
    make, said = ONE_PROMPT_FAILS[kind]
    server.rules = [for_prompt("bad", make)]
    found = rows(server, ["a", "bad", "b"])
    assert [row["prompt_index"] for row in found] == [0, 0, 1, 2, 2]
    assert said in found[2]["error"]
    assert (found[2]["finish_reason"], found[2]["response"]) == ("error", "")
    assert {row["error"] for row in found if row["prompt_index"] != 1} == {None}


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            choice([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "3"}]),
            "3",
        ),
        (choice([{"type": "text", "text": "a"}, "b", {"text": "c"}, {"type": "image_url"}, 7, None]), "abc"),
        (choice([]), ""),
        (choice(None, refusal="I cannot help with that"), "I cannot help with that"),
        (choice("", refusal="No."), "No."),
    ],
)
def test_content_in_parts_is_joined_and_a_refusal_is_the_response(server: FaultServer, made: Any, text: str) -> None:
    server.rules = [always(answering(made, made))]
    assert [row["response"] for row in rows(server, ["a"])] == [text] * 2


USAGES = ["12", [1, 2], 2**40, -2, float("nan"), True, None, {"completion_tokens": {"a": 1}, "prompt_tokens": "3"}]


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_usage_of_any_shape_is_not_counted_and_the_response_kept(server: FaultServer, usage: Any) -> None:
    counts = usage if isinstance(usage, dict) else {"prompt_tokens": usage, "completion_tokens": usage}
    for shape in (counts, usage):
        server.rules = [always(answering(choice("x"), choice("y"), usage=shape))]
        found = rows(server, ["a"])
        assert [row["response"] for row in found] == ["x", "y"]
        assert {(row["prompt_tokens"], row["completion_tokens"]) for row in found} == {(0, 0)}


@pytest.mark.parametrize("odd", [5, "x", [[]], {"content": 7}, {"content": [1]}, [None, None]])
def test_odd_logprobs_and_token_ids_lose_nothing(server: FaultServer, odd: Any) -> None:
    made = choice("x") | {"logprobs": odd, "token_ids": odd}
    server.rules = [always(answering(made, made, usage={"prompt_tokens": 1, "completion_tokens": 4}))]
    assert [row["response"] for row in rows(server, ["a"])] == ["x", "x"]


@pytest.mark.parametrize("status", [400, 422, 500, 501])
@pytest.mark.parametrize("words", ["Only one completion choice is allowed", "Set N to 1.", "no"])
def test_n_refused_in_any_words_is_asked_for_one_by_one(server: FaultServer, status: int, words: str) -> None:
    server.rules = [lambda body: error(status, words) if body.get("n", 1) > 1 else None]
    llm = entry(server.url).load(ROOT)
    table = llm.sample(["a", "b"], Sampling(n=3), 0)
    assert len(set(table["response"].to_pylist())) == 6
    server.requests.clear()
    llm.sample(["c"], Sampling(n=3), 0)
    assert [body.get("n", 1) for body in server.bodies] == [1, 1, 1]


def test_a_prompt_that_fails_sample_by_sample_ends_nothing(server: FaultServer) -> None:
    server.rules = [for_prompt("bad", lambda: error(500, "CUDA error"))]
    found = rows(server, ["a", "bad", "b"], n=20, samples_per_request=1, max_concurrency=4)
    assert [row["prompt_index"] for row in found if row["error"]] == [1]
    assert len(found) == 41


def test_prompts_that_are_left_and_fail_each_time_end_nothing(server: FaultServer) -> None:
    server.rules = [for_prompt(prompt, lambda: error(500, "CUDA error")) for prompt in ("bad", "worse")]
    assert ["CUDA error" in row["error"] for row in rows(server, ["bad", "worse"])] == [True, True]
    server.rules = [always(lambda: error(500, "CUDA error"))]
    assert "CUDA error" in raised(lambda: rows(server, ["bad", "worse"]))


def test_a_prompt_that_fails_at_first_teaches_nothing_about_n(server: FaultServer) -> None:
    server.rules = [for_prompt("bad", lambda: error(500, "no"))]
    llm = entry(server.url).load(ROOT)
    llm.sample(["bad"], Sampling(n=3), 0)
    server.requests.clear()
    llm.sample(["a"], Sampling(n=3), 0)
    assert [body["n"] for body in server.bodies] == [3]


def test_a_temperature_of_1_is_left_out_where_it_is_refused(server: FaultServer) -> None:
    words = "Unsupported parameter: 'temperature' is not supported with this model."
    server.rules = [lambda body: error(400, words, param="temperature") if "temperature" in body else None]
    assert len(rows(server, ["a", "b"])) == 4
    assert "temperature" not in server.bodies[-1]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(server: FaultServer, status: int) -> None:
    with fault_server() as other:
        server.rules = [always(lambda: RedirectResponse(f"{other.url}/chat/completions", status_code=status))]
        assert "it redirects, which is not followed" in raised(lambda: rows(server, ["a"]))
        assert other.requests == []


def dripping() -> Response:
    async def body() -> AsyncIterator[bytes]:
        import asyncio

        for _ in range(600):
            yield b" "
            await asyncio.sleep(0.05)

    return StreamingResponse(body(), media_type="application/json")


def test_the_timeout_is_for_a_whole_request(server: FaultServer) -> None:
    server.rules = [always(dripping)]
    began = time.monotonic()
    assert "no answer within 0.5 s" in raised(lambda: rows(server, ["a"], timeout=0.5))
    assert time.monotonic() - began < 5


def test_the_time_that_a_server_asks_for_is_said(server: FaultServer) -> None:
    server.rules = [always(lambda: error(429, "slow down", headers={"Retry-After": "3600"}))]
    assert "3600 seconds" in raised(lambda: rows(server, ["a"], max_retries=3))


def spelt(key: str) -> list[str]:
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    return [
        key,
        httpx2.URL("http://x", params={"k": key}).query.decode(),
        basic,
        base64.urlsafe_b64encode(f"Bearer {key}".encode()).decode(),
    ]


def test_no_spelling_of_the_key_is_kept(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    for form in spelt(KEY):
        server.rules = [
            for_prompt("echo", answering(choice(f"you sent {form}"), model=form)),
            for_prompt("refused", lambda form=form: error(400, f"not for {form}")),
            for_prompt("fails", lambda form=form: error(500, f"not for {form}")),
        ]
        found = str(rows(server, ["a", "echo", "refused", "fails"], n=1, api_key_env="MY_KEY"))
        assert form not in found
        assert found.count("***") == 4
        assert "never" not in found


def test_a_key_that_is_a_common_word_does_not_change_responses(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "EMPTY")
    server.rules = [always(answering(choice("the set is EMPTY")))]
    assert rows(server, ["a"], n=1, api_key_env="MY_KEY")[0]["response"] == "the set is EMPTY"


# Any answer

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def fields(**known: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={name: ANY | one for name, one in known.items()}) | ANY


MESSAGE = fields(
    content=st.text(max_size=5)
    | st.lists(fields(type=st.sampled_from(["text", "thinking"]), text=st.text(max_size=3)), max_size=3),
    refusal=st.text(max_size=5),
    tool_calls=ANY,
)
CHOICE = fields(
    message=MESSAGE,
    finish_reason=st.sampled_from(["stop", "length", "content_filter", "error", "tool_calls"]),
    logprobs=fields(content=ANY),
    token_ids=ANY,
    index=ANY,
)
ANSWER = fields(
    choices=st.lists(CHOICE, max_size=4),
    usage=fields(prompt_tokens=ANY, completion_tokens=ANY),
    model=st.text(),
    error=ANY,
)


@given(answer=ANSWER, status=st.sampled_from([200, 200, 200, 400, 403, 422, 500]))
def test_no_answer_is_a_traceback_or_loses_another_prompt(answer: Any, status: int) -> None:
    def handle(request: Any) -> Any:
        body = json.loads(request.content)
        if body["messages"][0]["content"] == "odd":
            return httpx2.Response(status, content=json.dumps(answer).encode())
        made = {"choices": [choice("fine")] * body.get("n", 1), "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        return httpx2.Response(200, json=made)

    class InProcess(openai.DefaultAsyncHttpxClient):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx2.MockTransport(handle), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai, "DefaultAsyncHttpxClient", InProcess)
        llm = entry("http://in-process/v1").load(ROOT)
    table = llm.sample(["a", "odd", "b"], Sampling(n=2), 0)
    assert table.schema == SERVED_RESPONSES
    table.validate(full=True)
    found = table.to_pylist()
    assert [row["response"] for row in found if row["prompt_index"] != 1] == ["fine"] * 4
    odd = [row for row in found if row["prompt_index"] == 1]
    assert len(odd) in (1, 2)
    assert all(row["error"] is None or len(row["error"]) < 600 for row in odd)
    assert all(row["completion_tokens"] >= 0 for row in odd)
