#!/usr/bin/env bash
# From nothing to predictions: what a new user does first, step by step, in a folder that is removed at the end.
set -euo pipefail

cd "$(dirname "$0")"
folder=$(mktemp -d)
project="$folder/tumours"
# A port that nobody uses, so that the demo is in nobody's way.
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PORT

clean_up() {
  [ -d "$project" ] && make --silent -C "$project" stop
  docker image rm tumours:local >/dev/null 2>&1 || true # there is none without Docker
  rm -rf "$folder"
}
trap clean_up EXIT

step() {
  printf '\n== %s\n' "$*"
}

step "cookiecutter . algorithm_name=tumours"
.venv/bin/cookiecutter --no-input --output-dir "$folder" . algorithm_name=tumours >/dev/null
(cd "$project" && find . -type f | wc -l | xargs printf '%s files\n')

step "make train: 398 measured tumours, benign or malignant"
make --silent -C "$project" train

step "make serve"
make --silent -C "$project" serve

step "make predict: 52 tumours the model has not seen; the first five:"
make --silent -C "$project" predict >"$folder/predictions.csv"
head -5 "$folder/predictions.csv"
digest=$({ sha256sum 2>/dev/null || shasum -a 256; } <"$folder/predictions.csv" | cut -c1-16)
printf '%s predictions, sha256 %s\n' "$(($(wc -l <"$folder/predictions.csv")))" "$digest"

step "done: 'cookiecutter .' makes such a project your own"
