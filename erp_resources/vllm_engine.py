"""A vLLM engine, from its options to its end: what the LLMs and the reward models that vLLM runs share.

What belongs here: starting it, saying in one line why it failed, ending it. What to keep out: what it
is asked. vLLM's processes are spawned: a script that starts an engine needs `if __name__ == "__main__"`.
"""

import difflib
import importlib.util
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from erp_resources.model_files import model_folder
from erp_resources.settings import UserError

Result = TypeVar("Result")

_SET_BY_US = {"model", "tokenizer", "skip_tokenizer_init", "chat_template", "log_config_file", "logging_config"}
"""Options that are not passed on, beside the caller's own: other tokens than the tokenizer's in the model's
folder would go unnoticed."""
_GRACE_SECONDS = 30.0
"""For the engine's processes to end by themselves. The CPU's workers were seen to take 11."""
_KILLED = "its process ended with exit code {} and left no root cause; -9 is how a machine out of memory ends it"
_RAISED = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b: .+")
"""The line by which a traceback says what was raised."""
_ABOUT_MEMORY = re.compile(r"memory|KV cache|max_model_len", re.IGNORECASE)


class VLLMEngine:
    """A `vllm.LLM` that can be ended, and whose failures are `UserError`s that name their cause.

    Attributes
    ----------
    llm : the `vllm.LLM`, None once it is closed.
    context : how many tokens a request can have, its response included.
    batch : how many requests it works on at once.
    """

    def __init__(self, model: str, root: Path, options: Mapping[str, Any], **own: Any) -> None:
        """Start the engine of a `model:` entry; `own` are vLLM's options that the user has no say in.

        Raises `UserError` when vLLM is not installed, an option is unknown, or the engine cannot start.
        """
        self._model = model
        _check(model, options, _SET_BY_US | own.keys())
        # Forking a process that has threads (Dagster's, torch's) can lock up the child.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="erp-vllm-")
        self._log = Path(self._folder.name) / "engine.log"
        self._read = 0
        folder = model_folder(model, root)
        with self.explained("vLLM could not start it"):
            from vllm import LLM
            from vllm.platforms import current_platform

            defaults: dict[str, Any] = {"use_tqdm_on_load": False}
            if current_platform.is_cpu() and own.get("runner") == "generate":
                # A seeded request whose prompt is read in pieces kills vLLM 0.32 on a CPU: it turns the
                # request's generator back after every piece but the last, which only a GPU's can be.
                defaults["enable_chunked_prefill"] = False
            self.llm: Any = LLM(
                model if folder is None else str(folder),
                log_config_file=str(self._configure_log()),
                **defaults | dict(options) | own,
            )
        self._read = self._log.stat().st_size
        self.context: int = self.llm.model_config.max_model_len
        self.batch: int = self.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs

    def close(self) -> None:
        """End the engine's processes, which frees all its memory. Closing twice is closing once."""
        import psutil

        if self.llm is None:
            return
        engines = self._processes()
        workers = [
            worker
            for engine in engines
            if psutil.pid_exists(engine.pid)
            for worker in psutil.Process(engine.pid).children(recursive=True)
        ]
        llm, self.llm = self.llm, None
        llm.llm_engine.engine_core.shutdown(timeout=_GRACE_SECONDS)
        # vLLM kills what outlives the grace, but does not wait for it: its memory could still be taken.
        for engine in engines:
            engine.join(_GRACE_SECONDS)
        _, alive = psutil.wait_procs(workers, timeout=_GRACE_SECONDS)
        for worker in alive:
            worker.kill()
        psutil.wait_procs(alive)
        self._folder.cleanup()

    def run(self, work: Callable[[Any], Result]) -> Result:
        """What `work` makes of the `vllm.LLM`. An exception ends the engine: requests would be left in it.

        Raises `UserError` when the engine fails.
        """
        if self.llm is None:
            raise RuntimeError(f"model '{self._model}' was closed")
        done: Future[Result] = Future()
        # In a thread that can be given up: vLLM waits for ever for an engine that was killed from outside.
        threading.Thread(target=_settle, args=(done, work, self.llm), daemon=True).start()
        try:
            with self.explained("vLLM stopped working"):
                while wait([done], timeout=1).not_done:
                    if codes := [process.exitcode for process in self._processes() if not process.is_alive()]:
                        # What it may have said before it ended comes first.
                        wait([done], timeout=5)
                        if not done.done():
                            raise RuntimeError(_KILLED.format(codes[0]))
                return done.result()
        except BaseException:
            self.close()
            raise

    def _processes(self) -> list[Any]:
        """The engine's processes; their children are the workers."""
        resources = getattr(self.llm.llm_engine.engine_core, "resources", None)
        # There is none when VLLM_ENABLE_V1_MULTIPROCESSING=0 keeps the engine in this process.
        manager = getattr(resources, "engine_manager", None)
        return list(manager.processes) if manager else []

    @contextmanager
    def explained(self, failure: str) -> Iterator[None]:
        """Turn an error within the block into a `UserError` of one line that says what to do about it."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # vLLM, pydantic, torch and the hub client share no narrower class
            # What happened in another process is known here only from the log.
            reason = (self._logged() if "root cause" in str(error) else None) or _one_line(error)
            way_out = (
                "; set max_model_len and gpu_memory_utilization (the share of a GPU's memory that it takes) under "
                "its options, or divide it among GPUs by tensor_parallel_size"
                if _ABOUT_MEMORY.search(reason)
                else ""
            )
            raise UserError(f"model '{self._model}': {failure}: {reason.rstrip('.')}{way_out}") from error

    def _configure_log(self) -> Path:
        """vLLM's log goes to a file, of all its processes; to the terminal only what VLLM_LOGGING_LEVEL lets pass."""
        level = os.environ.get("VLLM_LOGGING_LEVEL", "ERROR").upper()
        handlers = {
            "file": {"class": "logging.FileHandler", "filename": str(self._log), "formatter": "plain"},
            "terminal": {"class": "logging.StreamHandler", "level": level, "formatter": "plain"},
        }
        configuration = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"plain": {"format": "%(levelname)s %(asctime)s %(processName)s: %(message)s"}},
            "handlers": handlers,
            "loggers": {"vllm": {"level": "INFO", "handlers": list(handlers), "propagate": False}},
        }
        path = Path(self._folder.name) / "logging.json"
        path.write_text(json.dumps(configuration))
        return path

    def _logged(self) -> str | None:
        """The first exception in the log since the engine was started: later ones follow from it."""
        if not self._log.exists():
            return None
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(self._read)
            return next((line.strip() for line in log if _RAISED.match(line)), None)


def check_installed(model: str) -> None:
    """Raise `UserError` when vLLM is not installed; it is not imported, which takes seconds."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:  # any folder named vllm on the path has a spec, without an origin
        raise UserError(
            f"model '{model}': vLLM is not installed; install it with: "
            "pip install 'vllm>=0.32' (on a CPU: see docs/environments.md)"
        )


def _check(model: str, options: Mapping[str, Any], taken: set[str]) -> None:
    """Raise `UserError` when vLLM is not installed, knows no such option, or the option is not the user's to set."""
    check_installed(model)
    from vllm import EngineArgs

    known = {field.name for field in fields(EngineArgs)} - taken
    for name in options:
        if name in taken:
            raise UserError(f"model '{model}': options.{name} cannot be set: the pool file's other settings decide it")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "they are the arguments of vllm.LLM"
            raise UserError(f"model '{model}': vLLM has no option '{name}'; {hint}")


def _settle(done: Future[Result], work: Callable[[Any], Result], llm: Any) -> None:
    try:
        done.set_result(work(llm))
    except BaseException as error:
        done.set_exception(error)


def _one_line(error: Exception) -> str:
    """What the error says first; pydantic's say it in their second line, after how many there are."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place, wrong = (f"{first['loc'][0]}: ", f", not {first['input']!r}") if first["loc"] else ("", "")
        return f"{place}{first['msg'].splitlines()[0]}{wrong}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else 'no further message'} ({type(error).__name__})"
