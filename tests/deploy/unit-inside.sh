#!/usr/bin/env bash
# Runs as root in the machine that tests/deploy/unit.sh boots, as a service after the basic system: installs the unit and
# uses it as a person would, and says how each check went. The machine's systemd is what enforces the unit's sandbox.
set -u
health="tasktally healthcheck --address 127.0.0.1:50052 --service readiness"
export TASKTALLY_ADDRESS=http://127.0.0.1:50051

ok() { echo "ok      unit: $*"; }
failed() {
  echo "FAILED  unit: $*"
  systemctl --no-pager --lines 0 status tasktally
  journalctl --no-pager --lines 15 --unit tasktally
}
# check SAYING COMMAND...: the command's end is the check's.
check() {
  local said=$1
  shift
  if "$@" >/tmp/out 2>&1; then ok "$said"; else
    failed "$said"
    cat /tmp/out
  fi
}
# until_true COMMAND...: within twenty seconds.
until_true() {
  local end=$((SECONDS + 20))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}
of() { systemctl show --property "$1" --value tasktally; }
is() { [ "$(of "$1")" = "$2" ] || { echo "$1 is $(of "$1"), not $2"; return 1; }; }
# The page's commands, each shown as it runs.
page() { (cd /srv/tasktally && timeout 60 bash -xeuo pipefail "$1"); }
installs() {
  page /srv/install.sh && token=$(grep -o 'tt_[A-Za-z0-9_-]*' /tmp/out | head -1) && [ -n "$token" ] &&
    [ "$(stat -c %a /etc/tasktally/credentials.toml)" = 600 ] && is ActiveState active
}

is_closed() {
  local status
  status=$(cat "/proc/$(of MainPID)/status")
  echo "$status"
  awk '$1 == "Uid:" { exit $2 == 0 }' <<<"$status" &&
    grep -qP '^CapEff:\t0+$' <<<"$status" && grep -qP '^CapBnd:\t0+$' <<<"$status" &&
    grep -qP '^NoNewPrivs:\t1$' <<<"$status" && grep -qP '^Seccomp:\t2$' <<<"$status" &&
    grep -q "^Max open files *16384 *16384" "/proc/$(of MainPID)/limits"
}
sees_little() {
  # Through the service's own eyes: its mounts. The third field are the options of the mount itself.
  local mounts
  mounts=$(cat "/proc/$(of MainPID)/mounts")
  echo "$mounts"
  awk '$2 == "/" && $4 ~ /(^|,)ro(,|$)/ { found = 1 } END { exit !found }' <<<"$mounts" &&
    awk '$2 == "/var/lib/private/tasktally" && $4 ~ /(^|,)rw(,|$)/ { found = 1 } END { exit !found }' <<<"$mounts" &&
    [ "$(stat -c %a /var/lib/private)" = 700 ]
}
takes_events() {
  TASKTALLY_TOKEN=$token tasktally simulate --backfill 10m && TASKTALLY_TOKEN=$token tasktally get
}
refuses_strangers() {
  tasktally get
  [ $? = 6 ]
}
figures() { TASKTALLY_TOKEN=$token tasktally cumulative "$workspace" --start "$since" --end "$until" --output json | sed 's/"asOf":"[^"]*"//'; }
comes_back() {
  workspace=$(TASKTALLY_TOKEN=$token tasktally get --output json | grep -o 'WS[0-9a-f]\{32\}' | head -1)
  since=$(date -u -d '-2 hours' +%FT%TZ) until=$(date -u +%FT%TZ)
  before=$(figures)
  local old
  old=$(of MainPID)
  kill -KILL "$old"
  until_true is NRestarts 1 && until_true $health && [ "$(of MainPID)" != "$old" ] || return
  after=$(figures)
  printf '%s\n%s\n' "$before" "$after"
  grep -q '"tasksCreated":"[1-9]' <<<"$before" && [ "$before" = "$after" ]
}
stops() {
  # With a watch open, which a shutdown ends.
  TASKTALLY_TOKEN=$token tasktally watch "$workspace" >/dev/null 2>&1 &
  local start=$SECONDS
  systemctl stop tasktally && is Result success && is ActiveState inactive && [ $((SECONDS - start)) -lt 20 ] &&
    journalctl --unit tasktally | grep -q 'stopped took_ms'
}
gives_up_on_settings() {
  echo TASKTALLY_RETENTION=99d >>/etc/tasktally/tasktally.env
  systemctl start tasktally
  until_true is ActiveState failed && is ExecMainStatus 2 && is NRestarts 0
}
gives_up_on_loops() {
  sed -i /RETENTION=99d/d /etc/tasktally/tasktally.env
  mkdir -p /etc/systemd/system/tasktally.service.d
  printf '[Service]\nRestartSec=50ms\nEnvironment=TASKTALLY_LISTEN=192.0.2.1:1\n' >/etc/systemd/system/tasktally.service.d/z.conf
  sed -i s/^TASKTALLY_LISTEN=/#\&/ /etc/tasktally/tasktally.env
  systemctl daemon-reload
  systemctl reset-failed tasktally
  systemctl start tasktally
  # The fifth restart, the sixth start, is refused.
  # Here they come faster than the unit's, within systemd's own ten seconds, too.
  is StartLimitIntervalUSec 10min && until_true is Result exit-code && until_true is ActiveState failed && is NRestarts 5 &&
    journalctl --unit tasktally | grep -q 'Start request repeated too quickly'
}
speaks_tls() {
  rm /etc/systemd/system/tasktally.service.d/z.conf
  cd /srv/tasktally || return
  sed -i s/^#TASKTALLY_LISTEN=127/TASKTALLY_LISTEN=127/ /etc/tasktally/tasktally.env
  local new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
  $new -subj /CN=authority -keyout /srv/ca.key -out /srv/ca.crt &&
    $new -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
      -CA /srv/ca.crt -CAkey /srv/ca.key -keyout tls.key -out tls.crt || return
  systemctl reset-failed tasktally
  page /srv/tls.sh && until_true $health &&
    TASKTALLY_TOKEN=$token tasktally get --address https://localhost:50051 --tls-ca /srv/ca.crt
}

check "installs by the commands of docs/deploy.md, starts by systemd's own hand, and is ready" installs
check "is of no privileged user, without capabilities, under a filter of system calls" is_closed
check "sees a read-only system, and its own folder" sees_little
check "takes events and answers, with a token of the credential that systemd loaded" takes_events
check "lets nobody in without" refuses_strangers
check "comes back after SIGKILL, with everything" comes_back
check "stops in time, with a watch open, and says so" stops
check "a wrong setting is not tried again" gives_up_on_settings
check "what fails again and again is given up" gives_up_on_loops
check "speaks TLS with the drop-in" speaks_tls
