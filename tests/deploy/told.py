"""What the checks of deploy/ share: one line for each check, and the chart as Helm renders it."""

import functools
import traceback
from pathlib import Path

import helm_python
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "deploy/helm/tasktally"
RELEASE, NAMESPACE = "stats", "floor"


def run(name, checks):
    """Runs every check, in order. Gives the exit code."""
    failed = 0
    for check in checks:
        said = check.__doc__.strip().splitlines()[0]
        try:
            more = check()
            print(f"ok      {name}: {said}" + (f" ({more})" if more else ""), flush=True)
        except Exception:  # whatever goes wrong is a failed check
            failed += 1
            print(f"FAILED  {name}: {said}\n{traceback.format_exc()}", flush=True)
    return min(failed, 1)


def render(values=None):
    """The chart's objects as Helm 4 renders them, without the notes."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values or {}))
        files = chart.render(values or {}, name=RELEASE, namespace=NAMESPACE)
    texts = [text for path, text in sorted(files.items()) if not path.endswith("NOTES.txt")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def only(objects, kind):
    """The one object of a kind."""
    found = [item for item in objects if item["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


@functools.cache
def value_sets():
    """Values that are rendered, by name: tests/deploy/values/*.yaml, and none."""
    folder = Path(__file__).parent / "values"
    sets = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.glob("*.yaml"))}
    return {"defaults": {}} | sets
