#!/bin/sh
# Template: the Dockerfile's steps that install what your files name. `install.sh apt` installs the packages in apt.txt.
set -eu
cd "$(dirname "$0")"

apt() {
  # Debian's names hold no spaces, so a list of words is enough. The file may have CRLF line endings.
  packages=$(sed 's/\r$//; s/#.*//' apt.txt)
  # shellcheck disable=SC2086 # words
  set -- $packages
  [ $# -gt 0 ] || return 0
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -- "$@" || explain "$@"
  rm -rf /var/lib/apt/lists/*
}

explain() {
  for package; do
    apt-get install --dry-run -qq -- "$package" >/dev/null 2>&1 ||
      fail "container/apt.txt: '$package' cannot be installed: packages.debian.org shows the names of Debian's packages"
  done
  fail "the packages of container/apt.txt cannot be installed: the lines above say why"
}

fail() {
  echo "error: $1" >&2
  exit 1
}

"$@"
