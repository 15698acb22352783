#!/usr/bin/env bash
# Make the root file system of a Debian release, as a file below OFFLINE_DIR. It trusts the certificates this machine
# trusts, so that downloads work inside a build. Leaves alone what is there. Needs root.
#   debian-root.sh bookworm libssl3,tzdata    ->  $OFFLINE_DIR/bookworm.tar, with these packages besides
set -euo pipefail

RELEASE="${1:?usage: debian-root.sh RELEASE [PACKAGE,PACKAGE...]}"
PACKAGES="ca-certificates${2:+,$2}"
OFFLINE_DIR="${OFFLINE_DIR:-/var/tmp/offline-docker}"
ROOT="$OFFLINE_DIR/$RELEASE"

main() {
  [ ! -s "$ROOT.tar" ] || return 0
  mkdir -p "$OFFLINE_DIR"
  command -v debootstrap >/dev/null ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
  rm -rf "$ROOT"
  debootstrap --variant=minbase --include="$PACKAGES" "$RELEASE" "$ROOT" >"$OFFLINE_DIR/debootstrap.log" 2>&1 ||
    fail "debootstrap failed: $OFFLINE_DIR/debootstrap.log says why"
  take_apt_settings
  cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/ca-certificates.crt"
  printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$ROOT/etc/pip.conf"
  rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/* "$ROOT"/usr/share/{doc,man,locale}/*
  tar -C "$ROOT" -cf "$ROOT.tar.part" .
  mv "$ROOT.tar.part" "$ROOT.tar"
  rm -rf "$ROOT"
}

# This machine's own, with the name of the release in the place of that of its own.
take_apt_settings() {
  local own
  own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  cp -a /etc/apt/. "$ROOT/etc/apt/"
  find "$ROOT/etc/apt" \( -name '*.list' -o -name '*.sources' \) -exec sed -i "s/\b$own\b/$RELEASE/g" {} +
  rm -f "$ROOT"/etc/apt/apt.conf.d/{20packagekit,50appstream}
}

fail() {
  echo "$1" >&2
  exit 1
}

main
