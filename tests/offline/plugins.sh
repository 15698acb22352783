#!/usr/bin/env bash
# Give a Debian machine two of docker's plugins: compose, with which the SageMaker SDKs' local mode starts containers, and
# buildx, which the tests of build_and_push use. Debian 12 has neither, so they are taken out of Debian 13's packages;
# apt's own sources stay as they are. buildx is put aside, so that `docker build` keeps its builder. Leaves alone what is
# there. Needs root.
set -euo pipefail

PLUGINS=/usr/local/lib/docker/cli-plugins
ASIDE=/usr/local/lib/docker/unused-plugins
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

main() {
  docker compose version 2>/dev/null || install docker-compose "$PLUGINS"
  docker buildx version 2>/dev/null || "$ASIDE/docker-buildx" version 2>/dev/null || install docker-buildx "$ASIDE"
}

# Take the plugin of a package's name to a folder. apt checks the package's signature.
install() {
  local package="$1" folder="$2" work
  command -v apt-get >/dev/null || fail "$package is missing, and this is not Debian: install it"
  [ "$(id -u)" = 0 ] || fail "$package is missing, and only root can install it: run this as root"
  echo "installing Debian's $package"
  work=$(mktemp -d)
  mkdir -p "$work"/{lists,archives}/partial
  echo "deb [signed-by=$KEYRING] http://deb.debian.org/debian trixie main" >"$work/sources.list"
  local own=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=root)
  cd "$work"
  apt-get "${own[@]}" update -qq || fail "Debian 13's list of packages cannot be read"
  apt-get "${own[@]}" download -qq "$package" || fail "Debian 13's $package cannot be downloaded"
  dpkg-deb -x "$package"_*.deb package
  command install -D -m 755 "package/usr/libexec/docker/cli-plugins/$package" "$folder/$package"
  rm -rf "$work"
  "$folder/$package" version || fail "the plugin $folder/$package does not start"
}

fail() {
  echo "$1" >&2
  exit 1
}

main
