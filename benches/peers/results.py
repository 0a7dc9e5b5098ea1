"""What was measured: kept in a file, so that a run can go on where another has stopped.

Owns `target/results.json` and the medians. Never measures, never draws.
"""

import json
import statistics
from typing import NamedTuple

# What must be the same for figures to stand in one table.
SAME = ("seconds", "generator", "machine")


class ResultsError(Exception):
    """The kept figures do not go with this run."""


class Spread(NamedTuple):
    median: float
    least: float
    most: float


class Results:
    """`samples[workload][server]` is a list with a figure set a round; `failures` says why not."""

    def __init__(self, path, about, resume):
        self.path = path
        self.about = about
        self.samples = {}
        self.failures = {}
        if resume and path.exists():
            self._take_over(json.loads(path.read_text()))

    def _take_over(self, kept):
        for key in SAME:
            if kept["about"].get(key) != self.about.get(key):
                raise ResultsError(f"--resume: {key} was {kept['about'].get(key)!r} before, and is "
                                   f"{self.about.get(key)!r} now")
        versions = {**kept["about"]["versions"], **self.about["versions"]}
        self.about["versions"] = versions
        self.samples, self.failures = kept["samples"], kept["failures"]

    def add(self, workload, server, figures):
        self.samples.setdefault(workload, {}).setdefault(server, []).append(figures)
        self.failures.get(workload, {}).pop(server, None)
        self.save()

    def forget(self, workloads, servers):
        for kept in (self.samples, self.failures):
            for workload in workloads:
                for server in servers:
                    kept.get(workload, {}).pop(server, None)

    def fail(self, workload, server, reason):
        self.failures.setdefault(workload, {})[server] = reason
        self.save()

    def rounds(self, workload, server):
        return len(self.samples.get(workload, {}).get(server, []))

    def save(self):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(
            {"about": self.about, "samples": self.samples, "failures": self.failures}, indent=1))
        fresh.replace(self.path)

    def spread(self, workload, server, figure):
        """Median, least and most of a figure over the rounds, or None."""
        found = [one[figure] for one in self.samples.get(workload, {}).get(server, [])
                 if one.get(figure) is not None]
        return Spread(statistics.median(found), min(found), max(found)) if found else None

    def median(self, workload, server, figure):
        spread = self.spread(workload, server, figure)
        return spread and spread.median
