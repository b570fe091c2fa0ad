"""schemathesis against the binary given as the first argument: what it answers is what /v1/openapi.json says."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request

from reflected import INGEST, Client
from served import Server, equal, run

SECONDS = 20
# The same requests for every change.
SEED = "1"
# A description cannot say that Minutes goes with no StartDate, which days there are, or how long events are kept: what it
# calls valid may be refused.
NOT_CHECKED = "positive_data_acceptance"


def feeds(client, server):
    """there is something to ask for"""
    events = client.scenario.events()
    equal(client.call(INGEST, "IngestEvents", {"events": events})["accepted"], len(events))


def describes(client, server):
    """the description names the workspace that is there"""
    with urllib.request.urlopen(f"http://{server.address}/v1/openapi.json") as answer:
        description = json.load(answer)
    equal(description["openapi"], "3.1.0")
    equal(description["components"]["parameters"]["WorkspaceSid"]["example"], client.scenario.workspace)


def keeps_to_it(client, server):
    """schemathesis finds no answer that the description does not allow"""
    # The stream has no end to wait for.
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{server.address}/v1/openapi.json", "--no-color"]
    command += ["--exclude-path-regex", "Stream$", "--exclude-checks", NOT_CHECKED, "--max-time", str(SECONDS)]
    command += ["--phases", "examples,coverage,fuzzing", "--seed", SEED, "--request-timeout", "10"]
    with tempfile.TemporaryDirectory(prefix="tasktally-schemathesis-") as folder:
        ran = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=150)
    assert ran.returncode == 0, f"exit code {ran.returncode}\n{ran.stdout[-8000:]}{ran.stderr[-2000:]}"
    # A warning may speak of what was generated, too.
    lines = [line.split() for line in ran.stdout.splitlines() if "generated" in line]
    tested = next(words for words in lines if words[0].isdigit())
    # How many there is time for is the machine's affair.
    assert int(tested[0]) > 0, ran.stdout[-2000:]


CHECKS = [feeds, describes, keeps_to_it]

if __name__ == "__main__":
    with Server(sys.argv[1]) as served:
        sys.exit(run("openapi", CHECKS, served, Client(served), served))
