#!/usr/bin/env python3
"""Prints the live figures of a workspace, a line a change, through restarts and broken connections.

    python3 watch.py WS0123456789abcdef0123456789abcdef [TASK_CHANNEL]

Every message is complete, so coming back needs no more than asking again.
"""

import sys
import time

import grpc
from google.protobuf.duration_pb2 import Duration

from connection import Backoff, Problem, channel, metadata
from tasktally.v1 import statistics_service_pb2, statistics_service_pb2_grpc


def show(figures):
    status = figures.tasks_by_status
    print(
        f"{figures.as_of.ToDatetime():%H:%M:%S} active={figures.total_tasks} pending={status.pending} "
        f"reserved={status.reserved} assigned={status.assigned} wrapping={status.wrapping} "
        f"longest_wait={figures.longest_task_waiting_age.ToTimedelta().total_seconds():.0f}s "
        f"workers={figures.total_workers}",
        flush=True,
    )


def main(workspace, task_channel=""):
    request = statistics_service_pb2.WatchRealtimeRequest(
        workspace_sid=workspace, task_channel=task_channel, heartbeat_interval=Duration(seconds=5)
    )
    backoff = Backoff()
    with channel() as line:
        service = statistics_service_pb2_grpc.StatisticsServiceStub(line)
        while True:
            try:
                for message in service.WatchRealtime(request, metadata=metadata()):
                    backoff.reset()
                    show(message.realtime)
            except grpc.RpcError as error:
                problem = Problem(error)
                if not problem.may_pass():
                    sys.exit(str(problem))
                pause = backoff.next_s(problem)
                print(f"stale: {problem.code.name} {problem.reason}; again in {pause:.1f} s", file=sys.stderr, flush=True)
                time.sleep(pause)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
