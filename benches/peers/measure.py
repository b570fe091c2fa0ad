"""Clock, CPU of processes from /proc, bytes on disk, percentiles."""

import ctypes
import math
import os
import signal
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# A question is asked again until either is reached; CI shortens the time.
REPEATS = 2000
SECONDS = float(os.environ.get("TASKTALLY_PEERS_SECONDS", "4"))


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def ends_with_parent():
    """Run in a new process: it is told to end (SIGINT) when the one that started it is gone, however that ended."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


def stat(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_s(pid):
    """User and system time of a process, of its children, and of those that it has reaped, in seconds."""
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = stat(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(folder.name) == pid:
            total += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == pid:
            total += sum(int(field) for field in fields[11:13])
    return total / TICKS


def disk_bytes(folder):
    """What the files below a folder take."""
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file())


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def time_calls(calls, repeats=REPEATS, seconds=SECONDS):
    """Median and p99 in microseconds of calls that are asked in turns, each of which was asked before."""
    samples, until = [], time.monotonic() + seconds
    while len(samples) < repeats and (time.monotonic() < until or len(samples) < 3):
        call = calls[len(samples) % len(calls)]
        started = time.perf_counter_ns()
        call()
        samples.append((time.perf_counter_ns() - started) / 1000)
    return {"median_us": percentile(samples, 0.5), "p99_us": percentile(samples, 0.99), "times": len(samples)}


class Progress:
    """Says how far a load is, every few seconds."""

    def __init__(self, what, total):
        self.what, self.total, self.said = what, total, time.monotonic()

    def at(self, done):
        if time.monotonic() - self.said > 5:
            self.said = time.monotonic()
            say(f"{self.what}: {done:,} of {self.total:,}")
