"""What the servers are asked to do.

Owns the list of workloads and what is counted in each. Never knows a server or a generator.
"""

from typing import NamedTuple

KIB = 1024


class Workload(NamedTuple):
    name: str
    title: str
    mode: str  # echo, fan, storm, idle, or fair: which the generators know
    figure: str  # what decides: rate (more is better), bytes or p99_us (less)
    unit: str
    connections: int
    size_bytes: int = 32
    depth: int = 1
    deflate: bool = False
    half_load: bool = False
    seconds_min: int = 0  # a p99 of few messages says little

    @property
    def command(self):
        """Which of a server's commands it needs."""
        if self.deflate:
            return "deflate"
        return self.mode if self.mode in ("fan", "idle") else "echo"

    @property
    def path(self):
        return "/fan" if self.mode == "fan" else "/echo"


P99_SECONDS_MIN = 3
MESSAGES, DELIVERIES = "messages/s", "deliveries/s"

ALL = [
    Workload("echo-32", "Echo, 32 B, 100 connections", "echo", "rate", MESSAGES, 100),
    Workload("echo-32-deep", "Echo, 32 B, 100 connections, 32 in flight", "echo", "rate",
             MESSAGES, 100, depth=32),
    Workload("echo-1k", "Echo, 1 KiB, 100 connections", "echo", "rate", MESSAGES, 100, KIB),
    Workload("echo-16k", "Echo, 16 KiB, 100 connections", "echo", "rate", MESSAGES, 100, 16 * KIB),
    Workload("echo-1m", "Echo, 1 MiB, 8 connections", "echo", "rate", MESSAGES, 8, KIB * KIB),
    Workload("fan-64", "Fan-out, 64 B to 1,000 members", "fan", "rate", DELIVERIES, 1000, 64),
    Workload("fan-64-deep", "Fan-out, 64 B to 1,000 members, 16 in flight", "fan", "rate",
             DELIVERIES, 1000, 64, depth=16),
    Workload("fan-16k", "Fan-out, 16 KiB to 1,000 members", "fan", "rate", DELIVERIES, 1000,
             16 * KIB),
    Workload("storm", "Connect, upgrade, leave, 50 at a time", "storm", "rate", "handshakes/s", 50),
    Workload("deflate-1k", "Compressed echo, 1 KiB of JSON, 100 connections", "echo", "rate",
             MESSAGES, 100, KIB, deflate=True),
    Workload("idle", "Memory of an idle connection, of 10,000", "idle", "bytes",
             "bytes a connection", 10_000),
    Workload("half-load", "Echo, 32 B, 100 connections, p99 at a fixed rate", "echo", "p99_us",
             "µs at p99", 100, half_load=True, seconds_min=P99_SECONDS_MIN),
    Workload("fair", "p99 of 100 quiet connections beside 10 that flood", "fair", "p99_us",
             "µs at p99", 100, seconds_min=P99_SECONDS_MIN),
]

BY_NAME = {workload.name: workload for workload in ALL}

# The quiet ones of `fair` send so many messages a second in all: few, since a generator that keeps
# its times to the microsecond spins before each. Each that floods keeps so many in flight.
QUIET_RATE = 250
FLOOD_CONNECTIONS = 10
FLOOD_DEPTH = 64
