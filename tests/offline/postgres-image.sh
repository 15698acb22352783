#!/usr/bin/env bash
# See that PostgreSQL's image is there: pull it, or where no image registry can be reached make a stand-in under the same
# name from Debian's packages, with what the official image documents: its variables, its folders and its entry point.
# Needs root.
set -euo pipefail

VERSION=17 # Debian 13's
IMAGE="postgres:$VERSION-trixie"
OFFLINE_DIR="${OFFLINE_DIR:-/var/tmp/offline-docker}"

main() {
  if docker image inspect "$IMAGE" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$IMAGE" 2>/dev/null; then
    echo "$IMAGE is there"
    return
  fi
  echo "no registry gives $IMAGE: making a stand-in"
  "$(dirname "$0")/debian-root.sh" trixie
  docker import "$OFFLINE_DIR/trixie.tar" "$IMAGE-os" >/dev/null
  local context
  context=$(mktemp -d "$OFFLINE_DIR/context.XXXX")
  # shellcheck disable=SC2064 # the folder's name is known now and not when the trap runs
  trap "rm -rf '$context'" EXIT
  write_entry_point >"$context/docker-entrypoint.sh"
  chmod +x "$context/docker-entrypoint.sh"
  write_dockerfile >"$context/Dockerfile"
  docker build --quiet --tag "$IMAGE" "$context" >/dev/null || fail "the stand-in for $IMAGE cannot be built"
  docker run --rm "$IMAGE" postgres --version
}

write_dockerfile() {
  cat <<EOF
FROM $IMAGE-os
RUN apt-get update -qq \\
 && apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null \\
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \\
 && apt-get install -y -qq --no-install-recommends postgresql-$VERSION >/dev/null \\
 && rm -rf /var/lib/apt/lists/* \\
 && sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" /usr/share/postgresql/$VERSION/postgresql.conf.sample \\
 && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data \\
 && install -d -o postgres -g postgres -m 3777 /var/run/postgresql \\
 && install -d /docker-entrypoint-initdb.d
COPY docker-entrypoint.sh /usr/local/bin/
ENV PATH=\$PATH:/usr/lib/postgresql/$VERSION/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
EOF
}

write_entry_point() {
  cat <<'EOF'
#!/usr/bin/env bash
# Make the databases in an empty PGDATA and run what is in /docker-entrypoint-initdb.d; then start the server.
set -euo pipefail

if [ "$1" != postgres ] || [ "${2:-}" = --version ]; then exec "$@"; fi
if [ "$(id -u)" = 0 ]; then
  chown postgres "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is not set}"
  user="${POSTGRES_USER:-postgres}" database="${POSTGRES_DB:-${POSTGRES_USER:-postgres}}"
  chmod 700 "$PGDATA"
  initdb --username="$user" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait --options="-c listen_addresses=''" start
  [ "$database" = postgres ] || createdb --username="$user" --maintenance-db=postgres "$database"
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sql) psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$user" --dbname="$database" --file="$file" ;;
      *.sh) bash "$file" ;;
    esac
  done
  pg_ctl --wait --mode=fast stop
fi
exec "$@"
EOF
}

fail() {
  echo "$1" >&2
  exit 1
}

main
