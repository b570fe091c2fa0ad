"""The official Python client's OpenMetrics parser against the binary given as the first argument: what is told agrees
with what was sent, and with docs/metrics.md."""

import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reflected import INGEST, STATISTICS, Client
from served import Server, equal, run, written

ROOT = Path(__file__).resolve().parents[3]
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WAIT_S = 20
CONNECTIONS = 12
FLAGS = ["--max-watchers", "1", "--max-events-per-call", "100", "--max-workspaces", "1", "--checkpoint-interval", "1s"]


class Scraped(Server):
    """A server with a port for metrics, and what it told last."""

    def __init__(self, binary, *flags):
        self.told_types, self.told_labels = {}, {}
        super().__init__(binary, "--metrics-listen", "127.0.0.1:0", *flags)
        for line in self.process.stdout:
            if line.startswith("scrape "):
                self.url = line.split()[1]
                return
        raise AssertionError("the greeting names no port for metrics")

    def scrape(self):
        answer = requests.get(self.url, timeout=WAIT_S)
        equal((answer.status_code, answer.headers["content-type"]), (200, OPEN_METRICS))
        return self.parsed(answer.text)

    def parsed(self, text):
        """Samples by name and labels. The parser refuses what is no OpenMetrics, a missing `# EOF` among it."""
        samples = {}
        for family in text_string_to_metric_families(text):
            name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
            self.told_types[name] = family.type
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in samples, f"{key} twice"
                samples[key] = sample.value
                self.told_labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
        return samples

    def get(self, name, **labels):
        return self.scrape().get((name, tuple(sorted(labels.items()))))

    def becomes(self, expected, name, **labels):
        """Some figures follow within a second."""
        until = time.monotonic() + WAIT_S
        while (found := self.get(name, **labels)) != expected and time.monotonic() < until:
            time.sleep(0.05)
        equal((name, labels, found), (name, labels, expected))


class World:
    def __init__(self, server):
        self.server, self.client = server, Client(server)
        # All of it has happened, and within the last minute.
        self.client.scenario.base_ms = (int(time.time()) - 45) * 1000
        self.events = self.client.scenario.events()
        self.commits = self.calls = 0

    def ingest(self, events):
        answer = self.client.call(INGEST, "IngestEvents", {"events": events})
        self.calls += 1
        self.commits += answer["accepted"] > 0
        return answer

    def event(self, number, **changed):
        now = written(int(time.time() * 1000))
        event = {
            "sid": f"EV{number:032x}",
            "type": "EVENT_TYPE_TASK_CREATED",
            "timestamp": now,
            "task": {"sid": f"WT{number:032x}", "date_created": now, "task_channel_unique_name": "voice"}
            | {"assignment_status": "TASK_ASSIGNMENT_STATUS_PENDING"},
            "workspace_sid": self.client.scenario.workspace,
            "account_sid": self.client.scenario.account,
        } | changed
        return {name: value for name, value in event.items() if value is not None}


def is_open_metrics(world):
    """it is OpenMetrics, on a port of its own and nowhere else"""
    server = world.server
    text = requests.get(server.url, timeout=WAIT_S).text
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    server.scrape()
    equal(requests.get(f"http://{server.address}/metrics", timeout=WAIT_S).status_code, 404)
    for path in ["/", "/metrics/", "/v1/openapi.json"]:
        equal(requests.get(server.url.removesuffix("/metrics") + path, timeout=WAIT_S).status_code, 404)


def counts_events(world):
    """accepted, duplicate, late and rejected events are those that were sent"""
    server, number = world.server, len(world.events)
    equal(world.ingest(world.events)["accepted"], number)
    equal(world.ingest(world.events)["duplicates"], number)
    equal(server.get("tasktally_events_late_total"), 0)
    now_ms = int(time.time() * 1000)
    late = [world.event(1000, timestamp=written(now_ms - 61_000)), world.event(1001, timestamp=written(now_ms - 86_400_000))]
    equal(world.ingest(late)["accepted"], 2)
    bad = {
        "MISSING_FIELD": world.event(2000, timestamp=None),
        "MALFORMED_FIELD": world.event(2001, workspace_sid="WS1"),
        "UNKNOWN_TYPE": world.event(2002, type=1_000_000),
        "TOO_OLD": world.event(2003, timestamp=written(now_ms - 31 * 86_400_000)),
        "TOO_NEW": world.event(2004, timestamp=written(now_ms + 400_000)),
        "ACCOUNT_MISMATCH": world.event(2005, account_sid="AC" + "f" * 32),
        "LIMIT_EXCEEDED": world.event(2006, workspace_sid="WS" + "f" * 32),
    }
    reasons = [rejected["reason"] for rejected in world.ingest(list(bad.values()))["rejected"]]
    equal(reasons, ["REJECTION_REASON_" + reason for reason in bad])
    world.ingest([bad["TOO_NEW"]] * 2)
    for reason in bad:
        equal((reason, server.get("tasktally_events_rejected_total", reason=reason)), (reason, 3 if reason == "TOO_NEW" else 1))
    found = {name: server.get(f"tasktally_events_{name}_total") for name in ["accepted", "duplicate", "late"]}
    equal(found, {"accepted": number + 2, "duplicate": number, "late": 2})


def tells_the_state(world):
    """revision, newest event, workspaces, tasks, workers and retained events are those of the answers"""
    server, accepted = world.server, len(world.events) + 2
    realtime = world.client.ask("GetRealtime")[0]
    equal(server.get("tasktally_revision"), accepted)
    server.becomes(1, "tasktally_workspaces")
    server.becomes(accepted, "tasktally_retained_events")
    server.becomes(realtime["total_tasks"], "tasktally_active_tasks")
    server.becomes(realtime["total_workers"], "tasktally_workers")
    newest = world.client.scenario.base_ms / 1000 + 30
    equal(server.get("tasktally_newest_event_timestamp_seconds"), newest)
    before, behind = time.time(), server.get("tasktally_behind_seconds")
    assert before - newest - 0.01 <= behind <= time.time() - newest + 0.01, behind
    assert 0 < server.get("tasktally_retained_events_memory_bytes") < 1_000_000
    equal((server.get("tasktally_serving"), server.get("tasktally_recovery_progress_ratio")), (1, 1))
    equal((server.get("tasktally_queue_events"), server.get("tasktally_queue_questions")), (0, 0))


def counts_commits(world):
    """group commits are those of the calls that brought something new, and checkpoints follow"""
    server, accepted = world.server, len(world.events) + 2
    equal(server.get("tasktally_commit_events_count"), world.commits)
    equal(server.get("tasktally_commit_events_sum"), accepted)
    equal(server.get("tasktally_commit_duration_seconds_count"), world.commits)
    assert server.get("tasktally_commit_duration_seconds_sum") > 0
    equal((server.get("tasktally_commits_failed_total"), server.get("tasktally_journal_writable")), (0, 1))
    server.becomes(accepted, "tasktally_checkpoint_revision")
    assert server.get("tasktally_checkpoint_duration_seconds_count") >= 1
    assert 0 <= server.get("tasktally_checkpoint_age_seconds") < 60
    for file in ["journal", "wal", "checkpoint"]:
        path = {"journal": "journal.db", "wal": "journal.db-wal"}.get(file)
        told = server.get("tasktally_disk_usage_bytes", file=file)
        assert told > 0 and (path is None or told >= 4096), (file, told)
    assert server.get("tasktally_disk_free_bytes") > 0


def counts_calls(world):
    """calls count by method and status, those refused by a bound with its name"""
    server = world.server
    ingest = {"grpc_type": "unary", "grpc_service": INGEST, "grpc_method": "IngestEvents"}
    code, _, _ = world.client.failure(INGEST, "IngestEvents", {"events": [world.event(3000 + i) for i in range(101)]})
    equal(code, grpc.StatusCode.INVALID_ARGUMENT)
    equal(server.get("grpc_server_started_total", **ingest), world.calls + 1)
    equal(server.get("grpc_server_handled_total", **ingest, grpc_code="OK"), world.calls)
    equal(server.get("grpc_server_handled_total", **ingest, grpc_code="InvalidArgument"), 1)
    equal(server.get("grpc_server_handling_seconds_count", **ingest), world.calls + 1)
    assert 0 < server.get("grpc_server_handling_seconds_sum", **ingest) < 60
    equal(server.get("tasktally_refusals_total", limit="max_events_per_call"), 1)
    equal(server.get("tasktally_refusals_total", limit="max_workspaces"), 1)
    code, _, _ = world.client.failure(STATISTICS, "GetRealtime", {"workspace_sid": "WS" + "e" * 32})
    equal(code, grpc.StatusCode.NOT_FOUND)
    realtime = {"grpc_type": "unary", "grpc_service": STATISTICS, "grpc_method": "GetRealtime", "grpc_code": "NotFound"}
    equal(server.get("grpc_server_handled_total", **realtime), 1)


def counts_watches(world):
    """a watch is open, is told of the latest change and not of each, and is canceled; one more is refused"""
    server = world.server
    stream = {"grpc_service": STATISTICS, "grpc_method": "WatchRealtime"}
    watch = world.client.watch(min_interval="2s")
    next(watch)
    equal((server.get("tasktally_watchers"), server.get("tasktally_streams_open", **stream)), (1, 1))
    try:
        next(world.client.watch())
        raise AssertionError("a second watch was let in")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    equal(server.get("tasktally_refusals_total", limit="max_watchers"), 1)
    for number in range(4000, 4004):
        equal(world.ingest([world.event(number)])["accepted"], 1)
    next(watch)
    equal(server.get("tasktally_updates_sent_total"), 2)
    assert 1 <= server.get("tasktally_updates_conflated_total") <= 3
    watch.cancel()
    server.becomes(0, "tasktally_watchers")
    server.becomes(0, "tasktally_streams_open", **stream)
    ended = {"grpc_type": "server_stream", **stream}
    equal(server.get("grpc_server_handled_total", **ended, grpc_code="Canceled"), 1)
    equal(server.get("grpc_server_handled_total", **ended, grpc_code="ResourceExhausted"), 1)


def counts_http(world):
    """plain requests count by template and class, and a refused callback is a dead letter"""
    server, base = world.server, f"http://{world.server.address}"
    path = f"/v1/Workspaces/{world.client.scenario.workspace}/RealTimeStatistics"
    for _ in range(3):
        equal(requests.get(base + path, timeout=WAIT_S).status_code, 200)
    route = {"route": "/v1/Workspaces/{WorkspaceSid}/RealTimeStatistics", "method": "GET"}
    server.becomes(3, "http_requests_total", **route, code="2xx")
    equal(server.get("http_request_duration_seconds_count", **route), 3)
    equal(server.get("tasktally_dead_letters"), 0)
    refused = requests.post(base + "/v1/events/callback", data={"EventType": "task.created"}, timeout=WAIT_S)
    equal(refused.status_code, 400)
    server.becomes(1, "tasktally_dead_letters")
    server.becomes(1, "http_requests_total", route="/v1/events/callback", method="POST", code="4xx")
    with requests.get(base + path + "/Stream", stream=True, timeout=WAIT_S) as stream:
        equal(stream.status_code, 200)
        # A generator that is let go closes the answer.
        lines = stream.iter_lines()
        next(lines)
        equal((server.get("http_requests_in_flight", route=route["route"] + "/Stream", method="GET")), 1)
    server.becomes(0, "http_requests_in_flight", route=route["route"] + "/Stream", method="GET")


def grows_no_label(world):
    """methods and paths that nobody knows share one label, however many are made up"""
    server = world.server

    def make_up(number):
        call = world.client.channel.unary_unary(f"/made.Up{number}/Call{number}")
        try:
            call(b"", timeout=WAIT_S)
            raise AssertionError("an unknown method answered")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        for method in ["GET", f"MADEUP{number}"]:
            requests.request(method, f"http://{server.address}/made/up/{number}?a={number}", timeout=WAIT_S)
        requests.get(f"http://{server.address}/v1/Workspaces/WS{10_000 + number:032x}/Statistics", timeout=WAIT_S)

    make_up(0)
    server.becomes(1, "http_requests_total", route="unmatched", method="other", code="4xx")
    before = set(server.scrape())
    for number in range(1, 50):
        make_up(number)
    server.becomes(50, "http_requests_total", route="unmatched", method="other", code="4xx")
    equal(set(server.scrape()) - before, set())
    unknown = {"grpc_type": "unknown", "grpc_service": "unknown", "grpc_method": "unknown"}
    equal(server.get("grpc_server_handled_total", **unknown, grpc_code="Unimplemented"), 50)


def tells_the_process(world):
    """connections and the process are told, and a peer with too many is counted"""
    server = world.server
    assert server.get("tasktally_connections_open") >= 1
    host, port = server.address.split(":")
    sockets = [socket.create_connection((host, int(port)), timeout=WAIT_S) for _ in range(CONNECTIONS)]
    # Closed at once is one of them at least, since the clients of this test hold some as well.
    until, refused = time.monotonic() + WAIT_S, 0
    while refused == 0 and time.monotonic() < until:
        refused = server.get("tasktally_connections_refused_total")
    assert refused >= 1
    assert server.get("tasktally_refusals_total", limit="max_connections_per_peer") >= refused
    for one in sockets:
        one.close()
    assert abs(server.get("process_start_time_seconds") - time.time()) < 120
    assert server.get("process_cpu_seconds_total") > 0
    assert 1_000_000 < server.get("process_resident_memory_bytes") < server.get("process_virtual_memory_bytes")
    assert 3 < server.get("process_open_fds") < server.get("process_max_fds")
    version = subprocess.run([server.process.args[0], "--version"], capture_output=True, text=True, check=True)
    equal(server.get("tasktally_build_info", version=version.stdout.split()[1]), 1)


def survives_a_kill(world):
    """killed and started again, it tells from the first moment, and what the journal says in the end"""
    server = world.server
    before = {name: server.get(name) for name in ["tasktally_revision", "tasktally_newest_event_timestamp_seconds"]}
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(timeout=WAIT_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    url, command = f"http://{address}/metrics", list(server.process.args)
    command[command.index("--metrics-listen") + 1] = address
    server.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=server.log, text=True)
    scrapes, until = 0, time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            samples = server.parsed(requests.get(url, timeout=WAIT_S).text)
        except requests.ConnectionError:
            assert scrapes == 0, "the port went away again"
            continue
        scrapes += 1
        assert 0 <= samples[("tasktally_recovery_progress_ratio", ())] <= 1
        if samples[("tasktally_serving", ())] == 1:
            break
    server.url = url
    equal({name: server.get(name) for name in before}, before)
    server.becomes(before["tasktally_revision"], "tasktally_retained_events")
    equal(server.get("tasktally_events_accepted_total"), 0)


def tells_of_tls_and_callers(world):
    """the certificate's end, handshakes, and callers who were not let in"""
    with tempfile.TemporaryDirectory(prefix="tasktally-client-") as folder:
        key, cert, credentials = (Path(folder) / name for name in ["key.pem", "cert.pem", "credentials.toml"])
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "10"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True,
            capture_output=True,
        )
        made = subprocess.run(
            [world.server.process.args[0], "credentials", "new", "--name", "one", "--roles", "read"], capture_output=True, check=True
        )
        credentials.write_bytes(made.stdout)
        flags = ["--tls-cert", str(cert), "--tls-key", str(key), "--credentials", str(credentials)]
        with Scraped(world.server.process.args[0], *flags) as server:
            trusted = grpc.ssl_channel_credentials(cert.read_bytes())
            with grpc.secure_channel(server.address, trusted) as channel:
                call = channel.unary_unary(f"/{STATISTICS}/ListWorkspaces")
                for metadata in [[], [("authorization", "Bearer guess")]]:
                    try:
                        call(b"", timeout=WAIT_S, metadata=metadata)
                        raise AssertionError("a stranger was let in")
                    except grpc.RpcError as error:
                        equal(error.code(), grpc.StatusCode.UNAUTHENTICATED)
            equal(server.get("tasktally_callers_denied_total", reason="missing"), 1)
            equal(server.get("tasktally_callers_denied_total", reason="wrong"), 1)
            left = server.get("tasktally_tls_certificate_expiry_seconds")
            assert 9 * 86_400 < left < 10 * 86_400 + 60, left
            until = server.get("tasktally_tls_certificate_not_after_timestamp_seconds")
            equal(until, ssl.cert_time_to_seconds(ended(cert)))
            equal(server.get("tasktally_tls_handshakes_total"), 1)
            host, port = server.address.split(":")
            with socket.create_connection((host, int(port)), timeout=WAIT_S) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
                plain.recv(1)
            server.becomes(1, "tasktally_tls_handshakes_failed_total")
            world.server.told_labels |= {name: labels for name, labels in server.told_labels.items() if "_tls_" in name}


def ended(cert):
    shown = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", cert], capture_output=True, text=True, check=True)
    return shown.stdout.strip().removeprefix("notAfter=")


def is_documented(world):
    """docs/metrics.md has every metric with its type and labels, and no other"""
    # The page has other tables, too.
    row = r"^\| `([a-z_]+)` \| (counter|gauge|histogram|info) \|([^|]*)\|"
    rows = re.findall(row, (ROOT / "docs/metrics.md").read_text(encoding="utf-8"), re.M)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    equal(len(documented), len(rows))
    told = {name: (kind, world.server.told_labels.get(name)) for name, kind in world.server.told_types.items()}
    equal(sorted(set(told) ^ set(documented)), [])
    for name, (kind, labels) in told.items():
        assert labels is not None, f"{name} was never told of"
        equal((name, kind, labels), (name, *documented[name]))


if __name__ == "__main__":
    with Scraped(sys.argv[1], "--max-connections-per-peer", str(CONNECTIONS), *FLAGS) as server:
        checks = [is_open_metrics, counts_events, tells_the_state, counts_commits, counts_calls, counts_watches, counts_http]
        checks += [grows_no_label, tells_the_process, survives_a_kill, tells_of_tls_and_callers, is_documented]
        code = run("metrics", checks, server, World(server))
    sys.exit(code)
