#!/usr/bin/env python3
"""The chart, by Helm's own code: linted, rendered with several sets of values, each object validated against the
schemas of several Kubernetes; and what no schema knows: that the objects fit together and to the program.

chart.py BINARY; PYTHONPATH has what tests/deploy/*.txt list."""

import json
import re
import subprocess
import sys
from pathlib import Path

import helm_python
import kubernetes_validate
import kubernetes_validate.utils
import yaml
from helm_python import _native

import helm3
import told
from told import only, render, value_sets

BINARY = sys.argv[1]
# The kinds that are of no Kubernetes but of an operator: checked by `monitor_fits`, for no schema of theirs is here.
FOREIGN = {"ServiceMonitor"}
# Each is refused by the schema or by the chart, which says why: values, and words of the complaint.
REFUSED = [
    ({"server": {"shutdownTimeoutSeconds": "20s"}}, "shutdownTimeoutSeconds"),
    ({"server": {"shutdowntimeoutseconds": 20}}, "shutdowntimeoutseconds"),
    ({"traces": {"endpoint": "collector:4317"}}, "endpoint"),
    ({"traces": {"sample": 2}}, "sample"),
    ({"bounds": {"maxWatcher": 5}}, "maxWatcher"),
    ({"bounds": {"maxMessageBytes": "8MB"}}, "maxMessageBytes"),
    ({"bounds": {"bodyTimeout": 30}}, "bodyTimeout"),
    ({"bounds": {"maxWatchers": -1}}, "maxWatchers"),
    ({"replicaCount": 2}, "replicaCount"),
    ({"persistence": {"size": "10"}}, "size"),
    ({"persistence": {"accessModes": ["ReadWriteMany"]}}, "accessModes"),
    ({"image": {"digest": "sha256:short"}}, "digest"),
    ({"probes": {"liveness": {"service": "readiness"}}}, "liveness"),
    ({"securityContext": {"readOnlyRootFilesystem": False}}, "readOnlyRootFilesystem"),
    ({"securityContext": {"allowPrivilegeEscalation": True}}, "allowPrivilegeEscalation"),
    ({"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    ({"podSecurityContext": {"runAsNonRoot": False}}, "runAsNonRoot"),
    ({"service": {"port": 443}}, "port"),
    ({"terminationMarginSeconds": 0}, "terminationMarginSeconds"),
    ({"access": {"credentials": {"existingSecret": ""}}}, "nobody would be asked who they are"),
    ({"access": {"jwt": {"existingSecret": "keys"}}}, "issuer"),
    ({"tls": {"clientCa": {"existingSecret": "clients"}}}, "needs tls.existingSecret"),
    ({"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}}, "needs metrics.enabled"),
    ({"health": {"port": 50051}}, "must differ"),
]


def is_helm():
    """the renderer is Helm's own code, of the pinned versions"""
    four = build_of(Path(helm_python.__file__).parent / "lib/libhelm_c.so")
    assert "helm.sh/helm/v4\tv4.2.3\th1:JEejtPE04+SvyRomOfgRXVxyJ/lude7eShio30oQr0Y=" in four, four
    assert _native.helm_sdk_version() == "v4.2.3", _native.helm_sdk_version()
    three = build_of(helm3.program())
    assert "helm.sh/helm/v3\tv3.20.0\th1:2M+0qQwnbI1a2CxN7dbmfsWHg/MloeaFMnZCY56as50=" in three, three
    return "4.2.3 and 3.20.0"


def build_of(path):
    """What Go wrote into a program of the modules it is made of."""
    return "\n".join(re.findall(r"dep\t(helm\.sh/helm/[^\n]+)", path.read_bytes().decode("latin-1")))


def is_lint_free():
    """helm lint --strict finds nothing, by Helm 4 and Helm 3"""
    for name, values in value_sets().items():
        report = helm_python.chart.lint(told.CHART, values, strict=True)
        found = [item for item in report["messages"] if item["severity"] > 1]
        assert not found and not report["errors"], (name, report)
        three = helm3.call("helm_lint", paths=[str(told.CHART)], values=values, strict=True)
        worse = [item for item in json.loads(three)["messages"] if item["severity"] not in ("INFO", "UNKNOWN")]
        assert not worse, (name, worse)
    return ", ".join(value_sets())


def renders_alike():
    """Helm 3 renders the same objects as Helm 4"""
    for name, values in value_sets().items():
        arguments = {"release_name": told.RELEASE, "namespace": told.NAMESPACE, "kube_version": "v1.34.0"}
        text = helm3.call("helm_template", chart=str(told.CHART), values=values, **arguments)
        three = [item for item in yaml.safe_load_all(text) if item]
        # Helm 4's library names them by file, Helm 3 prints them in the order of installation, without hooks of tests.
        four = [item for item in render(values) if "helm.sh/hook" not in item["metadata"].get("annotations", {})]
        three = [item for item in three if "helm.sh/hook" not in item["metadata"].get("annotations", {})]
        by_name = lambda items: {(item["kind"], item["metadata"]["name"]): item for item in items}
        assert by_name(three) == by_name(four), name


def is_valid():
    """every object is valid, strictly, against every Kubernetes that there are schemas of"""
    versions, count = kubernetes_validate.utils.all_versions(), 0
    for name, values in value_sets().items():
        for item in render(values):
            if item["kind"] in FOREIGN:
                continue
            for version in versions:
                try:
                    kubernetes_validate.validate(item, version, strict=True)
                except Exception as error:
                    raise AssertionError(f"{name}, {version}, {item['kind']}: {error}") from error
                count += 1
    return f"{count} times, {versions[0]} to {versions[-1]}"


def strictness_works():
    """a field that Kubernetes does not know is noticed"""
    item = only(render(), "StatefulSet")
    item["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["grpc"]["servise"] = "liveness"
    try:
        kubernetes_validate.validate(item, "1.37", strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("was valid")


def bad_values_are_refused():
    """a bad value is refused, by name"""
    for values, words in REFUSED:
        try:
            render(values)
        except helm_python.HelmError as error:
            assert words in str(error), f"{values}: {error}"
        else:
            raise AssertionError(f"taken: {values}")
    return f"{len(REFUSED)} of them"


def bounds_are_the_programs():
    """every bound of `tasktally serve` is a value, of its type, and arrives as its variable"""
    schema = json.loads((told.CHART / "values.schema.json").read_text("utf-8"))
    listed = {name: item["$ref"].split("/")[-1] for name, item in schema["properties"]["bounds"]["properties"].items()}
    wanted = {}
    text = subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    flags = text[text.index("\nBounds on what callers can make the server hold:") :]
    for flag, kind in re.findall(r"^ +--([a-z-]+) <([A-Z]+)>", flags, re.M):
        first, *rest = flag.split("-")
        wanted[first + "".join(map(str.title, rest))] = {"N": "count", "BYTES": "bytes", "DURATION": "duration"}[kind]
    # What is missing goes into the schema's `bounds`, by its type.
    assert listed == wanted, {"missing": wanted.keys() - listed.keys(), "unknown": listed.keys() - wanted.keys()}
    sample = {"count": 12345678, "bytes": "8MiB", "duration": "30s"}
    found = environment(render({"bounds": {name: sample[kind] for name, kind in wanted.items()}}))
    for name, kind in wanted.items():
        variable = "TASKTALLY_" + re.sub(r"([A-Z])", r"_\1", name).upper()
        assert found[variable] == str(sample[kind]), (variable, found.get(variable))
        assert f"[env: {variable}=]" in text, variable
    return f"{len(wanted)} bounds"


def version_is_the_programs():
    """the chart's appVersion is the program's version"""
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    chart = yaml.safe_load((told.CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == said, (chart["appVersion"], said)


def variables_are_the_programs():
    """no variable is set that the program does not know"""
    text = subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"\[env: (TASKTALLY_[A-Z_]+)", text))
    for name, values in value_sets().items():
        unknown = {item for item in environment(render(values)) if item.startswith("TASKTALLY_")} - known
        assert not unknown, (name, unknown)


def environment(objects):
    container = only(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    names = [item["name"] for item in container["env"]]
    assert len(names) == len(set(names)), names
    return {item["name"]: item["value"] for item in container["env"]}


def objects_fit():
    """selectors, ports and names agree between the objects; the pod is closed as the standard `restricted` asks"""
    for name, values in value_sets().items():
        objects = render(values)
        stateful = only(objects, "StatefulSet")
        pod, labels = stateful["spec"]["template"]["spec"], stateful["spec"]["template"]["metadata"]["labels"]
        container = pod["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        has = lambda wanted: wanted.items() <= labels.items()
        assert has(stateful["spec"]["selector"]["matchLabels"])
        services = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Service"}
        assert stateful["spec"]["serviceName"] in services
        for service in services.values():
            assert has(service["spec"]["selector"]), name
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys(), name
        for item in objects:
            assert len(item["metadata"]["name"]) <= 63, item["metadata"]["name"]
            if item["kind"] == "PodDisruptionBudget":
                assert has(item["spec"]["selector"]["matchLabels"]), name
            if item["kind"] == "NetworkPolicy":
                assert has(item["spec"]["podSelector"]["matchLabels"]), name
                named = {port["port"] for rule in item["spec"]["ingress"] for port in rule["ports"]}
                assert named == ports.keys(), (name, named)
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        claims = {claim["metadata"]["name"] for claim in stateful["spec"].get("volumeClaimTemplates", [])}
        assert mounted == claims | {volume["name"] for volume in pod.get("volumes", [])}, name
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["grpc"]["port"] == ports["health"], name
        grace = int(environment(objects)["TASKTALLY_SHUTDOWN_TIMEOUT"].removesuffix("s"))
        assert pod["terminationGracePeriodSeconds"] >= grace + 10, name
        is_closed(pod, container)


def is_closed(pod, container):
    outer, inner = pod["securityContext"], container["securityContext"]
    assert outer["runAsNonRoot"] and outer["runAsUser"] > 0 and outer["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["capabilities"] == {"drop": ["ALL"]} and inner["allowPrivilegeEscalation"] is False
    assert inner["readOnlyRootFilesystem"] is True and pod["automountServiceAccountToken"] is False
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert all(volume.keys() & {"secret", "persistentVolumeClaim"} for volume in pod.get("volumes", []))


def monitor_fits():
    """the ServiceMonitor finds the port for metrics (its shape alone: the operator's schema is not here)"""
    objects = render(value_sets()["everything"])
    monitor = only(objects, "ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    # What the alerts look for.
    assert "tasktally" in monitor["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    assert monitor["spec"].keys() == {"jobLabel", "selector", "namespaceSelector", "endpoints"}
    endpoint = monitor["spec"]["endpoints"][0]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"} and endpoint["path"] == "/metrics"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [item for item in objects if item["kind"] == "Service" and wanted <= item["metadata"]["labels"].items()]
    assert len(found) == 1 and endpoint["port"] in {port["name"] for port in found[0]["spec"]["ports"]}


def notes_are_said():
    """the notes name the release's own objects, and warn of what is open"""
    with helm_python.Chart.load(told.CHART) as chart:
        notes = lambda values: chart.render(values, name="stats", namespace="floor")["tasktally/templates/NOTES.txt"]
        assert "statefulset/stats-tasktally" in notes({}) and "plaintext" in notes({})
        minimal = notes(value_sets()["minimal"])
        assert "may read and write everything" in minimal and "nothing is kept" in minimal
        assert "WARNING" not in notes(value_sets()["tls"])


CHECKS = [
    is_helm, is_lint_free, renders_alike, is_valid, strictness_works, bad_values_are_refused,
    bounds_are_the_programs, version_is_the_programs, variables_are_the_programs, objects_fit, monitor_fits,
    notes_are_said,
]
sys.exit(told.run("chart", CHECKS))
