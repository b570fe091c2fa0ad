"""Traces with others' tools, against the binary given as the first argument: callers that OpenTelemetry's own Python
libraries instrument, and a collector (rotel) that takes our spans, and hands them on to a receiver of the official proto."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import requests
import rotel
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.propagate import inject
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reflected import INGEST, STATISTICS, Client
from served import Server, equal, run

WAIT_S = 30
PARTS = ["decode", "commit", "apply", "publish"]


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """What the collector hands on."""

    def __init__(self):
        self.lock, self.spans, self.resources = threading.Lock(), [], []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):
        with self.lock:
            for of_resource in request.resource_spans:
                self.resources.append(told(of_resource.resource.attributes))
                self.spans += [span for of_scope in of_resource.scope_spans for span in of_scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace_id, spans):
        """The spans of a trace by their names, once there are so many."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            with self.lock:
                found = [span for span in self.spans if span.trace_id == trace_id.to_bytes(16, "big")]
            # The client asks for descriptions within its span.
            found = [span for span in found if not span.name.startswith("grpc.reflection.")]
            if len(found) >= spans:
                equal(len(found), spans)
                return {span.name: span for span in found}
            time.sleep(0.05)
        raise AssertionError(f"{len(found)} of {spans} spans of {trace_id:032x}: {[span.name for span in found]}")


class Collector:
    """rotel, which takes OTLP on a port of its own and hands on to the receiver."""

    def __init__(self, receiver):
        self.folder = tempfile.TemporaryDirectory(prefix="tasktally-collector-")
        self.log = open(Path(self.folder.name) / "log", "w+", encoding="utf-8")
        grpc_port, http_port = free_ports(2)
        self.url = f"http://127.0.0.1:{grpc_port}"
        program = Path(rotel.__file__).parent / "rotel-agent"
        command = [program, "start", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}"]
        command += ["--otlp-http-endpoint", f"127.0.0.1:{http_port}", "--pid-file", Path(self.folder.name) / "pid"]
        command += ["--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{receiver.port}"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            assert self.process.poll() is None, self.said()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", grpc_port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the collector does not listen:\n{self.said()}")

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


def free_ports(number):
    """That nobody listens on now."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def told(attributes):
    """Attributes as a dictionary of texts and numbers."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class World:
    def __init__(self, server, receiver):
        self.server, self.receiver, self.own = server, receiver, InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.own))
        trace.set_tracer_provider(provider)
        GrpcInstrumentorClient().instrument()
        self.tracer, self.client = trace.get_tracer("test"), Client(server)

    def within(self, name, action):
        """Does it within a span; answers the spans that the caller's own libraries made: that one last."""
        self.own.clear()
        with self.tracer.start_as_current_span(name):
            action()
        return self.own.get_finished_spans()


def follows(world):
    """a call's span has the parent that the caller's own library made for it, and its parts below"""
    events = world.client.scenario.events()
    send = lambda: equal(world.client.call(INGEST, "IngestEvents", {"events": events})["accepted"], len(events))
    *calls, outer = world.within("pump", send)
    call = next(span for span in calls if span.name.endswith("IngestEvents"))
    spans = world.receiver.trace(outer.context.trace_id, 6)
    ours = spans["tasktally.v1.IngestService/IngestEvents"]
    equal(int.from_bytes(ours.parent_span_id, "big"), call.context.span_id)
    equal(call.parent.span_id, outer.context.span_id)
    equal(ours.kind, Span.SPAN_KIND_SERVER)
    attributes = told(ours.attributes)
    equal((attributes["rpc.system"], attributes["rpc.grpc.status_code"]), ("grpc", 0))
    for name in PARTS:
        equal((name, spans[name].parent_span_id), (name, ours.span_id))
    equal(spans["append"].parent_span_id, spans["commit"].span_id)
    equal(told(spans["commit"].attributes)["tasktally.group.events"], len(events))
    equal(told(spans["decode"].attributes)["tasktally.events"], len(events))


def is_within(world):
    """the callee's times lie within the caller's"""
    workspace = world.client.scenario.workspace
    ask = lambda: world.client.call(STATISTICS, "GetRealtime", {"workspace_sid": workspace})
    *calls, outer = world.within("board", ask)
    call = next(span for span in calls if span.name.endswith("GetRealtime"))
    [ours] = world.receiver.trace(outer.context.trace_id, 1).values()
    assert call.start_time <= ours.start_time_unix_nano <= ours.end_time_unix_nano <= call.end_time, (call, ours)


def is_followed_over_http(world):
    """the libraries' propagator is understood over HTTP"""

    def ask():
        headers = {}
        inject(headers)
        path = f"/v1/Workspaces/{world.client.scenario.workspace}/Statistics"
        equal(requests.get(f"http://{world.server.address}{path}", headers=headers, timeout=WAIT_S).status_code, 200)

    [outer] = world.within("report", ask)
    [ours] = world.receiver.trace(outer.context.trace_id, 1).values()
    equal(int.from_bytes(ours.parent_span_id, "big"), outer.context.span_id)
    equal(ours.name, "GET /v1/Workspaces/{WorkspaceSid}/Statistics")


def names_itself(world):
    """the collector hears who it is; OTEL_RESOURCE_ATTRIBUTES goes along"""
    resource = world.receiver.resources[-1]
    version = subprocess.run([world.server.binary, "--version"], capture_output=True, text=True, check=True).stdout
    equal((resource["service.name"], resource["service.version"]), ("tasktally", version.split()[1]))
    equal((len(resource["service.instance.id"]), resource["deployment.environment.name"]), (32, "test"))


def logs_ids(world):
    """the log's lines about the call have its trace"""
    forget = {"workspace_sid": world.client.scenario.workspace}
    *_, outer = world.within("clean", lambda: world.client.call("tasktally.v1.AdminService", "ForgetWorkspace", forget))
    [ours] = world.receiver.trace(outer.context.trace_id, 1).values()
    log = Path(world.server.log.name).read_text(encoding="utf-8")
    [line] = [json.loads(line) for line in log.splitlines() if "forgot a workspace" in line]
    equal((line["trace_id"], line["span_id"]), (f"{outer.context.trace_id:032x}", ours.span_id.hex()))


CHECKS = [follows, is_within, is_followed_over_http, names_itself, logs_ids]

if __name__ == "__main__":
    receiver = Receiver()
    collector = Collector(receiver)
    # The server takes it over as it starts.
    os.environ["OTEL_RESOURCE_ATTRIBUTES"] = "deployment.environment.name=test"
    flags = ["--trace-endpoint", collector.url, "--trace-sample", "0", "--log-format", "json", "--partitions", "1"]
    try:
        with Server(sys.argv[1], *flags) as server:
            code = run("traces", CHECKS, server, World(server, receiver))
    finally:
        collector.end()
        receiver.server.stop(0)
    sys.exit(code)
