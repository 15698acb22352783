#!/usr/bin/env bash
# Give a Debian machine PostgreSQL's programs, for the tests that start a server of their own; none is started here.
# Leaves alone what is there. Needs root.
set -euo pipefail

main() {
  local found=(/usr/lib/postgresql/*/bin/initdb)
  if [ -x "${found[-1]}" ]; then
    echo "PostgreSQL's programs are there"
    return
  fi
  command -v apt-get >/dev/null || fail "PostgreSQL is missing, and this is not Debian: install it"
  [ "$(id -u)" = 0 ] || fail "PostgreSQL is missing, and only root can install it: run this as root"
  echo "installing Debian's postgresql"
  apt-get update -qq
  install postgresql-common
  sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  install postgresql
}

install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

fail() {
  echo "$1" >&2
  exit 1
}

main
