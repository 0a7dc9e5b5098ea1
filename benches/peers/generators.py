"""The programs that make the load, each behind the same few words.

Owns their options and what their output means. Never starts a server, never counts its CPU.
A generator says `lacks(workload)`: why it cannot do that one, or None; and `command(...)`: what to
run; and `figures(output)`: rate, p50_us, p99_us, busy (its own share of a core).
"""

import json

import workloads

WARM_UP_S = 1


class GeneratorError(Exception):
    """The load could not be made, or what came back was wrong."""


class ThrongLoad:
    """`throng load`: ours, in the client's role of the engine. It checks what comes back."""

    def __init__(self, throng):
        self.throng = throng
        self.title = "throng load"

    def lacks(self, _workload):
        return None

    def command(self, workload, port, seconds, rate=None, flood=False):
        mode = {"fan": "fanout", "fair": "echo"}.get(workload.mode, workload.mode)
        url = f"ws://127.0.0.1:{port}{workload.path}"
        connections = workloads.FLOOD_CONNECTIONS if flood else workload.connections
        command = [self.throng, "load", mode, url, "--json", "--connections", connections,
                   "--duration", seconds]
        if mode != "idle":
            command += ["--warm-up", WARM_UP_S]
        if mode in ("echo", "fanout"):
            depth = workloads.FLOOD_DEPTH if flood else workload.depth
            command += ["--size", workload.size_bytes]
            command += ["--depth", depth] if rate is None else ["--rate", rate]
            command += ["--text"] if workload.deflate else ["--binary"]
        if workload.deflate:
            command += ["--compress", "shared"]
        return command

    def figures(self, output):
        try:
            found = json.loads(output)
        except ValueError as error:
            raise GeneratorError(f"no JSON: {error}") from error
        if any(found["errors"].values()):
            raise GeneratorError(f"errors: {json.dumps(found['errors'])}")
        rate = {"fanout": "deliveries_per_s", "storm": "handshakes_per_s"}
        latency = found["latency_us"] or {}
        return {
            "rate": found[rate.get(found["mode"], "messages_per_s")],
            "p50_us": latency.get("p50"),
            "p99_us": latency.get("p99"),
            "busy": found["client"]["cpu_percent"] / 100,
        }


class WsLoad:
    """wsload: a generator in C that shares no code with throng. It counts bytes only."""

    def __init__(self, program):
        self.program = program
        self.title = "wsload, a generator that shares no code with throng"

    def lacks(self, workload):
        if workload.deflate:
            return "wsload does not compress"
        if workload.half_load or workload.mode == "fair":
            return "wsload has no fixed rate"
        return None

    def command(self, workload, port, seconds, rate=None, flood=False):
        assert rate is None and not flood, "lacks() has said so"
        return [self.program, workload.mode, "-p", port, "-u", workload.path,
                "-c", workload.connections, "-s", workload.size_bytes, "-d", workload.depth,
                "-t", seconds, "-w", WARM_UP_S]

    def figures(self, output):
        found = dict(word.split("=", 1) for word in output.split() if "=" in word)
        if "mode" not in found:
            raise GeneratorError(f"no figures: {output.strip()[:200]}")
        if found.get("dead", "0") != "0" and found["mode"] != "storm":
            raise GeneratorError(f"{found['dead']} connections were lost")
        number = {key: float(found[key]) for key in ("per_s", "p50_us", "p99_us", "load_busy")
                  if key in found}
        fan = found["mode"] == "fan"  # it has no times for those
        return {
            "rate": number.get("per_s"),
            "p50_us": None if fan else number.get("p50_us"),
            "p99_us": None if fan else number.get("p99_us"),
            "busy": number.get("load_busy"),
        }


def named(text, throng):
    """The generator that --generator asks for."""
    kind, _, program = text.partition(":")
    if kind == "throng":
        return ThrongLoad(program or throng)
    if kind == "wsload" and program:
        return WsLoad(program)
    raise GeneratorError("--generator is `throng`, `throng:PATH` or `wsload:PATH`")
