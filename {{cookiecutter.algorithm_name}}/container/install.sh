#!/bin/sh
# Template: installs packages in the Dockerfile: `install.sh apt` those of apt.txt, and `install.sh python NAME [LIST]`
# those of NAME.lock, which must match LIST.txt.
set -eu
cd "$(dirname "$0")"
SECRETS=/run/secrets
CACHE=/root/.cache/pip

apt() {
  # Debian's names have no spaces, so a list of words is enough. The file can have CRLF line endings.
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

python() {
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
  read_secrets
  # Downloads are kept only if BuildKit mounts a cache, never in a layer.
  grep -q " $CACHE " /proc/self/mountinfo || export PIP_NO_CACHE_DIR=1
  install --require-hashes -r "$1.lock" ||
    fail "the packages of container/$1.lock cannot be installed: the lines above say why"
  list=${2:-$1}.txt
  if [ -f "$list" ] && ! install --quiet --no-index -r "$list"; then
    fail "$1.lock does not match $list: run 'make lock'"
  fi
  remove_tests
}

install() { pip --python /opt/venv/bin/python install "$@"; }

# Secret indexes of packages, which BuildKit shows only to this step.
read_secrets() {
  for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
    [ ! -s "$SECRETS/$name" ] || export "$name=$(cat "$SECRETS/$name")"
  done
  [ ! -s "$SECRETS/netrc" ] || export NETRC="$SECRETS/netrc"
}

# Remove 97 MB of tests that no module imports. Other packages keep their `tests`: some import them, as numpy.testing of
# NumPy 2.2 does with numpy._core.tests. Compiled modules stay, since a read-only image could not cache them.
remove_tests() {
  find /opt/venv -type d -name tests -regextype posix-extended -regex '.*/site-packages/(numpy|pandas|scipy|sklearn)/.*' \
    ! -path '*/numpy/_core/*' -prune -exec rm -rf {} +
}

fail() {
  echo "error: $1" >&2
  exit 1
}

"$@"
