"""TaskRouter's own Python library, unchanged but for its base URL, against the binary given as the first argument."""

import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client as Twilio

from reflected import Client as Grpc
from served import Server, equal, run, still

# The contract's durations, which are seconds here; `plain` has made them milliseconds.
DURATIONS = {"avg_task_acceptance_time", "longest_task_waiting_age", "avg", "min", "max", "total"}
MOMENTS = {"start_time", "end_time"}
STRANGER = "AC" + "f" * 32
OTHER_KEY = "SK" + "1" * 32


def library(server, user, token):
    client = Twilio(user, token)
    client.taskrouter.base_url = f"http://{server.address}"
    return client


class World:
    """One server without credentials, which has the scenario, and one with."""

    def __init__(self, open_server, closed_server, tokens):
        self.grpc = Grpc(open_server)
        self.scenario = self.grpc.scenario
        self.open, self.closed, self.tokens = open_server, closed_server, tokens
        self.workspace = self.of(library(open_server, self.scenario.account, "anything"))
        for server, token in [(open_server, None), (closed_server, tokens["feeder"])]:
            metadata = [("authorization", f"Bearer {token}")] if token else None
            events = {"events": self.scenario.events()}
            answer = Feeder(self.grpc, server).send(events, metadata)
            equal(answer.accepted, len(events["events"]))

    def of(self, client, sid=None):
        return client.taskrouter.v1.workspaces(sid or self.scenario.workspace)

    def as_caller(self, user, name):
        return self.of(library(self.closed, user, self.tokens.get(name, name)))


class Feeder:
    """Sends over gRPC, with the descriptors of the server that shows them."""

    def __init__(self, known, server):
        import grpc

        method = known.pool.FindServiceByName("tasktally.v1.IngestService").FindMethodByName("IngestEvents")
        self.known, self.kind = known, method.input_type
        request, answer = known.message(method.input_type.full_name), known.message(method.output_type.full_name)
        channel = grpc.insecure_channel(server.address)
        self.call = channel.unary_unary("/tasktally.v1.IngestService/IngestEvents", request.SerializeToString, answer.FromString)
        self.request = request

    def send(self, content, metadata):
        from google.protobuf.json_format import ParseDict

        message = ParseDict(content, self.request(), descriptor_pool=self.known.pool)
        return self.call(message, timeout=10, metadata=metadata)


def in_their_form(value, key=None):
    """An answer over gRPC as TaskRouter's library shows it."""
    if isinstance(value, dict):
        return {name: in_their_form(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [in_their_form(item) for item in value]
    if key in DURATIONS:
        return value // 1000
    if key in MOMENTS:
        return datetime.fromtimestamp(value / 1000, timezone.utc)
    return value or None if key == "longest_task_waiting_sid" else value


def shown(instance, names):
    """What the library makes of these fields; whole numbers as numbers."""
    found = {name: getattr(instance, name) for name in names if hasattr(instance, name)}
    for name, value in found.items():
        if name.startswith(("tasks_created", "tasks_moved", "total", "reservations", "avg", "longest_task_waiting_age")):
            assert isinstance(value, int), f"{name} is {value!r}"
    return found


def same(instance, answer):
    expected = in_their_form(still(answer))
    found = shown(instance, expected)
    assert len(found) >= 9, found
    equal(found, {name: expected[name] for name in found})


def refused(call):
    try:
        call()
    except TwilioRestException as error:
        return error
    raise AssertionError("it answered")


def realtime(world):
    """RealTimeStatistics: equal to gRPC's, of all channels, of one, and of one by its sid"""
    for channel in [None, "voice", "chat", world.scenario.long("TC1"), "unknown"]:
        parameters = {"task_channel": channel} if channel else {}
        answer, _ = world.grpc.ask("GetRealtime", **parameters)
        found = world.workspace.real_time_statistics().fetch(**parameters)
        same(found, answer)
        age = found.longest_task_waiting_age
        assert isinstance(age, int) and 0 <= age - answer["longest_task_waiting_age"] // 1000 < 30, age


def cumulative(world):
    """CumulativeStatistics: equal to gRPC's, with each parameter"""
    base = datetime.fromtimestamp(world.scenario.base_ms / 1000, timezone.utc)
    start, end = base - timedelta(minutes=5), base + timedelta(seconds=10)
    written = {"start_time": start.isoformat(), "end_time": end.isoformat()}
    for ours, theirs in [
        ({}, {}),
        ({"minutes": 480}, {"minutes": 480}),
        ({"start_time": written["start_time"]}, {"start_date": start}),
        (written, {"start_date": start, "end_date": end}),
        ({"end_time": written["end_time"]}, {"end_date": end.isoformat()}),
        ({"task_channel": "chat"}, {"task_channel": "chat"}),
        ({"split_by_wait_time": [5, 10]}, {"split_by_wait_time": "5,10"}),
    ]:
        answer, _ = world.grpc.ask("GetCumulative", **ours)
        found = world.workspace.cumulative_statistics().fetch(**theirs)
        same(found, answer)
        assert isinstance(found.start_time, datetime), found.start_time
        if "end_time" in ours:
            equal((found.end_time, found.start_time), (end, start if "start_time" in ours else end - timedelta(minutes=15)))


def statistics(world):
    """Statistics: both, equal to gRPC's"""
    answer, _ = world.grpc.ask("GetStatistics", split_by_wait_time=[5, 10])
    found = world.workspace.statistics().fetch(split_by_wait_time="5,10")
    equal((found.account_sid, found.workspace_sid, found.url), (answer["account_sid"], answer["workspace_sid"], answer["url"]))
    for part, shown_part in [("realtime", found.realtime), ("cumulative", found.cumulative)]:
        expected = in_their_form(still(answer[part]))
        expected.pop("longest_task_waiting_since", None)
        equal({name: shown_part[name] for name in expected}, expected)


def errors(world):
    """each error is the library's own exception, with TaskRouter's code and every bad parameter"""
    unknown = world.of(library(world.open, world.scenario.account, "x"), world.scenario.long("WS404"))
    error = refused(lambda: unknown.real_time_statistics().fetch())
    equal((error.status, error.code), (404, 20404))
    malformed = world.of(library(world.open, world.scenario.account, "x"), "WS12")
    equal(refused(lambda: malformed.statistics().fetch()).code, 20404)
    for parameters, names in [
        ({"minutes": 0}, ["Minutes"]),
        ({"minutes": "x", "split_by_wait_time": "5;30"}, ["Minutes", "SplitByWaitTime"]),
        ({"start_date": "yesterday", "end_date": "2026-02-30"}, ["StartDate", "EndDate"]),
        ({"start_date": datetime(2001, 1, 1)}, ["StartDate", "oldest"]),
    ]:
        for resource in [world.workspace.statistics(), world.workspace.cumulative_statistics()]:
            error = refused(lambda: resource.fetch(**parameters))
            equal((error.status, error.code), (400, 20001))
            for name in names:
                assert name in error.msg, error.msg


def credentials(world):
    """Basic: AC… and its token, any user name, and who may not"""
    account = world.scenario.account
    for user in [account, OTHER_KEY]:
        equal(world.as_caller(user, "reader").real_time_statistics().fetch().total_tasks, 3)
    for user, name in [(account, "tt_wrong"), (STRANGER, "reader")]:
        error = refused(lambda: world.as_caller(user, name).real_time_statistics().fetch())
        equal((error.status, error.code), (401, 20003))
    error = refused(lambda: world.as_caller(OTHER_KEY, "feeder").real_time_statistics().fetch())
    equal((error.status, error.code), (403, 20403))
    error = refused(lambda: world.as_caller(STRANGER, "stranger").real_time_statistics().fetch())
    equal((error.status, error.code), (404, 20404))


CHECKS = [realtime, cumulative, statistics, errors, credentials]


def made_credentials(binary, folder):
    entries, tokens = [], {}
    account = "AC" + "1".rjust(32, "0")
    for name, whose, roles in [("feeder", "all", "ingest"), ("reader", account, "read"), ("stranger", STRANGER, "read")]:
        command = [binary, "credentials", "new", "--name", name, "--account", whose, "--roles", roles]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        entries.append(made.stdout)
        tokens[name] = made.stderr.split()[-1]
    file = Path(folder) / "credentials.toml"
    file.write_text("".join(entries), encoding="utf-8")
    return file, tokens


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tasktally-taskrouter-") as home:
        file, known_tokens = made_credentials(sys.argv[1], home)
        with Server(sys.argv[1]) as opened, Server(sys.argv[1], "--credentials", str(file)) as closed:
            sys.exit(run("twilio-python", CHECKS, opened, World(opened, closed, known_tokens)))
