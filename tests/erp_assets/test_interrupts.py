"""Ctrl-C and SIGTERM are heard, whatever handles them meanwhile; the second one ends at once."""

import os
import signal
import subprocess
import sys
import time

import pytest
from dagster._utils.interrupts import capture_interrupts

from erp_assets.interrupts import heard

ENDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_dagster_captures_and_forgets_is_heard(number: signal.Signals) -> None:
    with heard() as interrupts:
        interrupts.raise_if_heard()
        with capture_interrupts():
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        with pytest.raises(ENDS[number]):
            interrupts.raise_if_heard()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_elsewhere_it_interrupts_at_once(number: signal.Signals) -> None:
    with pytest.raises(ENDS[number], match="143" if number == signal.SIGTERM else None), heard():
        signal.raise_signal(number)


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with heard():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_the_second_one_ends_a_process_that_does_not_listen() -> None:
    code = (
        "import time\n"
        "from dagster._utils.interrupts import capture_interrupts\n"
        "from erp_assets.interrupts import heard\n"
        "with heard(), capture_interrupts():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "ended at once" in told
