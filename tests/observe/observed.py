"""A real Prometheus against a real server under load: every query of the dashboard returns data, every alert can be
evaluated, documented, and is shown firing and not firing. Arguments: the binary, and the folder of Prometheus' programs."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
import yaml

from metrics import ROOT, Scraped
from served import equal, run

DASHBOARD = ROOT / "deploy/grafana/tasktally.json"
RULES = ROOT / "deploy/prometheus/tasktally.rules.yml"
TESTS = ROOT / "deploy/prometheus/tasktally.test.yml"
# What Grafana would fill in: the time over which rates are formed, and the choices of its variables.
FILLED_IN = {"$__rate_interval": "8s", "$job": ".*", "$instance": ".*"}
WAIT_S = 45
METRIC = re.compile(r"\b(?:tasktally|grpc_server|http_request|http_requests|process)_[a-z_]+\b|\bup\b")


class Prometheus:
    """On a free port, in a folder of its own."""

    def __init__(self, programs, folder, target):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "tasktally", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [programs / "prometheus", "--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "series"]
        command += ["--web.listen-address", self.address, "--log.level", "warn"]
        self.process = subprocess.Popen(command)

    def ask(self, path, **parameters):
        answer = requests.get(f"http://{self.address}/api/v1/{path}", params=parameters, timeout=WAIT_S).json()
        equal((answer["status"], answer.get("error"), answer.get("warnings")), ("success", None, None))
        return answer["data"]

    def query(self, query):
        return self.ask("query", query=query)["result"]

    def becomes_true(self, query):
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            try:
                if self.query(query):
                    return
            except (requests.ConnectionError, requests.JSONDecodeError):
                # It does not listen yet, or is not ready.
                equal(self.process.poll(), None)
            time.sleep(0.2)
        raise AssertionError(f"{query} never became true")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Load:
    """A centre, a watcher and some requests over HTTP, for as long as this is open."""

    def __init__(self, binary, server, cert):
        self.client = ["--address", f"https://{server.address}", "--tls-ca", str(cert)]
        centre = [binary, "simulate", "--rate", "20", "--backfill", "1m", "--live", "--duplicates", "0.1", *self.client]
        self.processes = [subprocess.Popen(centre, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)]
        for line in self.processes[0].stdout:
            if found := re.search(r"WS[0-9a-f]{32}", line):
                self.workspace = found.group()
                break
        # Nobody is to be blocked by what is read no further.
        self.processes.append(subprocess.Popen(["cat"], stdin=self.processes[0].stdout, stdout=subprocess.DEVNULL))
        self.url, self.cert = f"https://{server.address}/v1/Workspaces/{self.workspace}/Statistics", str(cert)
        until = time.monotonic() + WAIT_S
        while self.request() != 200 and time.monotonic() < until:
            time.sleep(0.1)
        watch = [binary, "watch", self.workspace, "--output", "json", *self.client]
        self.processes.append(subprocess.Popen(watch, stdout=subprocess.DEVNULL))

    def request(self):
        return requests.get(self.url, verify=self.cert, timeout=WAIT_S).status_code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def queries():
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in FILLED_IN.items():
                query = query.replace(name, value)
            assert "$" not in query, f"{panel['title']}: {query}"
            yield panel["title"], query


def alerts():
    return yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]


def dashboard_has_data(prometheus, load):
    """every query of the dashboard returns data"""
    # Two samples of all that is slow to begin: a checkpoint, and what a watch and HTTP requests bring.
    prometheus.becomes_true("count_over_time(tasktally_checkpoint_duration_seconds_count[1m]) >= 12")
    prometheus.becomes_true("rate(tasktally_updates_sent_total[8s]) > 0")
    prometheus.becomes_true("rate(tasktally_checkpoint_duration_seconds_count[8s]) > 0")
    count = 0
    for title, query in queries():
        equal(load.request(), 200)
        samples, until = prometheus.query(query), time.monotonic() + 10
        while (not samples or any(sample["value"][1] == "NaN" for sample in samples)) and time.monotonic() < until:
            time.sleep(0.5)
            equal(load.request(), 200)
            samples = prometheus.query(query)
        assert samples, f"{title}: no data of {query}"
        assert all(sample["value"][1] != "NaN" for sample in samples), f"{title}: {query} is no number: {samples}"
        count += 1
    assert count >= 60, count


def figures_agree(prometheus, _load):
    """what it shows is true: as many events were accepted as the centre and its answers say"""
    sent = prometheus.query("tasktally_events_accepted_total - tasktally_revision")
    equal([sample["value"][1] for sample in sent], ["0"])
    assert float(prometheus.query("sum(rate(tasktally_events_duplicate_total[8s]))")[0]["value"][1]) > 0
    assert float(prometheus.query("tasktally_watchers")[0]["value"][1]) == 1


def alerts_are_evaluated(prometheus, _load):
    """every alert is evaluated over metrics that there are, and none fires"""
    rules = prometheus.ask("rules")["groups"][0]["rules"]
    equal([rule["name"] for rule in rules], [alert["alert"] for alert in alerts()])
    for rule in rules:
        equal((rule["name"], rule["health"], rule.get("lastError")), (rule["name"], "ok", None))
        assert rule["state"] != "firing", rule
        names = METRIC.findall(rule["query"])
        assert names, rule["query"]
        for name in names:
            assert prometheus.query(name), f"{rule['name']}: there is no {name}"


def alerts_are_explained(_prometheus, _load):
    """every alert has its part of docs/alerts.md, and no other has"""
    explained = re.findall(r"^## (\w+)$", (ROOT / "docs/alerts.md").read_text(encoding="utf-8"), re.M)
    equal(explained, [alert["alert"] for alert in alerts()])
    for alert in alerts():
        equal(alert["annotations"]["runbook"], "docs/alerts.md#" + alert["alert"].lower())
        assert alert["annotations"]["summary"] and alert["annotations"]["description"]


def alerts_are_tested(_prometheus, _load):
    """every alert is shown firing and not firing"""
    shown = {alert["alert"]: set() for alert in alerts()}
    for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
        for case in test["alert_rule_test"]:
            shown[case["alertname"]].add(bool(case["exp_alerts"]))
    equal({name for name, seen in shown.items() if seen != {True, False}}, set())


def main(binary, programs):
    with tempfile.TemporaryDirectory(prefix="tasktally-observed-") as folder:
        folder = Path(folder)
        key, cert = folder / "key.pem", folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
            + ["-keyout", key, "-out", cert],
            check=True,
            capture_output=True,
        )
        flags = ["--tls-cert", str(cert), "--tls-key", str(key), "--checkpoint-interval", "1s"]
        with Scraped(binary, *flags) as server, Load(binary, server, cert) as load:
            target = server.url.removeprefix("http://").removesuffix("/metrics")
            with Prometheus(Path(programs), folder, target) as prometheus:
                checks = [dashboard_has_data, figures_agree, alerts_are_evaluated, alerts_are_explained, alerts_are_tested]
                return run("observed", checks, server, prometheus, load)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
