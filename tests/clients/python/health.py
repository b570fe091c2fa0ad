"""The official Python client of grpc.health.v1 against the binary given as the first argument."""

import sys
import threading

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from served import Server, equal, run

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
# What routers and probes ask for; all but the last follow the server's state.
NAMES = ["", "tasktally.v1.StatisticsService", "tasktally.v1.IngestService", "tasktally.v1.AdminService", "readiness", "liveness"]
WAIT_S = 10


def serves(stub, _server):
    """the whole, each service, readiness and liveness are SERVING"""
    for name in NAMES:
        equal((name, stub.Check(HealthCheckRequest(service=name), timeout=WAIT_S).status), (name, SERVING))


def knows_no_other(stub, _server):
    """an unknown name is NOT_FOUND for Check"""
    try:
        answer = stub.Check(HealthCheckRequest(service="nobody"), timeout=WAIT_S)
        raise AssertionError(f"answered {answer}")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.NOT_FOUND)


def says_goodbye(stub, server):
    """at SIGTERM watches of all names but liveness see NOT_SERVING before they end, and the server exits 0"""
    watches = {name: stub.Watch(HealthCheckRequest(service=name), timeout=WAIT_S) for name in NAMES}
    for name, watch in watches.items():
        equal((name, next(watch).status), (name, SERVING))
    seen = {}

    def follow(name, watch):
        seen[name] = []
        try:
            for answer in watch:
                seen[name].append(answer.status)
        except grpc.RpcError as error:
            seen[name].append(error.code())

    threads = [threading.Thread(target=follow, args=item) for item in watches.items()]
    for thread in threads:
        thread.start()
    server.terminate()
    for thread in threads:
        thread.join(WAIT_S)
    for name in NAMES:
        expected = [] if name == "liveness" else [NOT_SERVING]
        equal((name, [status for status in seen[name] if status != grpc.StatusCode.UNAVAILABLE]), (name, expected))
    equal(server.exit_code(), 0)


if __name__ == "__main__":
    with Server(sys.argv[1]) as server, grpc.insecure_channel(server.address) as channel:
        code = run("health", [serves, knows_no_other, says_goodbye], server, HealthStub(channel), server)
    sys.exit(code)
