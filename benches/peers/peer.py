"""One peer in a process of its own: `peer.py NAME WORK` loads WORK/events.duckdb, asks, checks every answer against
tasktally's in WORK/answers.pickle, and writes WORK/NAME.json."""

import importlib
import json
import pickle
import sys
import time
from pathlib import Path

import duckdb

from dataset import BATCH
from measure import Progress, say, time_calls
from questions import peer_cumulative, peer_realtime

# Batches that are made ready at a time, which is no part of what is measured.
READY = 100
# Batches that are sent once more at the end, and must change nothing.
AGAIN = 5


def load(peer, data):
    events, last = data.execute("SELECT count(*), max(batch) FROM event").fetchone()
    progress, seconds = Progress(peer.name, events), 0.0
    cpu = 0.0
    for first in range(0, last + 1, READY):
        ready = peer.prepare(data, first, min(first + READY, last + 1))
        cpu -= peer.cpu_s()
        began = time.monotonic()
        for batch in ready:
            peer.load(batch)
        seconds += time.monotonic() - began
        cpu += peer.cpu_s()
        peer.discard()
        progress.at(min((first + READY) * BATCH, events))
    cpu -= peer.cpu_s()
    began = time.monotonic()
    peer.finish()
    finish = time.monotonic() - began
    cpu += peer.cpu_s()
    for batch in peer.prepare(data, 0, min(AGAIN, last + 1)):
        peer.load(batch)
    peer.discard()
    peer.settle()
    held = peer.count()
    assert held == events, f"{peer.name} holds {held} events of {events} after some were sent again"
    return {
        "cpu_us": cpu / events * 1e6, "seconds": seconds + finish, "finish_s": finish,
        "bytes": peer.bytes() / events, "events": events,
    }


def check(name, question, found, expected):
    if found != expected:
        raise AssertionError(f"{name} differs from tasktally in {question}:\n  {name}: {found}\n  tasktally: {expected}")


def ask(peer, answers):
    """How long each question takes, once every answer is found equal."""
    checked = 1
    now_ms = answers["now_ms"]
    check(peer.name, "real time", peer_realtime(peer.realtime(now_ms), now_ms), answers["realtime"])
    for start, end, thresholds, expected in answers["edges"]:
        check(peer.name, f"{start} to {end}", peer_cumulative(peer.cumulative(thresholds)(start, end)), expected)
        checked += 1
    times = {"real time": time_calls([lambda: peer.realtime(now_ms)])}
    for question, asked in answers["cumulative"].items():
        calls = []
        ask_one = peer.cumulative(asked[0][2])
        for start, end, thresholds, expected in asked:
            window = f"{question} of {start} to {end}"
            check(peer.name, window, peer_cumulative(ask_one(start, end)), expected)
            calls.append(lambda start=start, end=end: ask_one(start, end))
            checked += 1
        times[question] = time_calls(calls)
        say(f"{peer.name}: {question}: {times[question]['median_us']:,.0f} µs, {checked} answers equal")
    return {"times": times, "checked": checked}


def main():
    name, work = sys.argv[1], Path(sys.argv[2])
    data = duckdb.connect(str(work / "events.duckdb"), read_only=True)
    answers = pickle.loads((work / "answers.pickle").read_bytes())
    peer = importlib.import_module(name).Peer(work / name)
    try:
        found = {"version": peer.version(), "settings": peer.settings} | load(peer, data)
        data.close()
        say(f"{peer.name}: {found['events']:,} events in {found['seconds']:.1f} s")
        found |= ask(peer, answers)
    finally:
        peer.close()
    (work / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
