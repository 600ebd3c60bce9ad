"""The Dagster UI of all pools, which notices when a pool file is edited.

What belongs here: the processes of `erp ui`, and what they are told. What to keep out: what the UI shows.

`dagster dev` reads the pool files once. Here they are watched, and its code location is loaded anew when one changes,
so that a new LLM is there, and is made where automation is on, without a click. A file that is not valid is told, and
its pool is left out; the others go on.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import filelock

from erp_assets.definitions import load_pools
from erp_resources.pool import POOLS_FOLDER, WAREHOUSE_FOLDER, check_entries, load_pool, pool_names
from erp_resources.settings import UserError

Say = Callable[[str], None]
Files = dict[str, tuple[int, int]]

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_ROLL_CALLS = 30.0
_SECONDS_BETWEEN_SWEEPS = 86_400.0
_RELOAD = """
mutation {
  reloadWorkspace {
    ... on Workspace { locationEntries { locationOrLoadError { ... on PythonError { message } } } }
    ... on PythonError { message }
  }
}
"""


def serve(root: Path, port: int, say: Say) -> int:
    """Serve the UI on loopback until it is interrupted; returns an exit status.

    Raises `UserError` when there are pool files and none is valid, or the UI of this project is served already.
    """
    pools, invalid = load_pools(root)
    if invalid and not pools:
        raise UserError("\n".join(invalid.values()))
    for problem in _problems(root, pool_names(root)):
        say(problem)
    (root / WAREHOUSE_FOLDER).mkdir(exist_ok=True)
    with _only_one(root) as tell_where:
        port = _free_port(port)
        address = f"http://127.0.0.1:{port}"
        tell_where(address)
        _end_dead_runs(root, say)
        dagster = str(Path(sys.executable).with_name("dagster"))
        command = [dagster, "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port), "--log-level", "warning"]
        # A group of its own: an interrupt is passed on once, and the services end in their order.
        quietly = {**os.environ, "PYTHONWARNINGS": "ignore"}
        process = subprocess.Popen(command, start_new_session=True, env=quietly, preexec_fn=_take_interrupts)
        _take_interrupts()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return _watch(root, process, address, say)
        except KeyboardInterrupt:
            return 0
        finally:
            _end(process)


def _take_interrupts() -> None:
    """Be interrupted by SIGINT, which what is started in the background of a shell inherits as ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the services: runs that are under way are given half a minute, as Dagster does."""
    for number, seconds in ((signal.SIGINT, 40), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGINT:
                process.send_signal(number)
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
            return


def _watch(root: Path, process: "subprocess.Popen[bytes]", address: str, say: Say) -> int:
    """Say when the UI answers, and load the pools anew whenever their files change, until the process ends."""
    seen = pool_files(root)
    is_up, looked, swept = False, 0.0, 0.0
    while process.poll() is None:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        if not is_up and _answers(address):
            is_up = True
            say(_first_steps(root, address))
            looked = time.monotonic()
        elif is_up and time.monotonic() - looked > _SECONDS_BETWEEN_ROLL_CALLS:
            try:
                _end_dead_runs(root, say)
                if not swept or time.monotonic() - swept > _SECONDS_BETWEEN_SWEEPS:
                    swept = time.monotonic()
                    _sweep(root, say)
            except UserError as error:  # such as a full disk, which may be mended
                say(str(error))
            looked = time.monotonic()
        elif is_up and (now := pool_files(root)) != seen:
            changed = sorted(name for name in {*seen, *now} if seen.get(name) != now.get(name))
            seen = now
            say(reload(root, address, changed))
    return process.returncode or 0


def pool_files(root: Path) -> Files:
    """Every pool file, and what changes when it is edited."""
    found: Files = {}
    for path in (root / POOLS_FOLDER).glob("*.yaml"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found[path.name] = (status.st_mtime_ns, status.st_size)
    return found


def reload(root: Path, address: str, changed: list[str]) -> str:
    """Have a served UI load all pools anew; returns what came of it, in words."""
    request = urllib.request.Request(
        f"{address}/graphql", json.dumps({"query": _RELOAD}).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            result = json.load(answer)["data"]["reloadWorkspace"]
    except OSError as error:
        return f"{', '.join(changed)} changed, and the UI could not be told ({error}); click 'Reload definitions'"
    loaded = [result] if "message" in result else [entry["locationOrLoadError"] for entry in result["locationEntries"]]
    for one in loaded:
        if one and "message" in one:
            return f"{', '.join(changed)} changed, and the UI could not load it: {one['message'].splitlines()[0]}"
    return "\n".join([f"{', '.join(changed)} changed: loaded anew", *_problems(root, [Path(n).stem for n in changed])])


def _problems(root: Path, names: Collection[str]) -> Iterator[str]:
    """What is wrong with the files of these pools, in words."""
    for name in pool_names(root):
        if name not in names:
            continue
        try:
            pool = load_pool(name, root)
        except UserError as error:
            yield f"Pool '{name}' is left out until its file is valid: {error}"
            continue
        try:
            check_entries(pool)
        except UserError as error:
            yield f"Runs of pool '{name}' will fail: {error}"


def _sweep(root: Path, say: Say) -> None:
    """Remove what is too old to be kept; of a pool that `erp run` works on, tomorrow."""
    from erp_assets.instance import open_instance
    from erp_assets.lock import is_held
    from erp_assets.retention import sweep

    pools = [pool for pool in load_pools(root)[0] if not is_held(pool)]
    with open_instance(root, captures=True) as instance:
        if old := sweep(instance, root, pools):
            say(f"Removed: {old}.")


def _end_dead_runs(root: Path, say: Say) -> None:
    """Mark runs as failed whose process is gone: they would hold up automation, and the GPU, for ever."""
    from erp_assets.instance import end_dead_runs, open_instance

    with open_instance(root) as instance:
        end_dead_runs(instance, say)


def _first_steps(root: Path, address: str) -> str:
    names = pool_names(root)
    if not names:
        return f"Dagster UI: {address}  (Ctrl-C ends it); there is no pool yet"
    first = next((name for name in names if (root / WAREHOUSE_FOLDER / name / "prompts").is_dir()), names[0])
    return (
        f"Dagster UI: {address}  (Ctrl-C ends it)\n"
        f"  the graph of a pool   {address}/assets/{first}/report?view=lineage&lineageScope=upstream&lineageDepth=10\n"
        f"  what was found        {address}/assets/{first}/report\n"
        f"  automation, on/off    {address}/automation\n"
        f"  runs and backfills    {address}/runs\n"
        f"Edit {POOLS_FOLDER}/{first}.yaml to add an LLM: its partitions appear by themselves."
    )


@contextlib.contextmanager
def _only_one(root: Path) -> Iterator[Callable[[str], None]]:
    """Hold the UI of a project; gives a function that tells others where it is served."""
    folder = root / WAREHOUSE_FOLDER / ".dagster"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "ui.txt"
    lock = filelock.FileLock(folder / "ui.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        where = note.read_text() if note.exists() else "by another process"
        raise UserError(f"the UI of this project is served already: {where}") from None

    def tell_where(address: str) -> None:
        note.write_text(address)

    try:
        yield tell_where
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return port
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=2):
            return True
    except OSError:
        return False
