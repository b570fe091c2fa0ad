"""grpcurl against the binary given as the first argument: reflection only, no proto files."""

import json
import subprocess
import sys
import time
from pathlib import Path

from served import Scenario, Server, check_clocks, equal, plain, run, still

GRPCURL = Path(__file__).resolve().parents[3] / ".tools/bin/grpcurl"
ADMIN = "tasktally.v1.AdminService"
STATISTICS = "tasktally.v1.StatisticsService"
INGEST = "tasktally.v1.IngestService"
# grpcurl exits with 64 and the status code.
EXIT_INVALID_ARGUMENT, EXIT_DEADLINE_EXCEEDED, EXIT_NOT_FOUND = 64 + 3, 64 + 4, 64 + 5


class Shell:
    def __init__(self, server, scenario):
        self.server = server
        self.scenario = scenario
        self.revision = 0

    def grpcurl(self, *arguments, data=None, flags=(), status=0):
        """Standard output, or standard error where a status other than 0 is expected."""
        sent = () if data is None else ("-d", "@")
        command = [GRPCURL, "-plaintext", "-use-reflection", "-emit-defaults", *flags, *sent, self.server.address]
        answer = subprocess.run([*command, *arguments], input=data, capture_output=True, text=True, timeout=30)
        assert answer.returncode == status, f"exit code {answer.returncode}: {answer.stderr}{answer.stdout}"
        return answer

    def call(self, method, request):
        return answers(self.grpcurl(method, data=json.dumps(request)).stdout)[0]

    def ask(self, method, **request):
        asked_ms = int(time.time() * 1000)
        answer = self.call(f"{STATISTICS}/{method}", {"workspace_sid": self.scenario.workspace} | request)
        return answer, asked_ms


def snake(value):
    """grpcurl prints lowerCamelCase; the scenario is written as the proto is."""
    if isinstance(value, dict):
        return {"".join("_" + c.lower() if c.isupper() else c for c in name): snake(item) for name, item in value.items()}
    return [snake(item) for item in value] if isinstance(value, list) else value


def answers(text):
    """The JSON objects that grpcurl prints one after the other."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(plain(snake(value)))
        text = text[end:].lstrip()
    return found


def lists_services(shell):
    """list names every service"""
    expected = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
    equal(shell.grpcurl("list").stdout.split(), expected + [ADMIN, INGEST, STATISTICS])


def lists_methods(shell):
    """list names the methods of each service"""
    equal(shell.grpcurl("list", INGEST).stdout.split(), [f"{INGEST}.IngestEvents", f"{INGEST}.StreamEvents"])
    methods = ["Backup", "DropDeadLetters", "ForgetWorkspace", "GetStatus", "ListDeadLetters", "ResendDeadLetters"]
    equal(shell.grpcurl("list", ADMIN).stdout.split(), [f"{ADMIN}.{method}" for method in methods])
    methods = ["GetCumulative", "GetCumulativeSeries", "GetRealtime", "GetStatistics"]
    methods += ["ListTaskChannels", "ListWorkspaces", "WatchRealtime", "WatchStatistics"]
    equal(shell.grpcurl("list", STATISTICS).stdout.split(), [f"{STATISTICS}.{method}" for method in methods])


def describes_with_comments(shell):
    """describe shows the contract with its comments"""
    for symbol in [STATISTICS, INGEST, ADMIN, "tasktally.v1.Event", "tasktally.v1.EventType", "tasktally.v1.Task"]:
        lines = shell.grpcurl("describe", symbol).stdout.splitlines()
        comments = [line for line in lines if line.lstrip().startswith("//")]
        assert len(comments) > len(lines) / 4, f"{symbol}: {len(comments)} comments in {len(lines)} lines"
    described = shell.grpcurl("describe", f"{STATISTICS}.WatchRealtime").stdout
    assert "The first message comes at once" in described, described
    assert "stream .tasktally.v1.WatchRealtimeResponse" in described, described


def ingests(shell):
    """IngestEvents takes the scenario"""
    events = shell.scenario.events()
    answer = shell.call(f"{INGEST}/IngestEvents", {"events": events})
    shell.revision = answer.pop("revision")
    assert shell.revision > 0, shell.revision
    equal(answer, {"accepted": len(events), "duplicates": 0, "rejected": []})


def streams(shell):
    """StreamEvents answers each message, in order: all duplicates, twice"""
    events = shell.scenario.events()
    halves = [events[:10], events[10:]]
    data = "\n".join(json.dumps({"events": half}) for half in halves)
    found = answers(shell.grpcurl(f"{INGEST}/StreamEvents", data=data).stdout)
    equal([(answer["accepted"], answer["duplicates"]) for answer in found], [(0, len(half)) for half in halves])


def reads_realtime(shell):
    """GetRealtime gives the exact figures, of all channels and of one"""
    for channel, expected in [("", "realtime"), ("voice", "realtime_of_voice"), (shell.scenario.long("TC1"), "realtime_of_voice")]:
        answer, asked_ms = shell.ask("GetRealtime", task_channel=channel)
        check_clocks(answer, asked_ms)
        assert answer["revision"] >= shell.revision, (answer["revision"], shell.revision)
        if answer.get("longest_task_waiting_since", 0) is None:
            del answer["longest_task_waiting_since"]
        equal(still(answer), shell.scenario.expected(expected))


def reads_cumulative(shell):
    """GetCumulative gives the exact figures, of all channels and of one"""
    answer, asked_ms = shell.ask("GetCumulative", split_by_wait_time=shell.scenario.raw["thresholds"])
    check_clocks(answer, asked_ms)
    equal(still(answer), shell.scenario.expected("cumulative"))
    answer, asked_ms = shell.ask("GetCumulative", task_channel="chat")
    check_clocks(answer, asked_ms)
    equal(still(answer), shell.scenario.expected("cumulative_of_chat"))


def reads_both(shell):
    """GetStatistics gives both, of one state and one instant"""
    answer, asked_ms = shell.ask("GetStatistics", split_by_wait_time=shell.scenario.raw["thresholds"])
    realtime, cumulative = answer.pop("realtime"), answer.pop("cumulative")
    check_clocks(realtime, asked_ms)
    check_clocks(cumulative, asked_ms)
    equal((realtime["revision"], realtime["as_of"]), (cumulative["revision"], cumulative["as_of"]))
    equal(still(realtime), shell.scenario.expected("realtime"))
    equal(still(cumulative), shell.scenario.expected("cumulative"))
    scenario = shell.scenario
    url = f"{scenario.base_url}/v1/Workspaces/{scenario.workspace}/Statistics"
    equal(answer, {"account_sid": scenario.account, "workspace_sid": scenario.workspace, "url": url})


def lists_contents(shell):
    """ListWorkspaces and ListTaskChannels name what was ingested, page by page"""
    scenario = shell.scenario
    workspaces = [{"workspace_sid": scenario.workspace, "account_sid": scenario.account}]
    equal(shell.call(f"{STATISTICS}/ListWorkspaces", {}), {"workspaces": workspaces, "next_page_token": ""})
    rows, token = [], ""
    for _ in range(2):
        page, _ = shell.ask("ListTaskChannels", page_size=1, page_token=token)
        rows, token = rows + page["task_channels"], page["next_page_token"]
    equal((rows, token), (scenario.expected("task_channels"), ""))


def watches(shell):
    """WatchRealtime sends the state at once, then heartbeats, until the caller's deadline"""
    request = json.dumps({"workspace_sid": shell.scenario.workspace, "heartbeat_interval": "0.2s"})
    ended = shell.grpcurl(f"{STATISTICS}/WatchRealtime", data=request, flags=["-max-time", "1"], status=EXIT_DEADLINE_EXCEEDED)
    assert "Code: DeadlineExceeded" in ended.stderr, ended.stderr
    found = [answer["realtime"] for answer in answers(ended.stdout)]
    assert 3 <= len(found) <= 6, f"{len(found)} messages in a second, one each 200 ms"
    for answer in found:
        equal(still(answer), shell.scenario.expected("realtime"))
    moments = [answer["as_of"] for answer in found]
    equal(moments, sorted(set(moments)))


def health(shell):
    """Health/Check says SERVING"""
    for service in ["", STATISTICS, INGEST, "liveness", "readiness"]:
        equal(shell.call("grpc.health.v1.Health/Check", {"service": service}), {"status": "SERVING"})
    shell.grpcurl("grpc.health.v1.Health/Check", data='{"service":"nobody"}', status=EXIT_NOT_FOUND)


def errors_are_readable(shell):
    """an error shows ErrorInfo and BadRequest with every bad field"""
    bad = {"workspace_sid": "WSx", "minutes": 0, "split_by_wait_time": [0]}
    failed = shell.grpcurl(f"{STATISTICS}/GetStatistics", data=json.dumps(bad), status=EXIT_INVALID_ARGUMENT).stderr
    details = [json.loads(line.split("\t", 1)[1]) for line in failed.splitlines() if line.startswith("  ") and "\t" in line]
    kinds = [detail.pop("@type").rsplit("/", 1)[1] for detail in details]
    equal(kinds, ["google.rpc.ErrorInfo", "google.rpc.BadRequest"])
    fields = ["workspace_sid", "minutes", "split_by_wait_time"]
    equal(details[0], {"reason": "BAD_FIELDS", "domain": "tasktally", "metadata": {"fields": ",".join(fields)}})
    equal([violation["field"] for violation in details[1]["fieldViolations"]], fields)
    unknown = json.dumps({"workspace_sid": shell.scenario.long("WS404")})
    failed = shell.grpcurl(f"{STATISTICS}/GetRealtime", data=unknown, status=EXIT_NOT_FOUND).stderr
    assert '"reason":"WORKSPACE_NOT_FOUND"' in failed, failed


def refuses(shell):
    """IngestEvents says of each refused event why, and takes the others"""
    answer = shell.call(f"{INGEST}/IngestEvents", {"events": shell.scenario.events("refused_events")})
    assert all(row.pop("message") for row in answer["rejected"]), answer
    equal(answer["rejected"], shell.scenario.expected("refused"))
    equal((answer["accepted"], answer["duplicates"]), (1, 0))


CHECKS = [
    lists_services, lists_methods, describes_with_comments, ingests, streams, reads_realtime, reads_cumulative, reads_both,
    lists_contents, watches, health, errors_are_readable, refuses,
]  # fmt: skip

if __name__ == "__main__":
    with Server(sys.argv[1]) as server:
        code = run("grpcurl", CHECKS, server, Shell(server, Scenario(server.address)))
    sys.exit(code)
