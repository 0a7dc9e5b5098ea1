"""The Autobahn test suite itself: installs it into autobahn/venv and runs its `wstest`.

Knows nothing of verdicts or of throng. The suite is Python 2 source: it is ported to Python 3
when it is installed (port_to_python3.py), which needs Python 3.11, the one of Debian 12.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / "venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed-from"
INPUTS = ["requirements-py311.txt", "requirements-suite.txt", "port_to_python3.py"]

# The suite's own limits per case are 5, 1 and 1 s, which is too little on a loaded machine.
TIMEOUTS = {
    "openHandshakeTimeout": 10,
    "closeHandshakeTimeout": 5,
    "serverConnectionDropTimeout": 5,
}
# No single case takes longer; without news for so long the suite or the server hangs.
SILENCE_MAX_S = 180
PROGRESS_EVERY_S = 10

LIST_CASES = """
import json, autobahntestsuite.case as case
from autobahntestsuite.caseset import CaseSet
cases = CaseSet(case.CaseSetname, case.CaseBasename, case.Cases, [], [])
print(json.dumps(cases.parseSpecCases({"cases": ["*"]})))
"""
RUN_WSTEST = "from autobahntestsuite.wstest import run; run()"


class SuiteError(Exception):
    """The suite could not be installed or did not run to its end."""


def install():
    """Installs the suite unless autobahn/venv already holds exactly what is asked for."""
    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in INPUTS)).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    print("installing the Autobahn test suite into autobahn/venv", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    call(python311(), "-m", "venv", VENV)
    call(PYTHON, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements-py311.txt")
    with tempfile.TemporaryDirectory() as scratch:
        port_suite(Path(scratch))
    if len(case_ids()) == 0:
        raise SuiteError("the installed suite lists no cases")
    STAMP.write_text(wanted)


def port_suite(scratch):
    """Downloads the suite's source and writes its Python 3 port into the environment."""
    suite = HERE / "requirements-suite.txt"
    call(PYTHON, "-m", "pip", "download", "--quiet", "--no-deps", "-d", scratch, "-r", suite)
    (archive,) = scratch.glob("autobahntestsuite-*.tar.gz")
    shutil.unpack_archive(archive, scratch)
    (source,) = scratch.glob("autobahntestsuite-*/autobahntestsuite")
    (packages,) = VENV.glob("lib/python3.11/site-packages")
    call(PYTHON, "-W", "ignore", HERE / "port_to_python3.py", source, packages / source.name)


def python311():
    """A Python 3.11 that can make virtual environments; on Debian the package is fetched."""
    if python := find_python311():
        return python
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing python3-venv", flush=True)
        call("apt-get", "update", "-q")
        call("apt-get", "install", "-qy", "--no-install-recommends", "python3-venv")
        if python := find_python311():
            return python
    raise SuiteError("needs Python 3.11 with venv (on Debian 12: apt install python3-venv)")


def find_python311():
    can_make_venvs = "import sys, ensurepip, lib2to3; sys.exit(sys.version_info[:2] != (3, 11))"
    for name in (sys.executable, "python3.11", "/usr/bin/python3.11"):
        path = shutil.which(name) if name else None
        if path and subprocess.run([path, "-W", "ignore", "-c", can_make_venvs],
                                   stderr=subprocess.DEVNULL).returncode == 0:
            return path
    return None


def call(*command):
    command = [str(part) for part in command]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        raise SuiteError(f"failed: {' '.join(command)}")


def case_ids():
    """Every case id the installed suite knows, in its order."""
    result = subprocess.run([PYTHON, "-W", "ignore", "-c", LIST_CASES],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise SuiteError("the installed suite does not start; delete autobahn/venv and try again")
    return json.loads(result.stdout)


def run_fuzzingclient(url, cases, reports):
    """Runs the cases against the server at `url`; returns index.json's {case: verdict}."""
    config = {
        "outdir": str(reports),
        "options": TIMEOUTS,
        "servers": [{"agent": "throng", "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    run_wstest("fuzzingclient", config, len(cases), reports)
    index = reports / "index.json"
    if not index.is_file():
        raise SuiteError("the suite wrote no report")
    return json.loads(index.read_text()).get("throng", {})


def run_wstest(mode, config, total, reports):
    """Runs one wstest to its end, its output in wstest.log, with a progress line."""
    config_path = reports / "config.json"
    config_path.write_text(json.dumps(config))
    log_path = reports / "wstest.log"
    command = [PYTHON, "-u", "-W", "ignore", "-c", RUN_WSTEST, "-m", mode, "-s", config_path]
    with open(log_path, "wb") as log:
        wstest = subprocess.Popen(command, cwd=reports, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=subprocess.STDOUT)
    try:
        watch(wstest, log_path, total)
    finally:
        wstest.kill()
        wstest.wait()
    if wstest.returncode != 0:
        tail = log_path.read_text(errors="replace").splitlines()[-15:]
        raise SuiteError("wstest failed:\n" + "\n".join(tail))


def watch(wstest, log_path, total):
    """Shows how many cases have started until wstest ends or falls silent."""
    started = progress_at = silent_since = time.monotonic()
    seen = 0
    while True:
        try:
            wstest.wait(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        count = len(re.findall(rb"^Running test case ID ", log_path.read_bytes(), re.MULTILINE))
        if count != seen:
            seen, silent_since = count, now
        if now - silent_since > SILENCE_MAX_S:
            raise SuiteError(f"no progress for {SILENCE_MAX_S} s in case {seen} of {total}")
        if sys.stdout.isatty():
            print(f"\r{seen} of {total} cases, {now - started:.0f} s", end="", flush=True)
        elif now - progress_at >= PROGRESS_EVERY_S:
            progress_at = now
            print(f"{seen} of {total} cases, {now - started:.0f} s", flush=True)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")
    print(f"the suite took {time.monotonic() - started:.0f} s", flush=True)
