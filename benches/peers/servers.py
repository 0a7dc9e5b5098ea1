"""The servers that are compared: how each is installed, run, and asked for its version.

Owns the folder `target`, which git ignores. Never measures. A server whose installation fails is
left out with a line that says why.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Callable, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = HERE / "target"
RUST = TARGET / "rust" / "release"
BUN = HERE / "bun/node_modules/@oven/bun-linux-x64/bin/bun"
DEBIAN_GO_PATH = "/usr/share/gocode"


class InstallError(Exception):
    """A server could not be installed."""


class Server(NamedTuple):
    """`commands` has one for echo and, where they differ or exist, for fan, deflate and idle."""
    name: str
    title: str
    commands: dict
    install: Callable
    version: Callable
    is_floor: bool = False

    def command(self, workload, port):
        """What to run, or None when it has nothing for that workload."""
        words = self.commands.get(workload.command)
        if words is None and workload.command == "idle":
            words = self.commands["echo"]
        if words is None:
            return None
        known = {"{port}": str(port), "{size}": str(workload.size_bytes)}
        for name, value in known.items():
            words = [str(word).replace(name, value) for word in words]
        return words


def run(command, folder=HERE, **environment):
    """Runs an installation step; its output is shown only when it fails."""
    done = subprocess.run([str(word) for word in command], cwd=folder, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, **environment})
    if done.returncode != 0:
        end = done.stdout.strip().splitlines()[-1:] or ["it said nothing"]
        raise InstallError(f"`{shlex.join(map(str, command))}`: {end[0][:200]}")
    return done.stdout


def need(program, package):
    """A program of a Debian package."""
    if shutil.which(program):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise InstallError(f"`{program}` is missing; Debian has it in {package}")
    run(["apt-get", "install", "-qy", "--no-install-recommends", package],
        DEBIAN_FRONTEND="noninteractive")


# --- throng ----------------------------------------------------------------------------------

def throng_target():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (ROOT / target / "release").resolve()


def throng():
    binary, broadcast = throng_target() / "throng", throng_target() / "examples/broadcast"
    echo = [binary, "echo", "--listen", "127.0.0.1:{port}"]
    return Server(
        "throng", "throng",
        {"echo": echo, "fan": [broadcast, "--port", "{port}"], "deflate": echo},
        lambda: run(["cargo", "build", "--release", "--bin", "throng", "--example", "broadcast"],
                    ROOT),
        lambda: run([binary, "--version"]).split()[1])


# --- The peers -------------------------------------------------------------------------------

def install_node():
    need("npm", "npm")
    npm(HERE / "node")


def install_bun():
    need("npm", "npm")
    npm(HERE / "bun")
    BUN.chmod(0o755)


def npm(folder):
    installed = folder / "node_modules/.package-lock.json"  # npm writes it last
    locked = folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
        run(["npm", "ci", "--no-audit", "--no-fund"], folder)


def install_rust():
    run(["cargo", "build", "--release", "--locked"], HERE / "rust",
        CARGO_TARGET_DIR=str(TARGET / "rust"))


def install_gorilla():
    need("go", "golang-go")
    if not (Path(DEBIAN_GO_PATH) / "src/github.com/gorilla/websocket").is_dir():
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise InstallError("Debian has it in golang-github-gorilla-websocket-dev")
        run(["apt-get", "install", "-qy", "--no-install-recommends",
             "golang-github-gorilla-websocket-dev"], DEBIAN_FRONTEND="noninteractive")
    run(["go", "build", "-o", TARGET / "gorilla", "server.go"], HERE / "go",
        GO111MODULE="off", GOPATH=DEBIAN_GO_PATH, GOCACHE=str(TARGET / "go-cache"))


def locked_version(crate):
    text = (HERE / "rust/Cargo.lock").read_text()
    return re.search(rf'name = "{crate}"\nversion = "(.*?)"', text)[1]


def gorilla_version():
    package = run(["dpkg-query", "-W", "-f=${Version}", "golang-github-gorilla-websocket-dev"])
    return f"{package.strip()} ({run(['go', 'version']).split()[2]})"


def node_version():
    ws = run(["node", "-p", "require('ws/package.json').version"], HERE / "node").strip()
    return f"{ws} (Node {run(['node', '--version']).strip()})"


def rust_server(name, **more):
    echo = [RUST / name, "{port}"]
    commands = {"echo": echo, "fan": echo, **{kind: echo + [word] for kind, word in more.items()}}
    return Server(name, name, commands, install_rust, lambda: locked_version(name))


def peers():
    node, bun = ["node", HERE / "node/server.js", "{port}"], [BUN, HERE / "bun/server.js", "{port}"]
    gorilla = [TARGET / "gorilla", "{port}"]
    return [
        Server("bun", "Bun", {"echo": bun, "fan": bun, "deflate": bun + ["deflate"]},
               install_bun, lambda: run([BUN, "--version"]).strip()),
        Server("ws", "node ws", {"echo": node, "fan": node, "deflate": node + ["deflate"]},
               install_node, node_version),
        # Its documentation advises smaller buffers for many connections.
        rust_server("tokio-tungstenite", idle="small"),
        rust_server("fastwebsockets"),
        rust_server("sockudo-ws", deflate="deflate"),
        Server("gorilla", "gorilla", {"echo": gorilla, "fan": gorilla,
                                      "deflate": gorilla + ["deflate"]},
               install_gorilla, gorilla_version),
    ]


# --- What the command line adds --------------------------------------------------------------

def extra(text):
    """NAME='COMMAND with {port}': serves /echo and /fan; with {deflate}, compressed echo too."""
    name, equals, command = text.partition("=")
    if not equals or "{port}" not in command:
        raise InstallError(f"--extra wants NAME='COMMAND with {{port}}', not {text}")
    words = shlex.split(command)
    plain = [word for word in words if word != "{deflate}"]
    commands = {"echo": plain, "fan": plain}
    if "{deflate}" in words:
        commands["deflate"] = ["deflate" if word == "{deflate}" else word for word in words]

    def exists():
        if not shutil.which(words[0]):
            raise InstallError(f"no program {words[0]}")

    return Server(name, name, commands, exists, lambda: "as given")


def floor(program):
    """An echo that parses nothing. It knows the size of what comes."""
    echo = [program, "{port}", "{size}"]

    def exists():
        if not shutil.which(program):
            raise InstallError(f"no program {program}")

    return Server("floor", "epoll floor", {"echo": echo, "fan": echo + ["fan"]},
                  exists, lambda: "parses nothing", is_floor=True)


def installed(wanted):
    """Installs what is missing; gives those that can run, and why others cannot."""
    TARGET.mkdir(exist_ok=True)
    ready, missing = [], {}
    for server in wanted:
        print(f"preparing {server.name}", flush=True)
        try:
            server.install()
            ready.append(server)
        except (InstallError, OSError) as error:
            missing[server.name] = str(error)
            print(f"  {server.name} is left out: {error}", flush=True)
    return ready, missing
