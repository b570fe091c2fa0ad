"""Python grpcio against the binary given as the first argument: by reflection only, without generated code."""

import sys
import threading
import time

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from served import Scenario, Server, check_clocks, equal, plain, run, still

ADMIN = "tasktally.v1.AdminService"
STATISTICS = "tasktally.v1.StatisticsService"
INGEST = "tasktally.v1.IngestService"
WAIT_S = 10


class Client:
    """Calls by name, with requests and answers as dictionaries."""

    def __init__(self, server):
        self.channel = grpc.insecure_channel(server.address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.database)
        self.scenario = Scenario(server.address)

    def message(self, name):
        return GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, service, name):
        method = self.pool.FindServiceByName(service).FindMethodByName(name)
        kind = ("stream" if method.client_streaming else "unary") + "_" + ("stream" if method.server_streaming else "unary")
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = getattr(self.channel, kind)(f"/{service}/{name}", request.SerializeToString, answer.FromString)
        return call, request

    def call(self, service, name, content, **options):
        call, request = self.method(service, name)
        return as_plain(call(ParseDict(content, request(), descriptor_pool=self.pool), timeout=WAIT_S, **options))

    def ask(self, name, **content):
        asked_ms = int(time.time() * 1000)
        return self.call(STATISTICS, name, {"workspace_sid": self.scenario.workspace} | content), asked_ms

    def watch(self, timeout=WAIT_S, **content):
        call, request = self.method(STATISTICS, "WatchRealtime")
        content = {"workspace_sid": self.scenario.workspace} | content
        return call(ParseDict(content, request(), descriptor_pool=self.pool), timeout=timeout)

    def failure(self, service, name, content, **options):
        """Code, text and details by kind of a call that must fail."""
        try:
            answer = self.call(service, name, content, **options)
        except grpc.RpcError as error:
            return error.code(), error.details(), self.details(error)
        raise AssertionError(f"{name} answered {answer!r}")

    def details(self, error):
        trailers = dict(error.trailing_metadata())
        assert "grpc-status-details-bin" in trailers, f"no details with {error.code()}: {trailers}"
        status = self.message("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])
        equal((status.code, status.message), (error.code().value[0], error.details()))
        found = {}
        for packed in status.details:
            name = packed.type_url.rsplit("/", 1)[1]
            found[name] = MessageToDict(self.message(name).FromString(packed.value), preserving_proto_field_name=True)
        return found


def as_plain(message):
    shown = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return plain(shown)


def figures(message):
    return still(as_plain(message)["realtime"])


def finds_services(client):
    """reflection lists the services"""
    found = sorted(client.database.get_services())
    expected = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
    equal(found, expected + [ADMIN, INGEST, STATISTICS])


def ingests_compressed(client):
    """IngestEvents takes the scenario, compressed by gzip"""
    events = client.scenario.events()
    answer = client.call(INGEST, "IngestEvents", {"events": events}, compression=grpc.Compression.Gzip)
    assert answer.pop("revision") > 0
    equal(answer, {"accepted": len(events), "duplicates": 0, "rejected": []})


def sends_again(client):
    """sending the same again changes nothing"""
    before = client.ask("GetRealtime")[0]
    events = client.scenario.events()
    answer = client.call(INGEST, "IngestEvents", {"events": events})
    equal((answer["accepted"], answer["duplicates"], answer["rejected"]), (0, len(events), []))
    equal(still(client.ask("GetRealtime")[0]), still(before))
    empty = client.call(INGEST, "IngestEvents", {})
    equal((empty["accepted"], empty["duplicates"], empty["rejected"]), (0, 0, []))


def streams(client):
    """StreamEvents answers each message in order, and ends when the caller has ended"""
    call, request = client.method(INGEST, "StreamEvents")
    sizes = [1, 7, 0, 15]
    requests = [ParseDict({"events": client.scenario.events()[:size]}, request(), descriptor_pool=client.pool) for size in sizes]
    found = [as_plain(answer) for answer in call(iter(requests), timeout=WAIT_S)]
    equal([(answer["accepted"], answer["duplicates"]) for answer in found], [(0, size) for size in sizes])
    revisions = [answer["revision"] for answer in found]
    equal(revisions, sorted(revisions))


def reads_realtime(client):
    """GetRealtime gives the exact figures, of all channels, of one, and of an unknown one"""
    for channel, expected in [("", "realtime"), ("voice", "realtime_of_voice"), ("tc" + "0" * 31 + "1", None)]:
        answer, asked_ms = client.ask("GetRealtime", task_channel=channel)
        check_clocks(answer, asked_ms)
        if expected:
            equal(still(answer), client.scenario.expected(expected))
        else:
            equal((answer["total_tasks"], answer["total_workers"], answer["tasks_by_priority"]), (0, 3, {}))
            equal(set(answer["tasks_by_status"].values()), {0})


def reads_cumulative(client):
    """GetCumulative gives the exact figures, by minutes, by start and by start and end"""
    thresholds = client.scenario.raw["thresholds"]
    answer, asked_ms = client.ask("GetCumulative", split_by_wait_time=thresholds)
    check_clocks(answer, asked_ms)
    equal(still(answer), client.scenario.expected("cumulative"))
    minutes, _ = client.ask("GetCumulative", minutes=43200, split_by_wait_time=thresholds)
    equal(minutes["end_time"] - minutes["start_time"], 43200 * 60_000)
    equal(still(minutes), client.scenario.expected("cumulative"))


def cuts_intervals(client):
    """an interval holds its start and not its end"""
    at = lambda ms: client.scenario.expand({"timestamp": ms}, lambda moment: moment)["timestamp"]  # noqa: E731
    iso = lambda ms: {"seconds": at(ms) // 1000}  # noqa: E731
    call, request = client.method(STATISTICS, "GetCumulative")

    def created(start_ms, end_ms):
        asked = request(workspace_sid=client.scenario.workspace, start_time=iso(start_ms), end_time=iso(end_ms))
        answer = as_plain(call(asked, timeout=WAIT_S))
        equal((answer["start_time"], answer["end_time"]), (at(start_ms), at(end_ms)))
        return answer["tasks_created"]

    # Tasks are created at 0, 1, 4, 7 and 8 s.
    equal([created(0, 1000), created(1000, 4000), created(1000, 5000), created(8000, 9000)], [1, 1, 2, 1])
    equal(created(0, 9000), 5)


def reads_both(client):
    """GetStatistics gives both, of one state and one instant"""
    answer, asked_ms = client.ask("GetStatistics", split_by_wait_time=client.scenario.raw["thresholds"])
    realtime, cumulative = answer["realtime"], answer["cumulative"]
    check_clocks(realtime, asked_ms)
    equal((realtime["revision"], realtime["as_of"]), (cumulative["revision"], cumulative["as_of"]))
    equal(still(realtime), client.scenario.expected("realtime"))
    equal(still(cumulative), client.scenario.expected("cumulative"))


def lists_contents(client):
    """ListWorkspaces and ListTaskChannels name what was ingested"""
    scenario = client.scenario
    equal(client.call(STATISTICS, "ListWorkspaces", {})["workspaces"],
          [{"workspace_sid": scenario.workspace, "account_sid": scenario.account}])  # fmt: skip
    equal(client.ask("ListTaskChannels")[0]["task_channels"], scenario.expected("task_channels"))


def errors_have_details(client):
    """errors carry their details in grpc-status-details-bin"""
    bad = {"workspace_sid": "WSx", "minutes": 0}
    code, text, details = client.failure(STATISTICS, "GetCumulative", bad)
    equal(code, grpc.StatusCode.INVALID_ARGUMENT)
    assert "workspace_sid" in text and "minutes" in text, text
    info = {"reason": "BAD_FIELDS", "domain": "tasktally", "metadata": {"fields": "workspace_sid,minutes"}}
    equal(details["google.rpc.ErrorInfo"], info)
    violations = details["google.rpc.BadRequest"]["field_violations"]
    equal([violation["field"] for violation in violations], ["workspace_sid", "minutes"])
    assert "google.rpc.RetryInfo" not in details, details

    unknown = client.scenario.long("WS404")
    code, _, details = client.failure(STATISTICS, "GetRealtime", {"workspace_sid": unknown})
    equal(code, grpc.StatusCode.NOT_FOUND)
    info = {"reason": "WORKSPACE_NOT_FOUND", "domain": "tasktally", "metadata": {"workspace_sid": unknown}}
    equal(details, {"google.rpc.ErrorInfo": info})

    old = {"workspace_sid": client.scenario.workspace, "start_time": "2020-01-01T00:00:00Z"}
    code, _, details = client.failure(STATISTICS, "GetCumulative", old)
    equal((code, details["google.rpc.ErrorInfo"]["reason"]), (grpc.StatusCode.OUT_OF_RANGE, "START_TOO_OLD"))


def limits_are_told(client):
    """too many events and too large a message are refused whole, with the limit"""
    one = {"sid": "EV" + "9" * 32}
    code, _, details = client.failure(INGEST, "IngestEvents", {"events": [one] * 10_001})
    info = {"reason": "TOO_MANY_EVENTS", "domain": "tasktally", "metadata": {"limit": "max_events_per_call", "limit_value": "10000", "sent": "10001"}}
    equal((code, details["google.rpc.ErrorInfo"]), (grpc.StatusCode.INVALID_ARGUMENT, info))
    large = {"events": [one | {"task": {"workflow_name": "x" * (4 << 20)}}]}
    for compression in [grpc.Compression.NoCompression, grpc.Compression.Gzip]:
        code, _, details = client.failure(INGEST, "IngestEvents", large, compression=compression)
        equal((code, details["google.rpc.ErrorInfo"]["reason"]), (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"))
        assert "google.rpc.RetryInfo" not in details, details


def refuses(client):
    """IngestEvents says of each refused event why, and takes the others"""
    answer = client.call(INGEST, "IngestEvents", {"events": client.scenario.events("refused_events")})
    assert all(row.pop("message") for row in answer["rejected"]), answer
    equal(answer["rejected"], client.scenario.expected("refused"))
    equal((answer["accepted"], answer["duplicates"]), (1, 0))


def watch_pushes(client):
    """a watch sends the state at once, a change within moments, and heartbeats in between"""
    # The heartbeat is far off: what comes second is the change.
    watch = client.watch(heartbeat_interval="60s")
    equal(figures(next(watch)), client.scenario.expected("realtime"))
    task = client.scenario.event(client.scenario.raw["another_task"])
    client.call(INGEST, "IngestEvents", {"events": [task]})
    acknowledged = time.monotonic()
    changed = figures(next(watch))
    assert time.monotonic() - acknowledged < 2, "a change took 2 s to arrive"
    expected = client.scenario.expected("realtime")
    expected["total_tasks"] += 1
    expected["tasks_by_status"]["pending"] += 1
    expected["tasks_by_priority"]["9"] = 1
    equal(changed, expected)
    watch.cancel()

    watch = client.watch(min_interval="0.05s", heartbeat_interval="0.2s")
    beats = [as_plain(next(watch))["realtime"] for _ in range(4)]
    watch.cancel()
    for beat in beats:
        equal(still(beat), expected)
        equal(beat["longest_task_waiting_age"], beat["as_of"] - beat["longest_task_waiting_since"])
    moments = [beat["as_of"] for beat in beats]
    equal(moments, sorted(set(moments)))


def watch_meets_deadline(client):
    """a watch ends with DEADLINE_EXCEEDED at the caller's deadline"""
    started, watch = time.monotonic(), client.watch(timeout=0.5)
    try:
        for _ in watch:
            pass
        raise AssertionError("the watch ended well")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert 0.4 < time.monotonic() - started < 3, time.monotonic() - started


def watch_refuses(client):
    """a watch names every bad interval"""
    try:
        next(client.watch(min_interval="0.001s", heartbeat_interval="3601s"))
        raise AssertionError("the watch began")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        violations = client.details(error)["google.rpc.BadRequest"]["field_violations"]
        equal([violation["field"] for violation in violations], ["min_interval", "heartbeat_interval"])


def watch_hears_the_end(client, server):
    """a watch ends with UNAVAILABLE and RetryInfo when the server is told to stop, which then exits 0"""
    watch = client.watch(heartbeat_interval="60s")
    next(watch)
    threading.Timer(0.1, server.terminate).start()
    try:
        next(watch)
        raise AssertionError("the watch went on")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.UNAVAILABLE)
        details = client.details(error)
        equal(details["google.rpc.ErrorInfo"]["reason"], "SHUTTING_DOWN")
        equal(details["google.rpc.RetryInfo"], {"retry_delay": "1s"})
    client.channel.close()
    equal(server.exit_code(), 0)


CHECKS = [
    finds_services, ingests_compressed, sends_again, streams, reads_realtime, reads_cumulative, cuts_intervals, reads_both,
    lists_contents, errors_have_details, limits_are_told, refuses, watch_pushes, watch_meets_deadline, watch_refuses,
]  # fmt: skip

if __name__ == "__main__":
    with Server(sys.argv[1]) as server:
        client = Client(server)
        code = run("grpcio", CHECKS, server, client)
        code |= run("grpcio, the end", [watch_hears_the_end], server, client, server)
    sys.exit(code)
