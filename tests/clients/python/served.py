"""What the Python clients share: a server of their own, the scenario, answers in one form, and counted checks."""

import json
import math
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import datetime, timedelta, timezone
from pathlib import Path

SHORT_SID = re.compile(r"^(AC|WS|EV|WT|WR|WK|WA|TC|WQ|WW)([0-9a-f]{1,31})$")
DURATION = re.compile(r"^-?\d+(\.\d+)?s$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
TIMES = {"timestamp", "date_created", "longest_task_waiting_since", "start_time", "end_time"}
# They move with the clock; each client checks them against one another.
MOVING = {"as_of", "revision", "longest_task_waiting_age", "start_time", "end_time"}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Server:
    """The built binary on a free port and a folder of its own, with further flags if there are any."""

    def __init__(self, binary, *flags):
        self.folder = tempfile.TemporaryDirectory(prefix="tasktally-client-")
        self.binary, self.flags = binary, flags
        self.log = open(Path(self.folder.name) / "log", "w+", encoding="utf-8")
        self.failed = False
        self.start("127.0.0.1:0")

    def start(self, address):
        data = Path(self.folder.name) / "data"
        command = [self.binary, "serve", "--listen", address, "--data-dir", str(data), *self.flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r" listens on (127\.0\.0\.1:\d+)$", line.strip())
        assert found, f"expected where it listens, got {line!r}"
        self.address = found.group(1)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        """On the same data, where it was."""
        self.start(self.address)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self):
        return self.process.wait(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.kill()
        self.log.seek(0)
        if kind or self.failed:
            sys.stderr.write(self.log.read())
        self.log.close()
        self.folder.cleanup()


class Scenario:
    """tests/clients/scenario.json, with sids written out and times made absolute."""

    def __init__(self, address):
        path = Path(__file__).resolve().parent.parent / "scenario.json"
        self.raw = json.loads(path.read_text(encoding="utf-8"))
        self.base_ms = (int(time.time()) - 60) * 1000
        self.base_url = f"http://{address}"
        self.workspace = self.long(self.raw["workspace"])
        self.account = self.long(self.raw["account"])

    def long(self, text):
        found = SHORT_SID.match(text)
        if found:
            return found.group(1) + found.group(2).rjust(32, "0")
        if "{workspace}" in text:
            return text.replace("{base}", self.base_url).replace("{workspace}", self.workspace)
        return text

    def expand(self, value, moment, key=None):
        if isinstance(value, dict):
            return {name: self.expand(item, moment, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, moment) for item in value]
        if isinstance(value, str):
            return self.long(value)
        return moment(self.base_ms + value) if key in TIMES else value

    def expected(self, name):
        """Times as milliseconds since 1970."""
        return self.expand(self.raw[name], lambda ms: ms)

    def event(self, raw):
        """As the proto's JSON form."""
        whole = {"workspace_sid": self.workspace, "account_sid": self.account}
        return whole | self.expand(raw, written)

    def events(self, name="events"):
        return [self.event(raw) for raw in self.raw[name]]


def written(ms):
    return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value, key=None):
    """An answer's JSON form with counts, durations and times as numbers, the latter two in milliseconds."""
    if isinstance(value, dict):
        return {name: plain(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item, key) for item in value]
    if not isinstance(value, str) or key in ("event_sid", "message", "sid"):
        return value
    if DURATION.match(value):
        return round(float(value[:-1]) * 1000)
    if TIME.match(value):
        return round((datetime.fromisoformat(value.replace("Z", "+00:00")) - EPOCH).total_seconds() * 1000)
    return int(value) if re.match(r"^-?\d+$", value) else value


def still(answer):
    """The answer without what moves with the clock."""
    return {name: item for name, item in answer.items() if name not in MOVING}


def check_clocks(answer, asked_ms):
    """What moves with the clock agrees with itself. `asked_ms`: when the question was sent."""
    as_of = answer["as_of"]
    assert asked_ms <= as_of <= time.time() * 1000 + 1, f"as_of {as_of}, asked at {asked_ms}"
    assert answer["revision"] > 0, answer["revision"]
    if "longest_task_waiting_age" in answer:
        since = answer.get("longest_task_waiting_since")
        equal(answer["longest_task_waiting_age"], as_of - since if since is not None else 0)
    if "end_time" in answer:
        equal(answer["end_time"], math.floor(as_of / 1000 + 1) * 1000)
        equal(answer["start_time"], answer["end_time"] - 15 * 60 * 1000)


def equal(found, expected):
    assert found == expected, f"\n  found    {found!r}\n  expected {expected!r}"


def run(name, checks, server, *world):
    """Runs every check, in order, and says how many passed. Gives the exit code."""
    failed = 0
    for check in checks:
        try:
            check(*world)
            print(f"ok      {name}: {check.__doc__.strip()}", flush=True)
        except Exception:  # whatever a client throws is a failed check
            failed += 1
            print(f"FAILED  {name}: {check.__doc__.strip()}\n{traceback.format_exc()}", flush=True)
    server.failed = failed > 0
    print(f"{name}: {len(checks) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0
