#!/usr/bin/env bash
# Give a Debian machine Apptainer, for the tests that run the image as clusters do. Debian 12 and 13 have none, so it is
# taken out of Debian's unstable release, with that release's C library beside it, which it needs and nothing else uses;
# apt's own sources stay as they are. Leaves alone what is there. Needs root.
set -euo pipefail

LIBRARY=/usr/local/lib/apptainer # of C
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

main() {
  # Whoever runs a SIF opens this; it is everybody's where udev runs, and not in every container or virtual machine.
  [ ! -e /dev/fuse ] || [ "$(id -u)" != 0 ] || chmod a+rw /dev/fuse
  apptainer --version 2>/dev/null && return
  command -v apt-get >/dev/null || fail "apptainer is missing, and this is not Debian: install it"
  [ "$(id -u)" = 0 ] || fail "apptainer is missing, and only root can install it: run this as root"
  echo "installing Debian's apptainer"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    libseccomp2 libsqlite3-0 patchelf squashfs-tools squashfuse uidmap >/dev/null
  local work
  work=$(mktemp -d)
  cd "$work"
  download apptainer libc6
  mkdir -p "$LIBRARY"
  cp -a libc6/usr/lib/x86_64-linux-gnu/. "$LIBRARY"
  patchelf --set-interpreter "$LIBRARY/ld-linux-x86-64.so.2" --set-rpath "$LIBRARY" \
    apptainer/usr/bin/apptainer apptainer/usr/lib/x86_64-linux-gnu/apptainer/bin/starter
  rm -rf apptainer/usr/share
  cp -a apptainer/. /
  rm -rf "$work"
  apptainer --version || { rm /usr/bin/apptainer && fail "Debian's apptainer does not start here"; }
}

# Unpack packages of the unstable release, each into a folder of its name. apt checks their signatures.
download() {
  mkdir -p {lists,archives}/partial
  echo "deb [signed-by=$KEYRING] http://deb.debian.org/debian unstable main" >sources.list
  local own=(-o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD" -o APT::Sandbox::User=root) package
  apt-get "${own[@]}" update -qq || fail "the list of packages of Debian's unstable release cannot be read"
  for package; do
    apt-get "${own[@]}" download -qq "$package" || fail "Debian's $package cannot be downloaded"
    dpkg-deb -x "$package"_*.deb "$package"
  done
}

fail() {
  echo "$1" >&2
  exit 1
}

main
