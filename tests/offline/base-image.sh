#!/usr/bin/env bash
# See that the base image for a Python version is there: pull it, or where no image registry can be reached make a
# stand-in under the same name from Debian's packages and a CPython of this machine.
#   base-image.sh 3.12    ->  python:3.12-slim-bookworm
# The stand-in trusts the certificates this machine trusts, so that downloads work inside a build. Needs root.
set -euo pipefail

VERSION="${1:?usage: base-image.sh X.Y}"
IMAGE="python:$VERSION-slim-bookworm"
OFFLINE_DIR="${OFFLINE_DIR:-/var/tmp/offline-docker}"

main() {
  if docker image inspect "$IMAGE" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$IMAGE" 2>/dev/null; then
    echo "$IMAGE is there"
    return
  fi
  echo "no registry gives $IMAGE: making a stand-in"
  local python
  python=$(find_python)
  "$(dirname "$0")/debian-root.sh" bookworm \
    libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8,libncursesw6,libuuid1,netbase,tzdata
  make_image "$python"
  docker run --rm "$IMAGE" python -c 'import ssl, sqlite3, ctypes, lzma, bz2, sys; print("stand-in with", sys.version)'
}

# The prefix of a self-contained CPython, as pyenv builds them.
find_python() {
  local candidates=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$VERSION".*)
  local prefix="${candidates[-1]}"
  [ -x "$prefix/bin/python$VERSION" ] || fail "no CPython $VERSION below pyenv's versions to make $IMAGE from"
  echo "$prefix"
}

# As the official image: CPython in /usr/local, without tests, bytecode and static libraries.
make_image() {
  local prefix="$1" context
  context=$(mktemp -d "$OFFLINE_DIR/context.XXXX")
  # shellcheck disable=SC2064 # the folder's name is known now and not when the trap runs
  trap "rm -rf '$context'" EXIT
  local local="$context/usr/local"
  mkdir -p "$local"
  cp -a "$prefix/." "$local/"
  rm -rf "$local/lib/python$VERSION"/{site-packages/*,test,idlelib,config-*/*.a} "$local"/lib/*.a
  find "$local" -name __pycache__ -prune -exec rm -rf {} +
  find "$local/bin" -type f ! -name 'python*' -delete
  find "$local" -name '*.so*' -type f -exec strip --strip-unneeded {} + 2>/dev/null || true
  ln -sf "python$VERSION" "$local/bin/python3"
  ln -sf python3 "$local/bin/python"
  docker import "$OFFLINE_DIR/bookworm.tar" "$IMAGE-os" >/dev/null
  cat >"$context/Dockerfile" <<EOF
FROM $IMAGE-os
COPY usr/local /usr/local
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN ldconfig && python -m ensurepip && ln -sf pip3 /usr/local/bin/pip
CMD ["python3"]
EOF
  docker build --quiet --tag "$IMAGE" "$context" >/dev/null || fail "the stand-in for $IMAGE cannot be built"
}

fail() {
  echo "$1" >&2
  exit 1
}

main
