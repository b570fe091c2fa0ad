"""`benches/peers/run EVENTS`: the same events and the same questions in tasktally and its peers, as a table.

Ends with an error when an answer differs. No time can make it fail, but for the bound on a peer as a whole.
"""

import argparse
import json
import os
import pickle
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dataset
import service
from measure import ends_with_parent, say

PEERS = {"postgres": "PostgreSQL", "sqlite": "SQLite", "duck": "DuckDB", "clickhouse": "chdb"}
HERE = Path(__file__).resolve().parent
# chdb now and then aborts as it begins to load: the poller of a library within it finds its file closed.
TRIES = 5


def run_peer(name, work, bound_s):
    say(f"{PEERS[name]}: loading")
    command = [sys.executable, HERE / "peer.py", name, work]
    for left in reversed(range(TRIES)):
        done = subprocess.run(command, timeout=bound_s, stdout=sys.stderr, preexec_fn=ends_with_parent)
        # A wrong answer ends it with an exit code, and is never tried again.
        if done.returncode >= 0 or not left:
            break
        say(f"{PEERS[name]}: ended by {signal.Signals(-done.returncode).name}, once more from the start")
        shutil.rmtree(work / name, ignore_errors=True)
    done.check_returncode()
    return json.loads((work / f"{name}.json").read_text())


def shown_us(value):
    if value < 1000:
        return f"{value:.0f} µs"
    return f"{value / 1000:.2g} ms" if value < 10_000 else f"{value / 1000:,.0f} ms"


def table(ours, asked, peers):
    columns = [PEERS[name] for name in peers]
    lines = [
        f"| {ours['events']:,} events | tasktally | " + " | ".join(columns) + " | best peer ÷ tasktally |",
        "|---|" + "---:|" * (len(columns) + 2),
    ]

    def row(what, mine, theirs, shown):
        ratio = min(theirs) / mine if mine else float("inf")
        ratio = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"
        cells = [shown(value) for value in [mine, *theirs]] + [ratio]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")

    found = list(peers.values())
    row("durable, idempotent load, 1,000 a batch: CPU an event", ours["cpu_us"], [p["cpu_us"] for p in found], lambda v: f"{v:.2g} µs")
    row("… by the clock", ours["seconds"], [p["seconds"] for p in found], lambda v: f"{v:,.1f} s")
    row("on disk, an event", ours["bytes"], [p["bytes"] for p in found], lambda v: f"{v:,.0f} B")
    for question, times in asked["times"].items():
        for figure, word in (("median_us", "median"), ("p99_us", "p99")):
            theirs = [p["times"][question][figure] for p in found]
            row(f"{question}: {word}" if word == "median" else f"… {word}", times[figure], theirs, shown_us)
    return lines


def notes(ours, asked, peers, load):
    checked = next(iter(peers.values()))["checked"]
    yield f"All {checked} answers of each are equal to tasktally's, to the millisecond and the last task."
    yield (
        f"{ours['version']}, over gRPC on loopback, one call at a time from Python on a plain socket: the "
        f"server's CPU was {min(asked['cpu_us'].values()):.0f} to {max(asked['cpu_us'].values()):.0f} µs a question."
    )
    for peer in peers.values():
        yield f"{peer['version']}: {peer['settings']}."
    yield f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load average {load:.1f} as the run began."


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("events", type=int, help="about how many")
    arguments.add_argument("--binary", required=True, help="a release build of tasktally")
    arguments.add_argument("--work", type=Path, help="folder for what is made; default: a temporary one")
    arguments.add_argument("--peers", default=",".join(PEERS), help="which, of %(default)s")
    arguments.add_argument("--json", type=Path, help="file of measurements to add this one to, for the plot")
    arguments.add_argument("--bound", type=float, default=7200, help="seconds that one peer may take")
    given = arguments.parse_args()
    # Told to end, it takes its folder along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tasktally-peers-", dir=given.work) as folder:
        work = Path(folder)
        say("tasktally: loading")
        ours = service.load(given.binary, work, given.events)
        edges = dataset.make(given.binary, work / "tasktally", work, ours["events"])
        asked = service.ask(given.binary, work, ours["workspace"], edges)
        (work / "answers.pickle").write_bytes(pickle.dumps(asked))
        peers = {name: run_peer(name, work, given.bound) for name in given.peers.split(",")}
    print("\n".join(table(ours, asked, peers)))
    print()
    print("\n".join(f"- {note}" for note in notes(ours, asked, peers, load)))
    if given.json:
        keep(given.json, ours, asked, peers)


def keep(path, ours, asked, peers):
    """Replaces what the file has of as many events."""
    kept = json.loads(path.read_text()) if path.exists() else []
    medians = {"tasktally": {question: times["median_us"] for question, times in asked["times"].items()}}
    medians |= {PEERS[n]: {question: times["median_us"] for question, times in p["times"].items()} for n, p in peers.items()}
    near = [entry for entry in kept if not 0.8 < entry["events"] / ours["events"] < 1.25]
    near.append({"date": time.strftime("%Y-%m-%d"), "events": ours["events"], "median_us": medians})
    near.sort(key=lambda entry: entry["events"])
    path.write_text(json.dumps(near, indent=1) + "\n")


if __name__ == "__main__":
    main()
