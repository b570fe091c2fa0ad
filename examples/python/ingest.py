#!/usr/bin/env python3
"""Sends events, one JSON object a line, in batches, and does not give up for what passes by itself.

    python3 ingest.py events.ndjson

Each event is accepted, a duplicate, or rejected with a reason; sending the same file again is always safe, so whatever is
left open (a time-out, a server that died in the middle) is simply sent again. Exit code 1: some were rejected.
"""

import itertools
import sys
import time

import grpc
from google.protobuf import json_format

from connection import Backoff, Problem, channel, metadata
from tasktally.v1 import event_pb2, ingest_service_pb2, ingest_service_pb2_grpc

# Above a thousand events a call nothing is gained; the server takes 10,000 and 4 MiB.
BATCH = 1_000
CALL_TIMEOUT_S = 10
GIVE_UP_AFTER_S = 300


def send(service, events):
    """The answer to one batch, however often it takes."""
    request = ingest_service_pb2.IngestEventsRequest(events=events)
    backoff, deadline = Backoff(), time.monotonic() + GIVE_UP_AFTER_S
    while True:
        try:
            return service.IngestEvents(request, timeout=CALL_TIMEOUT_S, metadata=metadata())
        except grpc.RpcError as error:
            problem = Problem(error)
            if not problem.may_pass() or time.monotonic() > deadline:
                sys.exit(f"not sent: {problem}")
            pause = backoff.next_s(problem)
            print(f"{problem.code.name} {problem.reason}: again in {pause:.1f} s", file=sys.stderr)
            time.sleep(pause)


def read(lines):
    """The events of these lines; ends the program at one that is none."""
    for number, text in enumerate(lines, start=1):
        try:
            if text.strip():
                yield json_format.Parse(text, event_pb2.Event())
        except json_format.ParseError as error:
            sys.exit(f"line {number} is no event: {error}; every batch before it is sent")


def main(path):
    try:
        lines = sys.stdin if path == "-" else open(path, encoding="utf-8")
    except OSError as error:
        sys.exit(f"cannot read {path}: {error.strerror}")
    with lines, channel() as line:
        service = ingest_service_pb2_grpc.IngestServiceStub(line)
        events = read(lines)
        accepted = duplicates = rejected = before = 0
        while batch := list(itertools.islice(events, BATCH)):
            answer = send(service, batch)
            accepted += answer.accepted
            duplicates += answer.duplicates
            for event in answer.rejected:
                rejected += 1
                reason = ingest_service_pb2.RejectionReason.Name(event.reason).removeprefix("REJECTION_REASON_")
                where = f"event {before + event.index + 1} ({event.event_sid})"
                print(f"{where}: {reason} {event.field}: {event.message}", file=sys.stderr)
            before += len(batch)
    print(f"accepted {accepted}, duplicates {duplicates}, rejected {rejected}")
    return 1 if rejected else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
