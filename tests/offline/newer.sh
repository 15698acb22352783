#!/usr/bin/env bash
# Give a Debian machine what Debian 12 has not, out of Debian 13's packages; apt's own sources stay as they are:
# compose, with which the SageMaker SDKs' local mode starts containers; buildx, with which `docker build` uses BuildKit, as
# it does wherever Docker is installed today; and, beside the machine's own, an engine that can keep images in containerd's
# store. Leaves alone what is there. Needs root.
set -euo pipefail

PLUGINS=/usr/local/lib/docker/cli-plugins
ENGINE=/usr/local/lib/docker/newer-engine
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

main() {
  docker compose version 2>/dev/null || {
    take docker-compose "$PLUGINS" libexec/docker/cli-plugins/docker-compose
    docker compose version
  }
  docker buildx version 2>/dev/null || {
    take docker-buildx "$PLUGINS" libexec/docker/cli-plugins/docker-buildx
    docker buildx version
  }
  "$ENGINE/dockerd" --version 2>/dev/null || {
    take containerd "$ENGINE" bin/containerd bin/containerd-shim-runc-v2
    take docker.io "$ENGINE" sbin/dockerd
    "$ENGINE/containerd" --version && "$ENGINE/dockerd" --version
  }
}

# Take programs out of a package to a folder. apt checks the package's signature.
take() { # PACKAGE FOLDER PROGRAM...
  local package="$1" folder="$2" program
  shift 2
  echo "installing programs of Debian's $package"
  [ "$lists" ] || lists=$(read_lists)
  cd "$lists"
  apt-get -c apt.conf download -qq "$package" || fail "Debian 13's $package cannot be downloaded"
  dpkg-deb -x "$package"_*.deb package
  for program; do install -D -m 755 "package/usr/$program" "$folder/${program##*/}"; done
}

# Print a folder in which apt knows the packages of Debian 13.
read_lists() {
  command -v apt-get >/dev/null || fail "a program is missing, and this is not Debian: install docker's plugins"
  [ "$(id -u)" = 0 ] || fail "a program is missing, and only root can install it: run this as root"
  cd "$(mktemp -d)"
  mkdir -p {lists,archives}/partial
  echo "deb [signed-by=$KEYRING] http://deb.debian.org/debian trixie main" >sources.list
  printf '%s;\n' "Dir::Etc::SourceList \"$PWD/sources.list\"" 'Dir::Etc::SourceParts "/dev/null"' \
    "Dir::State::Lists \"$PWD/lists\"" "Dir::Cache \"$PWD\"" 'APT::Sandbox::User "root"' >apt.conf
  apt-get -c apt.conf update -qq || fail "Debian 13's list of packages cannot be read"
  pwd
}

fail() {
  echo "$1" >&2
  exit 1
}

lists=''
main
rm -rf "$lists"
