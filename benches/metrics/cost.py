#!/usr/bin/env python3
"""Which share of the server's instructions counting takes, while it ingests an hour of a simulated centre.

    benches/metrics/cost.py target/debug/tasktally [EVENTS_A_CALL] [TASKS_A_SECOND]

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
    r"(?:^|/)src/(?:server/traffic|pipeline/counted|api/seats|measure)\.rs:(.*"
    r"(?:Counted::(?:accept|repeat|hold)|Census::count|Open::(?:of|hear_head|hear_frame|hear_end)|refused_by|Open as [a-z:]*Drop>::drop))"
)
# These wrap a call, and are counted without it.
WRAPPING = re.compile(r"(?:^|/)src/server/traffic\.rs:.*(poll|poll_frame|call|layer|clone|is_end_stream|size_hint)\b")
LINE = re.compile(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)")


def run(binary, folder, batch, rate):
    """Gives where the counts are, and what the centre says that it sent."""
    counts = folder / "counts"
    server = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", binary, "--listen", "127.0.0.1:0"]
    server += ["--data-dir", folder / "data", "--partitions", "1", "--checkpoint-interval", "1h"]
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


def main(binary, batch="1000", rate="1"):
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tasktally-cost-") as folder:
        counts, settled = run(binary, Path(folder), batch, rate)
        inclusive = functions(counts, "yes")
        counting = {}
        # One that has lines in two files is told twice, whole each time.
        for count, found in ((count, COUNTING.search(name)) for count, name in inclusive):
            if found:
                counting[found.group(1)] = max(count, counting.get(found.group(1), 0))
        own = sum(counting.values())
        own += sum(count for count, name in functions(counts, "no") if WRAPPING.search(name))
    total = next(count for count, name in inclusive if "PROGRAM TOTALS" in name)
    print(settled)
    print(f"{own:,} of {total:,} instructions: {100 * own / total:.2f} % ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main(*sys.argv[1:])
