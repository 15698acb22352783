#!/usr/bin/env bash
# Give a Debian machine what it takes to build for linux/arm64: QEMU, which the kernel starts where it meets a program for
# it, and for the tests a program that says what it runs on, for either platform. Leaves alone what is there. Needs root.
set -euo pipefail

PROGRAMS=/usr/local/lib/docker/busybox # from Debian's packages, linked statically
HANDLERS=/proc/sys/fs/binfmt_misc

main() {
  if [ -e "$HANDLERS/qemu-aarch64" ] && [ -x "$PROGRAMS/arm64/busybox" ]; then
    echo "programs for linux/arm64 are emulated"
    return
  fi
  command -v apt-get >/dev/null || fail "QEMU's emulator is missing, and this is not Debian: install it"
  [ "$(id -u)" = 0 ] || fail "QEMU's emulator is missing, and only root can install it: run this as root"
  echo "installing Debian's qemu-user-static"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static >/dev/null
  [ -e "$HANDLERS/register" ] || mount -t binfmt_misc binfmt_misc "$HANDLERS"
  [ -e "$HANDLERS/qemu-aarch64" ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >"$HANDLERS/register"
  download amd64
  download arm64
}

# Unpack the program for an architecture. apt checks the package's signature, with lists of its own.
download() {
  local architecture="$1" work
  work=$(mktemp -d)
  cd "$work"
  mkdir -p {lists,archives}/partial
  local own=(-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=root
    -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture")
  apt-get "${own[@]}" update -qq
  apt-get "${own[@]}" download -qq busybox-static || fail "Debian's busybox for $architecture cannot be downloaded"
  dpkg-deb -x busybox-static_*.deb .
  install -D -m 755 bin/busybox "$PROGRAMS/$architecture/busybox"
  rm -rf "$work"
  "$PROGRAMS/$architecture/busybox" true || fail "programs for $architecture do not start here"
}

fail() {
  echo "$1" >&2
  exit 1
}

main
