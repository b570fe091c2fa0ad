#!/usr/bin/env python3
"""The pod, as the chart renders it, run by podman: its image, arguments, variables, user, security context, volumes and
secrets as a kubelet lays them; and its probes performed, by their very settings, with the official gRPC client.

engine_dir=DIR pod.py BINARY, where tests/deploy/image.sh ran before. No kubelet is here: what stands in for it is below,
and what it does with the answers is not tried."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import told
from told import only, render, value_sets

BINARY = sys.argv[1]
ENGINE = Path(os.environ["engine_dir"])
os.environ["CONTAINERS_CONF"] = str(ENGINE / "containers.conf")
IMAGE = {"image": {"repository": "localhost/tasktally", "tag": "test", "digest": ""}}
FIELDS = {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile"}
INNER = {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}


def engine(*arguments, check=True):
    store = ["--root", str(ENGINE / "store"), "--runroot", str(ENGINE / "run")]
    done = subprocess.run(["podman", *store, *arguments], capture_output=True, text=True)
    assert not check or done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


class Pod:
    """One pod of the rendered StatefulSet, with secrets by their names: {secret: {key: text}}."""

    def __init__(self, values, secrets):
        self.folder = Path(tempfile.mkdtemp(dir=ENGINE))
        self.stateful = only(render(values | IMAGE), "StatefulSet")
        self.spec = self.stateful["spec"]["template"]["spec"]
        self.container = self.spec["containers"][0]
        self.group = self.spec["securityContext"]["fsGroup"]
        self.secrets = {volume["name"]: volume["secret"] for volume in self.spec.get("volumes", [])}
        self.versions = {}
        for name, secret in self.secrets.items():
            self.lay(name, secrets[secret["secretName"]])

    def lay(self, volume, files):
        """A secret's files as a kubelet lays them: behind a link that is replaced as a whole."""
        folder = self.folder / volume
        folder.mkdir(exist_ok=True)
        number = self.versions[volume] = self.versions.get(volume, 0) + 1
        data = folder / f"..{number}"
        data.mkdir()
        for key, text in files.items():
            (data / key).write_text(text, "utf-8")
            (data / key).chmod(self.secrets[volume]["defaultMode"])
            shutil.chown(data / key, 0, self.group)
            if not (folder / key).is_symlink():
                (folder / key).symlink_to(f"..data/{key}")
        link = folder / "..new"
        link.symlink_to(f"..{number}")
        link.rename(folder / "..data")

    def start(self):
        outer, inner = self.spec["securityContext"], self.container["securityContext"]
        # A field that is not translated below would not be tried.
        assert outer.keys() <= FIELDS and inner.keys() <= INNER, (outer, inner)
        flags = ["--detach", "--network", "none", "--user", f"{outer['runAsUser']}:{outer['runAsGroup']}"]
        flags += ["--group-add", str(self.group), "--read-only", "--read-only-tmpfs=false"]
        flags += [f"--cap-drop={name}" for name in inner["capabilities"]["drop"]]
        flags += ["--security-opt", "no-new-privileges", "--no-healthcheck"]
        for item in self.container["env"]:
            flags += ["--env", f"{item['name']}={item['value']}"]
        for mount in self.container.get("volumeMounts", []):
            source, mode = self.folder / mount["name"], "ro" if mount.get("readOnly") else "rw"
            if mount["name"] == "data" and not source.exists():
                source.mkdir()
                shutil.chown(source, 0, self.group)
                source.chmod(0o2775)
            flags += ["--volume", f"{source}:{mount['mountPath']}:{mode}"]
        self.name = f"pod-{self.folder.name}"
        engine("run", *flags, "--name", self.name, self.container["image"], *self.container["args"])
        self.pid = engine("inspect", "--format", "{{.State.Pid}}", self.name)

    def inside(self, *command, **more):
        """In the pod's network, from outside of its files."""
        reach = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, command)]
        return subprocess.run(reach, capture_output=True, text=True, **more)

    def probe(self, kind, service=None):
        """The rendered probe, once: SERVING or what else was answered."""
        probe = self.container[kind]["grpc"]
        asked = [probe["port"], probe["service"] if service is None else service, self.container[kind]["timeoutSeconds"]]
        done = self.inside(sys.executable, Path(__file__).with_name("prober.py"), *asked, check=True)
        return done.stdout.strip()

    def ready(self):
        """As a kubelet waits: until the startup probe passes, at most as often as it may fail."""
        settings = self.container["startupProbe"]
        end = time.monotonic() + min(settings["periodSeconds"] * settings["failureThreshold"], 60)
        while (said := self.probe("startupProbe")) != "SERVING":
            assert time.monotonic() < end, f"{said}\n{engine('logs', self.name)}"

    def stop(self):
        """SIGTERM, and SIGKILL after the grace period. The seconds it took, and the exit code."""
        start = time.monotonic()
        engine("stop", "--time", str(self.spec["terminationGracePeriodSeconds"]), self.name)
        took = time.monotonic() - start
        code = int(engine("inspect", "--format", "{{.State.ExitCode}}", self.name))
        engine("rm", self.name)
        return took, code


def entry(name, roles):
    """A line for the credentials file, and its token."""
    command = [BINARY, "credentials", "new", "--name", name, "--roles", roles]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    return made.stdout, re.search(r"tt_[A-Za-z0-9_-]+", made.stdout + made.stderr).group()


def authority(folder):
    """A new authority, and a certificate of it for localhost: PEM texts."""
    folder.mkdir()
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    leaf = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    made = dict(cwd=folder, check=True, capture_output=True)
    subprocess.run([*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"], **made)
    by = ["-CA", "ca.crt", "-CAkey", "ca.key"]
    subprocess.run([*new, "-subj", "/CN=localhost", *leaf, *by, "-keyout", "tls.key", "-out", "tls.crt"], **made)
    return {name: (folder / name).read_text("utf-8") for name in ("ca.crt", "tls.crt", "tls.key")}


class World:
    """The pods, in the order of the checks."""


def starts():
    """with the defaults it starts as the pod's user, read-only, and the startup probe passes"""
    line, World.token = entry("floor", "read,ingest")
    World.pod = pod = Pod({}, {"tasktally-credentials": {"credentials.toml": line}})
    pod.start()
    pod.ready()
    status = dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{pod.pid}/status").read_text("utf-8"), re.M))
    assert status["Uid"].split() == ["65532"] * 4 and status["Gid"].split() == ["65532"] * 4, status
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}, status
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    mounts = Path(f"/proc/{pod.pid}/mounts").read_text("utf-8")
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.M), mounts


def probes_pass():
    """liveness and readiness pass; a service of another name would not"""
    assert World.pod.probe("livenessProbe") == "SERVING" and World.pod.probe("readinessProbe") == "SERVING"
    assert World.pod.probe("livenessProbe", "live") == "NOT_FOUND"


def tally(*arguments, token=None, **more):
    shown = {"TASKTALLY_TOKEN": token} if token else {}
    return World.pod.inside(BINARY, *arguments, env=os.environ | shown, **more)


def takes_events():
    """events come in and are answered, with a token of the secret and not without"""
    assert tally("get").returncode == 6
    tally("simulate", "--backfill", "5m", token=World.token, check=True)
    World.before = workspaces()


def workspaces():
    answer = tally("get", "--output", "json", token=World.token, check=True).stdout
    assert (found := re.search(r"WS[0-9a-f]{32}", answer)), answer
    return found.group()


def tells_its_metrics():
    """metrics are told on their port, as OpenMetrics"""
    port = next(port["containerPort"] for port in World.pod.container["ports"] if port["name"] == "metrics")
    fetch = "import sys, urllib.request as web; print(web.urlopen(sys.argv[1], timeout=10).read().decode())"
    said = World.pod.inside(sys.executable, "-c", fetch, f"http://127.0.0.1:{port}/metrics", check=True).stdout
    assert said.rstrip().endswith("# EOF") and "\ntasktally_events_accepted_total" in said, said


def follows_the_secret():
    """a credential that is put into the secret is taken over without a restart"""
    pod = World.pod
    old = (pod.folder / "credentials/credentials.toml").read_text("utf-8")
    line, token = entry("wallboard", "read")
    pod.lay("credentials", {"credentials.toml": old + line})
    end = time.monotonic() + 60
    while tally("get", token=token).returncode != 0:
        assert time.monotonic() < end, engine("logs", pod.name)
        time.sleep(0.2)


def drains():
    """SIGTERM with a watch open ends it within the grace period, with exit code 0"""
    watch = ["nsenter", f"--net=/proc/{World.pod.pid}/ns/net", BINARY, "watch", World.before]
    watching = subprocess.Popen(
        watch, env=os.environ | {"TASKTALLY_TOKEN": World.token}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    watching.stdout.readline()
    took, code = World.pod.stop()
    watching.terminate()
    watching.wait()
    limit = World.pod.spec["terminationGracePeriodSeconds"]
    assert code == 0 and took < limit, (code, took)
    return f"{took:.1f} s of {limit}"


def keeps():
    """the next pod on the same volume has everything"""
    World.pod.start()
    World.pod.ready()
    assert workspaces() == World.before
    assert World.pod.stop()[1] == 0


def speaks_tls():
    """with TLS the probes pass as they are, and callers need TLS"""
    World.first = authority(World.pod.folder / "first")
    line, World.token = entry("floor", "read,ingest")
    secrets = {
        "stats-credentials": {"credentials.toml": line},
        "stats-tls": {key: World.first[key] for key in ("tls.crt", "tls.key")},
        "stats-clients": {"ca.crt": World.first["ca.crt"]},
    }
    World.pod = pod = Pod(value_sets()["tls"], secrets)
    pod.start()
    pod.ready()
    assert pod.probe("livenessProbe") == "SERVING"
    assert tally("get", token=World.token).returncode != 0
    assert get_by_tls(World.first).returncode == 0, get_by_tls(World.first).stderr


def get_by_tls(made):
    (World.pod.folder / "trusted.crt").write_text(made["ca.crt"], "utf-8")
    trust = ["--address", "https://localhost:50051", "--tls-ca", World.pod.folder / "trusted.crt"]
    return tally("get", *trust, token=World.token)


def renews():
    """a certificate that is renewed in the secret is shown without a restart"""
    second = authority(World.pod.folder / "second")
    World.pod.lay("tls", {key: second[key] for key in ("tls.crt", "tls.key")})
    end = time.monotonic() + 60
    while get_by_tls(second).returncode != 0:
        assert time.monotonic() < end, engine("logs", World.pod.name)
        time.sleep(0.2)
    assert get_by_tls(World.first).returncode != 0
    assert World.pod.stop()[1] == 0


def is_minimal():
    """with nothing kept and nobody asked it needs no volume"""
    World.pod = pod = Pod(value_sets()["minimal"], {})
    assert "volumeMounts" not in pod.container
    pod.start()
    pod.ready()
    assert tally("simulate", "--backfill", "1m").returncode == 0
    assert pod.stop()[1] == 0


CHECKS = [
    starts, probes_pass, takes_events, tells_its_metrics, follows_the_secret, drains, keeps, speaks_tls, renews, is_minimal,
]
code = told.run("pod", CHECKS)
engine("rm", "--all", "--force", "--time", "0")
sys.exit(code)
