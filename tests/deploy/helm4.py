"""`helm lint` and `helm template` for docs/deploy.md, by Helm 4's library: the flags that the page uses."""

import argparse
import sys
from pathlib import Path

import helm_python

parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command", required=True)
for name in ("lint", "template"):
    command = commands.add_parser(name)
    if name == "template":
        command.add_argument("release")
    command.add_argument("chart")
    command.add_argument("--values", type=Path)
    command.add_argument("--namespace", default="default")
    command.add_argument("--strict", action="store_true")
asked = parser.parse_args()
values = helm_python.chart.values_from_yaml(asked.values.read_text("utf-8")) if asked.values else {}
if asked.command == "lint":
    report = helm_python.chart.lint(asked.chart, values, strict=asked.strict)
    print(report)
    sys.exit(any(message["severity"] > 1 for message in report["messages"]) or bool(report["errors"]))
with helm_python.Chart.load(asked.chart) as chart:
    for path, text in chart.render(values, name=asked.release, namespace=asked.namespace).items():
        if not path.endswith("NOTES.txt"):
            print(f"---\n# Source: {path}\n{text}")
