#!/usr/bin/env python3
"""Which share of the server's instructions counting takes, and which tracing, while it ingests an hour of a simulated
centre. Flags go to the server: `--trace-endpoint http://127.0.0.1:4317` has every call traced.

    benches/metrics/cost.py target/debug/tasktally [EVENTS_A_CALL] [TASKS_A_SECOND] [FLAGS...]

Needs Valgrind, which counts instructions function by function; so the figure hangs on no clock. A build without
optimisation keeps functions apart that an optimised one melts into each other."""

import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

# Whatever these take, all that they call included.
COUNTING = re.compile(
    r"(?:^|/)src/(?:server/traffic(?:/open)?|pipeline/counted|api/seats|measure)\.rs:(.*"
    r"(?:Counted::(?:accept|repeat|hold)|Census::count|Open::(?:of|hear_head|hear_frame|hear_end)|refused_by|Open as [a-z:]*Drop>::drop))"
)
# These wrap a call, and are counted without it.
WRAPPING = re.compile(r"(?:^|/)src/server/traffic\.rs:.*(poll|poll_frame|call|layer|clone|is_end_stream|size_hint)\b")
# What makes spans, and the thread that sends them; not the connection's own work, which runs among all else.
TRACING = re.compile(
    r":(.*(?:trace::call::(?:Traces::begin|Call::(?:enter|sent|end))|current::Entered as [a-z:]*Drop>::drop|trace::current::(?:time|Timing::done)"
    r"|passage::(?:begin|Passage::(?:into|tell))|followed::Followed::(?:begin|applied|published)"
    r"|BatchSpanProcessor::get_spans_and_export)(?:<.*>)?) \["
)
LINE = re.compile(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)")


def run(binary, folder, batch, rate, flags):
    """Gives where the counts are, and what the centre says that it sent."""
    counts = folder / "counts"
    server = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", binary, "--listen", "127.0.0.1:0"]
    server += ["--data-dir", folder / "data", "--partitions", "1", "--checkpoint-interval", "1h", *flags]
    with open(folder / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(server, stdout=subprocess.PIPE, stderr=log, text=True)
    address = process.stdout.readline().split()[-1]
    end = datetime.now(timezone.utc) - timedelta(minutes=10)
    start, until = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (end - timedelta(hours=1), end))
    centre = [binary, "simulate", "--start", start, "--until", until, "--rate", rate, "--batch", batch, "--in-flight", "4"]
    said = subprocess.run([*centre, "--address", address], capture_output=True, text=True, check=True).stdout
    process.terminate()
    process.wait(timeout=300)
    return counts, re.search(r"Settled .*", said).group()


def functions(counts, inclusive):
    command = ["callgrind_annotate", "--auto=no", f"--inclusive={inclusive}", "--threshold=100", counts]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = (LINE.match(line) for line in said.splitlines())
    return [(int(line.group(1).replace(",", "")), line.group(2)) for line in found if line]


def largest(inclusive, pattern):
    """One that has lines in two files is told twice, whole each time."""
    found = {}
    for count, name in inclusive:
        if match := pattern.search(name):
            found[match.group(1)] = max(count, found.get(match.group(1), 0))
    return found


def main(binary, batch="1000", rate="1", *flags):
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tasktally-cost-") as folder:
        counts, settled = run(binary, Path(folder), batch, rate, flags)
        inclusive = functions(counts, "yes")
        # A call's span begins and ends with its count.
        traced = sum(largest(inclusive, TRACING).values())
        own = sum(largest(inclusive, COUNTING).values())
        own += sum(count for count, name in functions(counts, "no") if WRAPPING.search(name))
    total = next(count for count, name in inclusive if "PROGRAM TOTALS" in name)
    print(settled)
    print(f"counting: {own:,} of {total:,} instructions: {100 * own / total:.2f} %")
    print(f"tracing: {traced:,}: {100 * traced / total:.2f} % ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main(*sys.argv[1:])
