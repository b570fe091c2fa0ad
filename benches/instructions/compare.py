#!/usr/bin/env python3
"""Instructions of the hot paths, counted by Callgrind, against those of benches/instructions/baseline.json.

    benches/instructions/compare.py [PATH...]   builds, counts, prints a table; fails where one takes over 5 % more
    benches/instructions/compare.py --write     renews the baseline
    benches/instructions/compare.py --runs 5    counts each path so often, and prints by how much they differ

Instructions hang on no clock, so a busy machine gives the same figures; but on the compilers, the C library and Valgrind,
so with others than the baseline's the figures are printed and not compared. Needs Valgrind."""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASELINE = Path(__file__).with_name("baseline.json")
MOST_PERCENT = 5
RENEW = "benches/instructions/compare.py --write"

# Counts from where the function of this name begins to where it ends, what it calls included.
VALGRIND = ["valgrind", "--tool=callgrind", "--toggle-collect=instructions::counted*", "--quiet"]


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def built():
    # With the crate's library beside it: alone it would have Cargo build all that both need anew, in another form.
    what = ["--lib", "--bin", "instructions", "-p", "tasktally", "-p", "tasktally-instructions"]
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", *what], cwd=ROOT, check=True)
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "instructions"


def tools():
    """What the figures hang on beside the sources."""
    rustc = said("rustc", "-vV")
    flags = Path("/proc/cpuinfo")
    # Valgrind shows programs a processor with or without AVX2, and nothing else of the one it runs on.
    vectors = "AVX2" if flags.exists() and " avx2 " in flags.read_text(encoding="ascii") else "no AVX2"
    return {
        "rustc": rustc.splitlines()[0].removeprefix("rustc "),
        "target": f"{re.search('host: (.*)', rustc).group(1)}, {vectors}",
        "cc": said("cc", "-dumpfullversion"),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": said("valgrind", "--version").removeprefix("valgrind-"),
    }


def count(binary, path, stock, keep):
    """Instructions a unit, and the unit. Each run has files of its own."""
    with tempfile.TemporaryDirectory(prefix="tasktally-instructions-") as folder:
        own = Path(folder) / "stock"
        shutil.copytree(stock, own)
        counts = Path(keep or folder) / f"callgrind.{path}"
        run = subprocess.run(
            [*VALGRIND, f"--callgrind-out-file={counts}", binary, path, own], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            sys.exit(f"{path} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
        units, unit = run.stdout.split()
        total = int(re.search(r"^totals: (\d+)", counts.read_text(encoding="utf-8"), re.MULTILINE).group(1))
    if total == 0:
        sys.exit(f"{path}: nothing was counted; is `counted` still a function of benches/instructions/main.rs?")
    return total / int(units), unit


def rounded(figure):
    return round(figure) if figure >= 100 else round(figure, 1)


def counted(binary, paths, runs, keep):
    """By path: the figures of all runs, and the unit."""
    with tempfile.TemporaryDirectory(prefix="tasktally-instructions-") as folder:
        subprocess.run([binary, "prepare", folder], check=True)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            jobs = {path: [pool.submit(count, binary, path, folder, keep) for _ in range(runs)] for path in paths}
        results = {path: [job.result() for job in jobs] for path, jobs in jobs.items()}
    return {path: ([figure for figure, _ in of], of[0][1]) for path, of in results.items()}


def dearer(found, before):
    """The paths that take more than they may."""
    most = {path: was["instructions"] * (1 + MOST_PERCENT / 100) for path, was in before.items()}
    return [path for path, (figures, _) in found.items() if statistics.median(figures) > most.get(path, float("inf"))]


def table(found, before):
    """Prints a row for each path; gives what is to be said of those that take more than they may, and those that take
    that much less."""
    more, less = [], []
    failed = dearer(found, before)
    print(f"| {'path':<20} | {'of one':<7} | {'baseline':>10} | {'now':>10} | {'change':>8} |")
    print(f"|{'-' * 22}|{'-' * 9}|{'-' * 11}:|{'-' * 11}:|{'-' * 9}:|")
    for path, (figures, unit) in found.items():
        now = statistics.median(figures)
        was = before.get(path, {}).get("instructions")
        change = f"{100 * (now / was - 1):+.1f} %" if was else ""
        spread = f"   runs differ by {100 * (max(figures) / min(figures) - 1):.2f} %" if len(figures) > 1 else ""
        print(f"| {path:<20} | {unit:<7} | {was or '':>10} | {rounded(now):>10} | {change:>8} |{spread}")
        if path in failed:
            more.append(f"{path}: {was} instructions of one {unit} before, {rounded(now)} now, {change}")
        if was and now < was * (1 - MOST_PERCENT / 100):
            less.append(path)
    return more, less


def write(found, made_with):
    paths = {
        path: {"instructions": rounded(statistics.median(figures)), "of_one": unit}
        for path, (figures, unit) in found.items()
    }
    BASELINE.write_text(json.dumps({"made_with": made_with, "paths": paths}, indent=2) + "\n", encoding="utf-8")
    print(f"written to {BASELINE.relative_to(ROOT)}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="these alone")
    parser.add_argument("--write", action="store_true", help="renew the baseline")
    parser.add_argument("--runs", type=int, help="how often each is counted, of which the median is taken: 1, or 3")
    parser.add_argument("--binary", type=Path, help="a build of benches/instructions, else it is built")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the counts, for callgrind_annotate")
    given = parser.parse_args()
    if given.write and given.paths:
        parser.error("the baseline is renewed as a whole")
    given.runs = given.runs or (3 if given.write else 1)
    return given


def main():
    sys.stdout.reconfigure(line_buffering=True)
    given = arguments()
    begun = time.monotonic()
    binary = given.binary or built()
    took_building = time.monotonic() - begun
    known = said(binary, "list").split()
    unknown = [path for path in given.paths if path not in known]
    if unknown:
        sys.exit(f"no such path: {', '.join(unknown)}; there are {', '.join(known)}")
    found = counted(binary, given.paths or known, given.runs, given.keep)
    made_with = tools()
    baseline = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    other = {name: value for name, value in made_with.items() if value != baseline.get("made_with", {}).get(name)}
    before = {} if other or given.write else baseline["paths"]
    doubted = dearer(found, before)
    if doubted:
        # Twice more, and the least of them: what a change costs is there each time, and what hash keys do is not.
        for path, (figures, unit) in counted(binary, doubted, 2, given.keep).items():
            found[path] = ([min(*figures, *found[path][0])], unit)
    more, less = table(found, before)
    print(f"built in {took_building:.0f} s, counted in {time.monotonic() - begun - took_building:.0f} s")
    if given.write:
        write(found, made_with)
        return
    for name, value in other.items():
        was = baseline.get("made_with", {}).get(name, "unknown")
        print(f"NOT COMPARED with the baseline: {name} is {value}, and was {was}")
    missing = [path for path in found if before and path not in before]
    if missing:
        sys.exit(f"the baseline does not know {', '.join(missing)}: {RENEW}")
    if less:
        print(f"over {MOST_PERCENT} % cheaper, so that the baseline should be renewed ({RENEW}): {', '.join(less)}")
    if more:
        print(f"FAILED: over {MOST_PERCENT} % more instructions than the baseline's")
        print("\n".join(f"  {one}" for one in more))
        sys.exit(f"if that is what it has to cost, renew the baseline and say why in the commit: {RENEW}")


if __name__ == "__main__":
    main()
