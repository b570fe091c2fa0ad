"""grpcurl and Python grpcio with credentials, against the binary given as the first argument."""

import base64
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from served import Scenario, Server, equal, run

GRPCURL = Path(__file__).resolve().parents[3] / ".tools/bin/grpcurl"
STATISTICS = "tasktally.v1.StatisticsService"
INGEST = "tasktally.v1.IngestService"
WAIT_S = 10
EXIT_PERMISSION_DENIED, EXIT_UNAUTHENTICATED = 64 + 7, 64 + 16


class People:
    """A credentials file made by the binary itself, and the tokens by name."""

    def __init__(self, binary, folder):
        self.file = Path(folder) / "credentials.toml"
        self.entries, self.tokens = {}, {}
        for name, account, roles in [
            ("feeder", "all", "ingest"),
            ("reader", "all", "read"),
            ("stranger", "AC" + "f" * 32, "read,ingest"),
        ]:
            command = [binary, "credentials", "new", "--name", name, "--account", account, "--roles", roles]
            made = subprocess.run(command, capture_output=True, text=True, check=True)
            self.entries[name], self.tokens[name] = made.stdout, made.stderr.split()[-1]
        self.write()

    def write(self):
        self.file.write_text("".join(self.entries.values()), encoding="utf-8")

    def bearer(self, name):
        return f"Bearer {self.tokens[name]}"


class Client:
    def __init__(self, server, people):
        self.server, self.people = server, people
        self.channel = grpc.insecure_channel(server.address)
        self.scenario = Scenario(server.address)
        self.pool = None

    def learn(self):
        """Reads the descriptors, with credentials."""
        shown = grpc.intercept_channel(self.channel, Shown(self.people.bearer("reader")))
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(shown))

    def method(self, service, name):
        method = self.pool.FindServiceByName(service).FindMethodByName(name)
        kind = "unary_stream" if method.server_streaming else "unary_unary"
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = getattr(self.channel, kind)(f"/{service}/{name}", request.SerializeToString, answer.FromString)
        return call, lambda content: ParseDict(content, request(), descriptor_pool=self.pool)

    def call(self, service, name, content, shown, timeout=WAIT_S):
        call, request = self.method(service, name)
        metadata = [("authorization", shown)] if shown else None
        return call(request(content), timeout=timeout, metadata=metadata)

    def refused(self, name, content, shown):
        try:
            self.call(STATISTICS, name, content, shown)
        except grpc.RpcError as error:
            return error.code(), reason(error)
        raise AssertionError(f"{name} answered")

    def grpcurl(self, *arguments, shown=None, data="{}", status=0):
        header = ["-H", f"authorization: {shown}"] if shown else []
        command = [GRPCURL, "-plaintext", *header, "-d", data, self.server.address, *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert answer.returncode == status, f"exit code {answer.returncode}: {answer.stderr}{answer.stdout}"
        return answer.stdout or answer.stderr


class Shown(grpc.StreamStreamClientInterceptor):
    def __init__(self, value):
        self.value = value

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=[("authorization", self.value)]), requests)


def reason(error):
    trailing = dict(error.trailing_metadata())
    for detail in status_pb2.Status.FromString(trailing["grpc-status-details-bin"]).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return None


def feeds(client):
    """grpcio with a bearer token reads descriptors and sends events"""
    client.learn()
    events = client.scenario.events()
    answer = client.call(INGEST, "IngestEvents", {"events": events}, client.people.bearer("feeder"))
    equal((answer.accepted, len(answer.rejected)), (len(events), 0))


def reads_by_grpcurl(client):
    """grpcurl -H 'authorization: …' reads, as Bearer and as Basic"""
    token = client.people.tokens["reader"]
    basic = "Basic " + base64.b64encode(f"anybody:{token}".encode()).decode()
    for shown in [client.people.bearer("reader"), basic]:
        data = json.dumps({"workspace_sid": client.scenario.workspace})
        answer = json.loads(client.grpcurl(f"{STATISTICS}/GetRealtime", shown=shown, data=data))
        equal(answer["workspaceSid"], client.scenario.workspace)


def is_refused(client):
    """both clients hear why they are refused"""
    wanted = {"workspace_sid": client.scenario.workspace}
    unauthenticated, denied = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
    equal(client.refused("GetRealtime", wanted, None), (unauthenticated, "CREDENTIALS_MISSING"))
    equal(client.refused("GetRealtime", wanted, "Bearer tt_wrong"), (unauthenticated, "CREDENTIALS_WRONG"))
    equal(client.refused("GetRealtime", wanted, client.people.bearer("feeder")), (denied, "ROLE_MISSING"))
    said = client.grpcurl(f"{STATISTICS}/ListWorkspaces", shown=client.people.bearer("feeder"), status=EXIT_PERMISSION_DENIED)
    assert "ROLE_MISSING" in said and "read" in said, said
    # Without credentials not even the descriptors are to be had; grpcurl says so with an exit code of its own.
    said = client.grpcurl("list", status=1)
    assert "authorization" in said or "credentials" in said, said
    equal(client.grpcurl("grpc.health.v1.Health/Check", shown=client.people.bearer("reader")).split(), ["{", '"status":', '"SERVING"', "}"])


def sees_its_own(client):
    """another account's workspace is not there"""
    shown = client.people.bearer("stranger")
    for workspace in [client.scenario.workspace, client.scenario.long("WS404")]:
        found = client.refused("GetRealtime", {"workspace_sid": workspace}, shown)
        equal(found, (grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND"))
    equal(len(client.call(STATISTICS, "ListWorkspaces", {}, shown).workspaces), 0)
    answer = client.call(INGEST, "IngestEvents", {"events": client.scenario.events()}, shown)
    equal({rejected.reason for rejected in answer.rejected}, {6})  # ACCOUNT_MISMATCH


def ends_with_its_credentials(client):
    """a watch ends with UNAUTHENTICATED when its credentials are taken away"""
    wanted = {"workspace_sid": client.scenario.workspace}
    # The time limit is far beyond the seconds that this takes.
    watch = client.call(STATISTICS, "WatchRealtime", wanted, client.people.bearer("reader"), timeout=60)
    next(watch)
    threading.Timer(0, lambda: (client.people.entries.pop("reader"), client.people.write())).start()
    try:
        for _ in watch:
            pass
    except grpc.RpcError as error:
        equal((error.code(), reason(error)), (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_ENDED"))
    else:
        raise AssertionError("it ended well")


CHECKS = [feeds, reads_by_grpcurl, is_refused, sees_its_own, ends_with_its_credentials]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tasktally-access-") as home:
        known = People(sys.argv[1], home)
        with Server(sys.argv[1], "--credentials", str(known.file)) as served:
            sys.exit(run("access", CHECKS, served, Client(served, known)))
