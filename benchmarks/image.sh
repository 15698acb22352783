#!/usr/bin/env bash
# The image's size beside its base, and the time to build again after an edit of algorithm.py, beside that of a build
# from nothing. Prints one line a figure; needs Docker and an installed .venv.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git checkout-index --all --prefix="$folder/template/"
.venv/bin/cookiecutter --no-input --output-dir "$folder" "$folder/template" algorithm_name=measured >/dev/null
container="$folder/measured/container"

build() {
  docker build --quiet --platform linux/amd64 --tag measured:benchmark "$@" "$container" >/dev/null
}

seconds() {
  local start=$EPOCHREALTIME
  "$@"
  awk -v start="$start" -v end="$EPOCHREALTIME" 'BEGIN {printf "%.1f", end - start}'
}

megabytes() {
  docker image inspect --format '{{.Size}}' "$1" | awk '{printf "%.0f", $1 / 1e6}'
}

echo "docker $(docker version --format '{{.Server.Version}}'), $(nproc) CPUs"
echo "build from nothing: $(seconds build --no-cache) s"
for run in 1 2 3 4 5; do
  echo "# edit $run" >>"$container/program/algorithm.py"
  echo "build after edit $run of algorithm.py: $(seconds build) s"
done
base=$(megabytes python:3.12-slim-bookworm)
image=$(megabytes measured:benchmark)
echo "base: $base MB, image: $image MB, ratio $(awk -v image="$image" -v base="$base" 'BEGIN {printf "%.2f", image / base}')"
docker image rm measured:benchmark >/dev/null
