#!/usr/bin/env bash
# Give a Debian machine a running Docker engine and a registry server, from Debian's own packages. Leaves alone what is
# there. The engine's state is kept below OFFLINE_DIR; needs root.
set -euo pipefail

OFFLINE_DIR="${OFFLINE_DIR:-/var/tmp/offline-docker}"

main() {
  need docker-registry docker-registry # for the tests that push, like the next
  need openssl openssl
  need ip iproute2
  if docker info >/dev/null 2>&1; then
    echo "Docker answers"
    return
  fi
  need dockerd docker.io
  need iptables iptables
  mkdir -p "$OFFLINE_DIR"
  forget_dead_processes
  setsid dockerd --data-root "$OFFLINE_DIR/data" --exec-root "$OFFLINE_DIR/exec" --pidfile "$OFFLINE_DIR/dockerd.pid" \
    --host unix:///var/run/docker.sock >"$OFFLINE_DIR/dockerd.log" 2>&1 </dev/null &
  wait_for_engine
}

# See that a program is there, from the Debian package that has it.
need() {
  local program="$1" package="$2"
  if command -v "$program" >/dev/null; then return; fi
  command -v apt-get >/dev/null || fail "$program is missing, and this is not Debian: install it"
  [ "$(id -u)" = 0 ] || fail "$program is missing, and only root can install it: run this as root"
  echo "installing Debian's $package"
  [ "${updated:-}" ] || apt-get update -qq
  updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
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
