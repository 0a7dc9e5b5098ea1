"""Runs the suite's cases in shards, each with a `wstest` of its own, all at once.

Owns the split, the progress line and the one index.json of all shards. Knows nothing of verdicts.
A shard's own reports, the pages for people among them, stay in REPORTS/shard-N/.
"""

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import suite
import verdicts

AGENT = "throng"
# No single case takes longer; without news for so long the suite or its peer hangs.
SILENCE_MAX_S = 180
PROGRESS_EVERY_S = 10
START_MAX_S = 20
CLIENT_LOG = "client.log"


def split(cases, count):
    """At most `count` lists of cases that take about as long as each other.

    What a case costs shows in its last number, in 12 and 13 above all, where that is the size of
    the messages; so the cases are dealt out in the order of that number.
    """
    order = sorted(cases, key=lambda case: (verdicts.by_number(case)[::-1]))
    dealt = (set(order[start::count]) for start in range(count))
    return [[case for case in cases if case in part] for part in dealt if part]


def against_server(url, cases, count, reports):
    """The suite as the client of the server at `url`: {case: entry of the report}."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(suite.Wstest(
                "fuzzingclient", folder, part, servers=[{"agent": AGENT, "url": url}]))
            for folder, part in folders(cases, count, reports)
        ]
        watch(running, [wstest.process for wstest in running], len(cases))
        for wstest in running:
            if wstest.process.returncode != 0:
                raise suite.SuiteError(f"wstest failed:\n{wstest.last_words()}")
    return gather(running, reports)


def against_client(program, cases, count, reports):
    """The suite as the server, `program URL AGENT` as its client: {case: entry}, other faults."""
    with ExitStack() as stack:
        running, clients = [], []
        for (folder, part), port in zip(folders(cases, count, reports), free_ports(count)):
            url = f"ws://127.0.0.1:{port}"
            wstest = stack.enter_context(suite.Wstest("fuzzingserver", folder, part, url=url))
            wait_for(wstest, port)
            running.append(wstest)
            clients.append(stack.enter_context(running_client([program, url, AGENT], folder)))
        watch(running, clients, len(cases))
    pairs = zip(clients, running)
    faults = [fault(client, wstest.folder) for client, wstest in pairs if client.returncode != 0]
    if faults and not all(wstest.has_report() for wstest in running):
        raise suite.SuiteError("\n".join(faults))
    return gather(running, reports), faults


def folders(cases, count, reports):
    parts = split(cases, count)
    return [(reports / f"shard-{number}", part) for number, part in enumerate(parts, 1)]


def free_ports(count):
    """Ports that nobody listens on; all are taken before the first is given back."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(wstest, port):
    deadline = time.monotonic() + START_MAX_S
    while wstest.process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise suite.SuiteError(f"wstest does not listen:\n{wstest.last_words()}")


@contextmanager
def running_client(command, folder):
    """The client of one shard, its output in client.log; killed when the `with` block is left."""
    with open(folder / CLIENT_LOG, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def fault(process, folder):
    lines = (folder / CLIENT_LOG).read_text(errors="replace").splitlines()[-15:]
    return "\n".join([f"the client of {folder.name} ended with {process.returncode}", *lines])


def watch(running, processes, total):
    """Shows how many cases have started until all processes have ended, or nothing moves."""
    began = progress_at = silent_since = time.monotonic()
    seen = 0
    while any(process.poll() is None for process in processes):
        time.sleep(0.2)
        now = time.monotonic()
        started = sum(wstest.cases_started() for wstest in running)
        if started != seen:
            seen, silent_since = started, now
        if now - silent_since > SILENCE_MAX_S:
            raise suite.SuiteError(f"no progress for {SILENCE_MAX_S} s, {seen} of {total} cases")
        line = f"{seen} of {total} cases, {now - began:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{line}", end="", flush=True)
        elif now - progress_at >= PROGRESS_EVERY_S:
            progress_at = now
            print(line, flush=True)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")
    print(f"the suite took {time.monotonic() - began:.0f} s", flush=True)


def gather(running, reports):
    """Writes the index.json of all shards, and gives what is in it."""
    entries = {}
    for wstest in running:
        for case, entry in wstest.report(AGENT).items():
            page = f"{wstest.folder.name}/{entry['reportfile']}"
            entries[case] = {**entry, "reportfile": page}
    index = {AGENT: {case: entries[case] for case in sorted(entries, key=verdicts.by_number)}}
    (reports / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    return entries
