#!/bin/sh
# tools/pg_test_server.sh -- a throw-away PostgreSQL for the tests, reachable from this machine only.
#
#   pg_test_server.sh start DIR PORT   makes a cluster in DIR/data, starts it, prints its URL
#   pg_test_server.sh stop DIR PORT    stops the server that was started in DIR, and nothing else
#
# Unix socket and password-less access live inside DIR (mode 0700) and on 127.0.0.1:PORT.  fsync stays on.
# Root may not run PostgreSQL: then it runs as `postgres` (or `nobody`), who also owns DIR.
# DIR itself stays; remove it when it is no longer of use.
set -eu

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

[ $# -eq 3 ] || usage
action=$1 dir=$2 port=$3
case $port in '' | *[!0-9]*) usage ;; esac
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac

bin=
for candidate in /usr/lib/postgresql/15/bin "$(pg_config --bindir 2>/dev/null || :)"; do
    [ -x "$candidate/initdb" ] && bin=$candidate && break
done
[ -n "$bin" ] || { echo "pg_test_server: no PostgreSQL server here (Debian: postgresql-15)" >&2; exit 1; }

owner=
if [ "$(id -u)" = 0 ]; then
    owner=nobody
    id postgres >/dev/null 2>&1 && owner=postgres
fi
as_owner() {
    if [ -n "$owner" ]; then
        (cd / && setpriv --reuid="$owner" --regid="$(id -gn "$owner")" --clear-groups -- "$@")
    else
        "$@"
    fi
}

start() {
    mkdir -p "$dir"
    chmod 700 "$dir"
    [ -z "$owner" ] || chown "$owner" "$dir"
    if [ ! -e "$dir/data/PG_VERSION" ]; then
        as_owner "$bin/initdb" -D "$dir/data" -U tongdian --auth=trust --locale=C --encoding=UTF8 \
            >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    fi
    as_owner "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 start \
        -o "-c listen_addresses=127.0.0.1 -p $port -k '$dir' -c max_connections=100" >"$dir/start.log" 2>&1 ||
        { cat "$dir/start.log" "$dir/server.log" >&2; exit 1; }
    if ! as_owner "$bin/psql" -h "$dir" -p "$port" -U tongdian -d postgres -qAtc \
        "SELECT 1 FROM pg_database WHERE datname = 'tongdian_test'" | grep -q 1; then
        as_owner "$bin/createdb" -h "$dir" -p "$port" -U tongdian tongdian_test
    fi
    echo "postgres://tongdian@127.0.0.1:$port/tongdian_test"
}

# pg_ctl reads the process id from DIR/data/postmaster.pid: only a server of this cluster is stopped.
stop() {
    [ -e "$dir/data/postmaster.pid" ] || exit 0
    as_owner "$bin/pg_ctl" -D "$dir/data" -m fast -w -t 60 stop >/dev/null
}

case $action in
start) start ;;
stop) stop ;;
*) usage ;;
esac
