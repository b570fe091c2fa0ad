"""The example programs of examples/, run as a reader would, against the binary given as the first argument. Each language
has the same two programs, and is held to the same."""

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from access import People
from served import Scenario, Server, equal, run

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PROGRAMS = {
    "python": lambda name: [sys.executable, EXAMPLES / "python" / f"{name}.py"],
    "node": lambda name: ["node", EXAMPLES / "node/dist/src" / f"{name}.js"],
}
WAIT_S = 60
FIGURES = re.compile(r"active=(\d+) pending=(\d+) reserved=(\d+) assigned=(\d+) wrapping=(\d+) longest_wait=\d+s workers=(\d+)")


class Lines:
    """A program that goes on, and the lines of both its outputs as they come."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def until(self, wanted):
        """The first line in which `wanted` finds something, and what it found."""
        seen = []
        while True:
            line = self.lines.get(timeout=WAIT_S)
            assert line is not None, f"the program ended after {seen}"
            seen.append(line)
            if found := wanted(line):
                return found

    def stop(self):
        self.process.kill()
        self.process.wait()


class Example:
    """One language's programs on a server of their own."""

    def __init__(self, language, server):
        self.program, self.server = PROGRAMS[language], server
        self.scenario = Scenario(server.address)
        self.folder = tempfile.TemporaryDirectory(prefix="tasktally-examples-")

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKTALLY_")}
        return kept | {"TASKTALLY_ADDRESS": self.server.address} | more

    def run(self, name, *arguments, **environment):
        command = [*self.program(name), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment(**environment), timeout=WAIT_S
        )

    def start(self, name, *arguments):
        return Lines([*self.program(name), *arguments], self.environment())

    def file(self, events):
        path = Path(self.folder.name) / "events.ndjson"
        path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
        return path

    def new_task(self, number):
        task = {"sid": f"WT{number:032}", "task_channel_unique_name": "chat", "assignment_status": "TASK_ASSIGNMENT_STATUS_PENDING", "date_created": 0}
        return self.scenario.event(
            {"sid": f"EV{number:032}", "type": "EVENT_TYPE_TASK_CREATED", "timestamp": 0, "task": task}
        )


def camel(value):
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_(.)", lambda found: found[1].upper(), name): camel(inner) for name, inner in value.items()}


def figures(line):
    found = FIGURES.search(line)
    return [int(number) for number in found.groups()] if found else None


def expected(example):
    realtime = example.scenario.expected("realtime")
    status = realtime["tasks_by_status"]
    states = [status.get(name, 0) for name in ("pending", "reserved", "assigned", "wrapping")]
    return [realtime["total_tasks"], *states, realtime["total_workers"]]


def ingests(example):
    """ingest says what was accepted, what was known, and each rejected event with its field"""
    events = example.scenario.events()
    lacking = example.new_task(900) | {"task": {}}
    path = example.file([*events, lacking])
    told = example.run("ingest", path)
    equal((told.returncode, told.stdout.strip()), (1, f"accepted {len(events)}, duplicates 0, rejected 1"))
    assert f"event {len(events) + 1} (EV{900:032}): MISSING_FIELD task.sid" in told.stderr, told.stderr
    # As `tasktally export` writes them.
    again = example.run("ingest", example.file([camel(event) for event in events]))
    equal((again.returncode, again.stdout.strip()), (0, f"accepted 0, duplicates {len(events)}, rejected 0"))


def goes_on(example):
    """watch and ingest go on through a killed server, and watch shows the figures of the contract's own example"""
    watch = example.start("watch", example.scenario.workspace)
    try:
        first = watch.until(figures)
        equal(first, expected(example))
        example.server.kill()
        watch.until(lambda line: line.startswith("stale: UNAVAILABLE"))
        ingest = example.start("ingest", example.file([example.new_task(901)]))
        ingest.until(lambda line: line.startswith("UNAVAILABLE"))
        example.server.restart()
        ingest.until(lambda line: "accepted 1, duplicates 0, rejected 0" in line)
        equal(ingest.process.wait(), 0)
        watch.until(lambda line: (figures(line) or [None])[0] == first[0] + 1)
    finally:
        watch.stop()


def explains(example):
    """errors are told with their reason and every bad field, and what will not pass is not tried again"""
    bad = example.run("watch", "WSx")
    assert bad.returncode == 1 and "INVALID_ARGUMENT BAD_FIELDS" in bad.stderr, bad
    assert "\n  workspace_sid: must be WS" in bad.stderr, bad.stderr
    broken = example.file([])
    broken.write_text("\n{\n", encoding="utf-8")
    rubbish = example.run("ingest", broken)
    assert rubbish.returncode == 1 and "line 2 is no event" in rubbish.stderr, rubbish
    assert len(rubbish.stderr.splitlines()) <= 2, rubbish.stderr
    missing = example.run("ingest", "/nowhere/at/all")
    assert missing.returncode == 1 and len(missing.stderr.splitlines()) == 1, missing
    unknown = example.run("watch", "WS" + "9" * 32)
    assert unknown.returncode == 1 and "NOT_FOUND WORKSPACE_NOT_FOUND" in unknown.stderr, unknown


def shows_credentials(example, binary):
    """a token and an authority's certificate are taken from the environment"""
    folder = example.folder.name
    people = People(binary, folder)
    key, cert = f"{folder}/key.pem", f"{folder}/cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *names], check=True, capture_output=True)
    with Server(binary, "--credentials", str(people.file), "--tls-cert", cert, "--tls-key", key) as server:
        known = Example.__new__(Example)
        known.__dict__ = example.__dict__ | {"server": server}
        path = example.file(example.scenario.events())
        told = known.run("ingest", path, TASKTALLY_TLS_CA=cert, TASKTALLY_TOKEN=people.tokens["feeder"])
        equal(told.returncode, 0)
        nobody = known.run("watch", example.scenario.workspace, TASKTALLY_TLS_CA=cert)
        assert nobody.returncode == 1 and "UNAUTHENTICATED CREDENTIALS_MISSING" in nobody.stderr, nobody
        wrong = known.run("ingest", path, TASKTALLY_TLS_CA=cert, TASKTALLY_TOKEN=people.tokens["reader"])
        assert wrong.returncode == 1 and "PERMISSION_DENIED ROLE_MISSING" in wrong.stderr, wrong


def main():
    binary = sys.argv[1]
    failed = 0
    for language in PROGRAMS:
        with Server(binary) as server:
            example = Example(language, server)

            def with_credentials(example):
                shows_credentials(example, binary)

            with_credentials.__doc__ = shows_credentials.__doc__
            failed |= run(f"examples/{language}", [ingests, goes_on, explains, with_credentials], server, example)
    return failed


if __name__ == "__main__":
    sys.exit(main())
