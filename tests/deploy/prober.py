"""prober.py PORT SERVICE TIMEOUT: one call of grpc.health.v1.Health/Check, as a kubelet's gRPC probe makes it: in plaintext,
without credentials. Prints the status, or the code of the error."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

port, service, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    try:
        request = health_pb2.HealthCheckRequest(service=service)
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    except grpc.RpcError as error:
        print(error.code().name)
