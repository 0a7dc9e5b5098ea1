"""Starting a server on a core of its own, watching it, and stopping it.

Owns the processes and what /proc says of them. Never knows what is measured.
"""

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SERVER_CORE = 0
LOAD_CORE = 1
START_MAX_S = 15
SAMPLE_EVERY_S = 0.1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ServerError(Exception):
    """A server did not start, or has ended by itself."""


class Sample(NamedTuple):
    """What was used up to a moment: by a server and its children, and by whom else."""
    at_s: float
    cpu_s: float
    resident_bytes: int
    others_cpu_s: float  # of all that runs on the machine and was not started by this script


def pinned(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def free_port():
    """A port that nobody listens on. It stays below those that the system gives to clients."""
    first = (os.getpid() * 7) % 8000 + 12000
    for port in range(first, first + 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise ServerError("no free port")


@contextmanager
def running(command, port, log):
    """Runs a server on its core; gives its process; kills it and its children in any case."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        server = subprocess.Popen(pinned(SERVER_CORE, command), stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(server, port, log)
        yield server
        if server.poll() is not None:
            raise ServerError(f"it ended by itself ({server.returncode}): {last_line(log)}")
    finally:
        kill(server)


def wait_for(server, port, log):
    deadline = time.monotonic() + START_MAX_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(f"it did not start ({server.returncode}): {last_line(log)}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            time.sleep(0.3)  # what it does first, and the probe's connection, are over
            return
        except OSError:
            time.sleep(0.05)
    raise ServerError(f"it did not listen within {START_MAX_S} s: {last_line(log)}")


def kill(process):
    """Ends a process that leads a session, and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def last_line(log):
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def family(pid):
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(map(int, children.read_text().split()))
            except OSError:
                continue
    return found


def used(pid):
    """CPU ticks and resident pages of a process and of all that descend from it."""
    ticks = pages = 0
    for member in family(pid):
        try:
            stat = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        ticks += int(stat[11]) + int(stat[12])  # utime and stime, of all threads
    return ticks, pages


def sample(pid):
    now_s = time.monotonic()
    machine = Path("/proc/stat").read_text().split(maxsplit=4)
    ours, _ = used(os.getpid())
    ticks, pages = used(pid)
    others = sum(map(int, machine[1:4])) - ours  # user, nice and system
    return Sample(now_s, ticks / TICKS_PER_S, pages * PAGE_BYTES, others / TICKS_PER_S)


class Watch:
    """Samples a server until it is told to stop."""

    def __init__(self, pid):
        self.samples = [sample(pid)]
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(SAMPLE_EVERY_S):
            self.samples.append(sample(self._pid))

    def stop(self):
        self._stop.set()
        self._thread.join()

    def busy(self, until_s, seconds):
        """The shares of a core of the server and of all others, in the `seconds` to a moment."""
        inside = [one for one in self.samples if until_s - seconds <= one.at_s <= until_s]
        if len(inside) < 2:
            return None, None
        first, last = inside[0], inside[-1]
        long_s = last.at_s - first.at_s
        others = (last.others_cpu_s - first.others_cpu_s) / long_s
        return (last.cpu_s - first.cpu_s) / long_s, max(others, 0.0)

    def growth_bytes(self, until_s):
        """How much resident memory it has gained from the first sample to a moment."""
        before = [one for one in self.samples if one.at_s <= until_s]
        return before[-1].resident_bytes - self.samples[0].resident_bytes
