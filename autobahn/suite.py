"""The Autobahn test suite itself: installs it into autobahn/venv and runs its `wstest`.

Knows nothing of verdicts or of throng. The suite is Python 2 source: it is ported to Python 3
when it is installed (port_to_python3.py), which needs Python 3.11, the one of Debian 12.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / "venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed-from"
INPUTS = ["requirements-py311.txt", "requirements-suite.txt", "port_to_python3.py"]

# The suite's own limits per case are 5, 1 and 1 s, which is too little on a loaded machine.
TIMEOUTS = {"openHandshakeTimeout": 10, "closeHandshakeTimeout": 5}
OPTIONS = {
    "fuzzingclient": {**TIMEOUTS, "serverConnectionDropTimeout": 5},
    "fuzzingserver": TIMEOUTS,
}

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


class Wstest:
    """One running wstest, in a folder of its own; it is ended when the `with` block is left."""

    def __init__(self, mode, folder, cases, **config):
        self.folder = folder
        self.log = folder / "wstest.log"
        config = {
            "outdir": str(folder),
            "options": OPTIONS[mode],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
            **config,
        }
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        # -u 0: no web server besides.
        command = [PYTHON, "-u", "-W", "ignore", "-c", RUN_WSTEST,
                   "-m", mode, "-s", "config.json", "-u", "0"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cases_started(self):
        return sum(line.startswith(b"Running test case ID ")
                   for line in self.log.read_bytes().splitlines())

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def has_report(self):
        return (self.folder / "index.json").is_file()

    def report(self, agent):
        """{case: entry} of the report."""
        if not self.has_report():
            raise SuiteError(f"the suite wrote no report:\n{self.last_words()}")
        return json.loads((self.folder / "index.json").read_text()).get(agent, {})
