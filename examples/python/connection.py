"""What the examples share: a channel from the environment, errors with their details, and when to try again.

TASKTALLY_ADDRESS  host:port, default 127.0.0.1:50051
TASKTALLY_TLS_CA   a PEM file of the authorities that signed the server's certificate; without it, plaintext
TASKTALLY_TOKEN    a token with the role that the call needs
"""

import os
import random
import sys
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2

sys.path.insert(0, str(Path(__file__).parent / "generated"))

# A connection that has died shows within half a minute, also while nothing is sent.
KEEPALIVE = [("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000)]


def channel():
    address = os.environ.get("TASKTALLY_ADDRESS", "127.0.0.1:50051")
    authorities = os.environ.get("TASKTALLY_TLS_CA")
    if authorities:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(Path(authorities).read_bytes()), KEEPALIVE)
    return grpc.insecure_channel(address, KEEPALIVE)


def metadata():
    token = os.environ.get("TASKTALLY_TOKEN")
    return [("authorization", f"Bearer {token}")] if token else []


class Problem:
    """An error of the service: its code, its machine-readable reason, every bad field, and when to come back."""

    def __init__(self, error: grpc.RpcError):
        self.code, self.message = error.code(), error.details()
        self.reason, self.values, self.fields, self.retry_after_s = "", {}, [], None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read(status_pb2.Status.FromString(value))

    def _read(self, status):
        for detail in status.details:
            info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason, self.values = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                self.fields = [(violation.field, violation.description) for violation in bad.field_violations]
            elif detail.Unpack(retry):
                self.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()

    def may_pass(self):
        """Whether the same call can succeed later. Every call of tasktally may be repeated, ingest too."""
        return self.retry_after_s is not None or self.code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )

    def __str__(self):
        values = "".join(f" {name}={value}" for name, value in self.values.items())
        fields = "".join(f"\n  {field}: {text}" for field, text in self.fields)
        return f"{self.code.name} {self.reason}{values}: {self.message}{fields}"


class Backoff:
    """Doubles from a tenth of a second to ten, with jitter, so that clients of one outage do not come back as one."""

    def __init__(self):
        self.tries = 0

    def reset(self):
        self.tries = 0

    def next_s(self, problem):
        """The server's own word, where it gave one, is the least."""
        most = min(10.0, 0.1 * 2**self.tries)
        self.tries += 1
        return max(problem.retry_after_s or 0.0, random.uniform(most / 2, most))
