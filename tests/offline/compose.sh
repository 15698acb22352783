#!/usr/bin/env bash
# Give a Debian machine `docker compose`, with which the SageMaker SDKs' local mode starts containers. Debian 12 has only
# Compose 1, so the plugin is taken out of Debian 13's package; apt's own sources stay as they are, and so does the
# builder behind `docker build`. Leaves alone what is there. Needs root.
set -euo pipefail

PLUGINS=/usr/local/lib/docker/cli-plugins
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

main() {
  if docker compose version 2>/dev/null; then return; fi
  command -v apt-get >/dev/null || fail "Docker Compose is missing, and this is not Debian: install it"
  [ "$(id -u)" = 0 ] || fail "Docker Compose is missing, and only root can install it: run this as root"
  echo "installing Debian's docker-compose"
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder's name is known now and not when the trap runs
  trap "rm -rf '$work'" EXIT
  download "$work"
  install -D -m 755 "$work/package/usr/libexec/docker/cli-plugins/docker-compose" "$PLUGINS/docker-compose"
  docker compose version || fail "Docker does not take up the plugin in $PLUGINS"
}

# Unpack the package into a folder. apt checks its signature.
download() {
  local work="$1"
  mkdir -p "$work"/{lists,archives}/partial
  echo "deb [signed-by=$KEYRING] http://deb.debian.org/debian trixie main" >"$work/sources.list"
  local own=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=root)
  cd "$work"
  apt-get "${own[@]}" update -qq || fail "Debian 13's list of packages cannot be read"
  apt-get "${own[@]}" download -qq docker-compose || fail "Debian 13's docker-compose cannot be downloaded"
  dpkg-deb -x docker-compose_*.deb package
}

fail() {
  echo "$1" >&2
  exit 1
}

main
