#!/usr/bin/env bash
# Give a Debian machine a running Docker engine from Debian's own packages. Does nothing where one answers.
# State is kept below OFFLINE_DIR; needs root.
set -euo pipefail

OFFLINE_DIR="${OFFLINE_DIR:-/var/tmp/offline-docker}"

main() {
  if docker info >/dev/null 2>&1; then
    echo "Docker answers"
    return
  fi
  install_engine
  mkdir -p "$OFFLINE_DIR"
  forget_dead_processes
  setsid dockerd --data-root "$OFFLINE_DIR/data" --exec-root "$OFFLINE_DIR/exec" --pidfile "$OFFLINE_DIR/dockerd.pid" \
    --host unix:///var/run/docker.sock >"$OFFLINE_DIR/dockerd.log" 2>&1 </dev/null &
  wait_for_engine
}

install_engine() {
  if command -v dockerd >/dev/null && command -v iptables >/dev/null; then return; fi
  command -v apt-get >/dev/null || fail "no Docker answers, and this is not Debian: install Docker and start it"
  [ "$(id -u)" = 0 ] || fail "no Docker answers, and only root can install and start it: run this as root"
  echo "installing Debian's Docker engine"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
}

# A killed engine leaves its pid files, and their numbers may belong to other processes by now.
forget_dead_processes() {
  local file name
  for file in "$OFFLINE_DIR/dockerd.pid" "$OFFLINE_DIR/exec/containerd/containerd.pid"; do
    name=$(basename "$file" .pid)
    [ -f "$file" ] || continue
    [ "$(cat "/proc/$(cat "$file")/comm" 2>/dev/null)" = "$name" ] || rm -f "$file"
  done
}

wait_for_engine() {
  for _ in $(seq 60); do
    if docker info >/dev/null 2>&1; then
      echo "Docker answers"
      return
    fi
    sleep 0.5
  done
  tail "$OFFLINE_DIR/dockerd.log" >&2
  fail "the Docker engine did not start: the lines above say why"
}

fail() {
  echo "$1" >&2
  exit 1
}

main
