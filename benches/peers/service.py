"""tasktally itself: the real binary with its data on disk, loaded and asked over gRPC."""

import json
import os
import re
import subprocess
import time

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from measure import cpu_s, disk_bytes, ends_with_parent, say, time_calls
from questions import THRESHOLDS, cumulative, cumulative_answer, realtime_answer
from wire import Connection

STATISTICS = "tasktally.v1.StatisticsService"
SPAN_S = 28 * 86_400
# What a task and the workers around it make in the simulated centre, about.
EVENTS_A_TASK = 14.52
# Tasks that are put in the way of the real-time figures.
RUSH = 300


class Server:
    def __init__(self, binary, data_dir):
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir", str(data_dir)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=ends_with_parent)
        self.address = None
        for line in self.process.stdout:
            if found := re.search(r" listens on (\S+)$", line.strip()):
                self.address = found.group(1)
            # The last line of the greeting: it serves.
            if "ListWorkspaces" in line:
                return
        raise RuntimeError("tasktally ended before it served")

    def stop(self):
        """SIGTERM; answers its CPU up to its end, checkpoint and all."""
        self.process.terminate()
        _, status, usage = os.wait4(self.process.pid, 0)
        assert status == 0, f"tasktally ended with {status}"
        self.process.returncode = 0
        return usage.ru_utime + usage.ru_stime


def simulate(binary, address, start, until, events):
    rate = max(events / SPAN_S / EVENTS_A_TASK, 0.0001)
    command = [binary, "simulate", "--address", f"http://{address}", "--start", moment(start)]
    command += ["--until", moment(until)]
    command += ["--rate", f"{rate:.6f}", "--workers", str(max(5, int(rate * 500 + 1))), "--batch", "1000"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    found = {word: int(n.replace(",", "")) for word, n in re.findall(r"^  (accepted|duplicates|rejected) +([\d,]+)$", said, re.M)}
    assert found["rejected"] == 0, said
    found["workspace"], found["account"] = re.search(r"workspace (WS\w+) of account (AC\w+)", said).groups()
    return found


def rush(workspace, account, now):
    """Tasks of every status and priority, as lines for `tasktally ingest`: a centre as small as one that made few events
    has hardly any at work at the moment it is asked. The last ones end ahead of the clock by what is allowed, so that
    they have just ended for as long as the run of a few events takes."""
    steps = ["TASK_CREATED PENDING", "RESERVATION_CREATED RESERVED", "RESERVATION_ACCEPTED ASSIGNED", "TASK_WRAPUP WRAPPING"]
    ends = ["TASK_COMPLETED COMPLETED", "TASK_CANCELED CANCELED", "TASK_DELETED CANCELED", "TASK_SYSTEM_DELETED COMPLETED"]
    for number in range(RUSH):
        created = now - 1200 + number
        life = [(step, created + at * 7) for at, step in enumerate(steps[: number % 4 + 1])]
        if number % 3 == 0:
            life.append((ends[number // 3 % len(ends)], now + 240 - number % 60))
        for version, (step, second) in enumerate(life):
            kind, status = step.split()
            event = {
                "sid": f"EV{number:024x}{version:08x}", "type": f"EVENT_TYPE_{kind}", "accountSid": account,
                "workspaceSid": workspace, "timestamp": f"{moment(second)[:-1]}.{number:03}Z",
                "task": {
                    "sid": f"WT{number * 7919:032x}", "dateCreated": moment(created), "priority": number % 7 - 3,
                    "assignmentStatus": f"TASK_ASSIGNMENT_STATUS_{status}", "version": str(version),
                    "taskChannelUniqueName": "voice",
                },
            }
            if kind.startswith("RESERVATION"):
                event["reservation"] = {"sid": f"WR{number:032x}"}
            yield json.dumps(event)


def moment(second):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def load(binary, work, events):
    """Loads the simulated centre; then its first day once more, which must change nothing."""
    data_dir = work / "tasktally"
    start = int(time.time()) - SPAN_S
    server = Server(binary, data_dir)
    before = cpu_s(server.process.pid)
    began = time.monotonic()
    sent = simulate(binary, server.address, start, start + SPAN_S - 1, events)
    seconds = time.monotonic() - began
    during = cpu_s(server.process.pid) - before
    lines = "\n".join(rush(sent["workspace"], sent["account"], start + SPAN_S))
    command = [binary, "ingest", "--address", f"http://{server.address}", "-"]
    subprocess.run(command, input=lines, text=True, check=True, capture_output=True)
    cpu = server.stop() - before
    accepted = sent["accepted"] + lines.count("\n") + 1
    size = disk_bytes(data_dir)
    say(f"tasktally: {accepted:,} events in {seconds:.1f} s")
    server = Server(binary, data_dir)
    again = simulate(binary, server.address, start, start + 86_400, events)
    assert again["accepted"] == 0 and again["duplicates"] > 0, f"sent again: {again}"
    server.stop()
    return {
        "events": accepted, "workspace": sent["workspace"], "cpu_us": cpu / accepted * 1e6,
        "cpu_load_us": during / accepted * 1e6, "seconds": seconds, "bytes": size / accepted,
        "version": subprocess.run([binary, "--version"], text=True, capture_output=True, check=True).stdout.strip(),
    }


class Client:
    """Asks by reflection. What is timed is bytes to bytes: the reading and writing of messages is no part of it."""

    def __init__(self, address):
        channel = grpc.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.wire = Connection(address)

    def call(self, name, **content):
        method = self.pool.FindServiceByName(STATISTICS).FindMethodByName(name)
        packed = GetMessageClass(method.input_type)(**content).SerializeToString()
        request = self.wire.request(f"/{STATISTICS}/{name}", packed)
        return (lambda: self.wire.call(request)), GetMessageClass(method.output_type).FromString


def ask(binary, work, workspace, edges):
    """The questions with their answers, and how long each takes; and the answers alone for windows with such edges."""
    server = Server(binary, work / "tasktally")
    try:
        client = Client(server.address)
        found = {"edges": [], "cumulative": {}, "times": {}, "cpu_us": {}}
        call, read = client.call("GetRealtime", workspace_sid=workspace)
        message = read(call())
        found["now_ms"] = message.as_of.seconds * 1000 + message.as_of.nanos // 1_000_000
        found["realtime"] = realtime_answer(message)
        measure(found, "real time", [call], server)

        def answer(start, end, thresholds):
            window = {"start_time": {"seconds": start}, "end_time": {"seconds": end}, "split_by_wait_time": thresholds}
            call, read = client.call("GetCumulative", workspace_sid=workspace, **window)
            return call, (start, end, thresholds, cumulative_answer(read(call()), thresholds))

        found["edges"] = [answer(start, end, THRESHOLDS)[1] for start, end in edges]
        for name, questions in cumulative(int(time.time())).items():
            calls, found["cumulative"][name] = zip(*(answer(*question) for question in questions))
            measure(found, name, calls, server)
        return found
    finally:
        server.stop()


def measure(found, name, calls, server):
    before = cpu_s(server.process.pid)
    found["times"][name] = time_calls(calls)
    asked = found["times"][name]["times"]
    found["cpu_us"][name] = (cpu_s(server.process.pid) - before) / asked * 1e6
