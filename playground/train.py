"""The whole training of the playground's models, in order; `erp playground train` calls `train`.

What belongs here: which step needs which, what is there already, processes and progress bars. What to
keep out: how a model is trained (`train_llms`, `preferences`, `train_reward_models`).

Steps run two at a time, each in a process of its own with one thread: models this small gain nothing
from a second one. A model whose folder is there is kept, so an interrupted training goes on where it
was; delete a model's folder to train it anew. Whoever trains an LLM anew should train the reward
models anew as well: they learn from the LLMs' samples.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Empty, Queue
from typing import Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from playground.preferences import label_both_sides, sample_both_sides
from playground.tokenizer import build_tokenizer, load_tokenizer
from playground.train_llms import LLMS, train_llm
from playground.train_reward_models import REWARD_MODELS, train_reward_model

WORK_FOLDER = ".work"
"""Inside the models' folder while training: the tokenizer, samples and preference data. Kept when
training is interrupted, removed when all models are there."""

_SECONDS_BETWEEN_REPORTS = 0.2
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

Progressed = tuple[str, int, int, str]
"""What a process reports: the name of its step, steps done, all steps, and a remark."""


class _Step(NamedTuple):
    name: str
    result: Path
    function: Callable[..., None]
    arguments: tuple[Any, ...]


def train(models_dir: Path, *, force: bool = False, seed: int = 0, processes: int = 2) -> list[str]:
    """Train what is missing in `models_dir`, one folder per model; with `force`, everything.

    Returns the names of the models that were trained.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    work = models_dir / WORK_FOLDER
    if force:
        for folder in (work, *(models_dir / name for name in (*LLMS, *REWARD_MODELS))):
            shutil.rmtree(folder, ignore_errors=True)
    missing = [name for name in (*LLMS, *REWARD_MODELS) if not (models_dir / name).exists()]
    if not missing:
        return []
    work.mkdir(exist_ok=True)
    with _one_thread_per_process(), get_context("spawn").Manager() as manager, _progress_bars() as progress:
        for stage in _stages(models_dir, work, seed):
            _run_stage(stage, processes, manager, progress)
    shutil.rmtree(work)
    return missing


def _stages(models_dir: Path, work: Path, seed: int) -> Iterator[list[_Step]]:
    """Steps that can run side by side, longest first, stage after stage."""
    tokenizer = work / "tokenizer"
    candidates = work / "candidates.pickle"
    samples = {name: work / f"samples-{name}.pickle" for name in LLMS}
    yield [_Step("tokenizer", tokenizer, _make_tokenizer, (tokenizer,))]
    yield [
        _Step(name, models_dir / name, _train_llm, (name, tokenizer, models_dir / name, seed))
        for name in sorted(LLMS, key=lambda name: -LLMS[name].steps * LLMS[name].hidden_size)
    ]
    if all((models_dir / name).exists() for name in REWARD_MODELS):
        return
    yield [
        _Step(f"samples of {name}", file, sample_both_sides, (models_dir / name, file, seed))
        for name, file in samples.items()
    ]
    labelled = (list(samples.values()), tokenizer, candidates, seed)
    yield [_Step("preference data", candidates, _label, labelled)]
    yield [
        _Step(name, models_dir / name, _train_reward_model, (name, models_dir, tokenizer, candidates, seed))
        for name in REWARD_MODELS
    ]


def _make_tokenizer(folder: Path) -> None:
    unfinished = folder.with_suffix(".unfinished")
    build_tokenizer().save_pretrained(unfinished)
    unfinished.rename(folder)


def _label(samples: Sequence[Path], tokenizer: Path, candidates: Path, seed: int) -> None:
    label_both_sides(samples, load_tokenizer(tokenizer), candidates, seed)


def _train_llm(name: str, tokenizer: Path, folder: Path, seed: int) -> None:
    train_llm(name, tokenizer, folder, seed, _Reporter(name))


def _train_reward_model(name: str, models_dir: Path, tokenizer: Path, candidates: Path, seed: int) -> None:
    train_reward_model(name, models_dir, tokenizer, candidates, models_dir / name, seed, _Reporter(name))


def _run_stage(steps: Sequence[_Step], processes: int, manager: SyncManager, progress: Progress) -> None:
    """Run the steps whose result is not there yet, and show how far they are."""
    reports: Queue[Progressed] = manager.Queue()
    bars = {step.name: progress.add_task(step.name, total=1, remark="") for step in steps}
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_start_process, initargs=(reports,)
    ) as pool:
        running: dict[Future[None], str] = {}
        for step in steps:
            if step.result.exists():
                progress.update(bars[step.name], completed=1, remark="is there")
            else:
                running[pool.submit(step.function, *step.arguments)] = step.name
        try:
            while running:
                _show_reports(reports, progress, bars)
                for future in [future for future in running if future.done()]:
                    name = running.pop(future)
                    if error := future.exception():
                        pool.shutdown(cancel_futures=True)
                        raise error
                    bar = progress.tasks[bars[name]]
                    progress.update(bars[name], completed=bar.total)
        except KeyboardInterrupt:
            for process in active_children():  # they would finish the model that they are on
                process.kill()
            raise


def _show_reports(reports: "Queue[Progressed]", progress: Progress, bars: dict[str, Any]) -> None:
    try:
        name, done, total, remark = reports.get(timeout=_SECONDS_BETWEEN_REPORTS)
    except Empty:
        return
    progress.update(bars[name], completed=done, total=total, remark=remark)


def _start_process(reports: "Queue[Progressed]") -> None:
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading and saving: ours would be torn apart
    _Reporter.reports = reports


class _Reporter:
    """Sends every hundredth of a training's steps to the parent process."""

    reports: "Queue[Progressed]"

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, step: int, steps: int, loss: float) -> None:
        if step == steps or step % max(1, steps // 100) == 0:
            self.reports.put((self.name, step, steps, f"loss {loss:.3f}"))


@contextmanager
def _one_thread_per_process() -> Iterator[None]:
    """Set the environment that the processes inherit: OpenMP reads it when torch is imported."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _progress_bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
