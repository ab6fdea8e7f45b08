#!/bin/sh
# tools/setup.sh -- installs what is missing, from Debian's packages and npm, and nothing else.
#
#   setup.sh GROUP...      build: the program     web: its pages     test: the suites
#                          browser: the pages' tests   lint: the checks   bare: the bare machine
#                          arm: the engine on ARM
#                          bench: the load generator and the peers   clickhouse: one more peer
#
# Does nothing, quickly, when all is there.  Installing needs root or sudo; without, it says the line.
set -eu
cd "$(dirname "$0")/.."

# group  package  why
packages() {
    cat <<'LIST'
build gcc                     the C compiler
build g++                     the shims of simdjson and libphonenumber are C++
build meson                   describes the build
build ninja-build             runs it
build pkg-config              finds the libraries
build libc6-dev               the C library
build libsqlite3-dev          the database in the data folder
build libpq-dev               the database of a chain that has outgrown it
build libmicrohttpd-dev       HTTP
build zlib1g-dev              gzip
build libsodium-dev           password hashing, keyed hashes, random numbers
build libssl-dev              AES-256-GCM, HMAC, TLS certificates
build libsimdjson-dev         reads JSON
build libphonenumber-dev      phone numbers outside mainland China
build libprotobuf-dev         libphonenumber's headers need it
build libyaml-dev             contracts and import maps
build libzip-dev              xlsx is a zip
build libexpat1-dev           of XML
build libqrencode-dev         QR codes that a phone scans
build tzdata                  time zones
build libgnutls28-dev         a TLS client in the tests of http; libmicrohttpd's TLS
web   nodejs                  builds the pages
web   npm                     fetches what they are built with
web   ca-certificates         npm speaks HTTPS
test  nodejs                  drives the program over HTTP
test  clang                   the second compiler, the sanitizers and fuzzers
test  libclang-rt-14-dev      their run-time libraries
test  llvm                    names in their traces
test  postgresql-15           the same suite on the other database
browser nodejs                drives a real browser
browser npm                   fetches the driver
browser chromium              the browser
browser fonts-wqy-microhei    Chinese letters in it
test  openssl                 certificates for the tests of TLS
test  sqlite3                 looks into, and damages, databases in the tests of check
test  curl                    what an operator would try by hand
lint  clang-format            the layout of the code
lint  clang-tidy              static checks
lint  clang                   warnings of the second compiler
lint  binutils                nm: reads the object files
lint  shellcheck              checks the shell scripts
arm   gcc-aarch64-linux-gnu   the compiler for ARM
arm   libc6-dev-arm64-cross   its C library
arm   qemu-user               runs what it made
bare  debootstrap             makes a bare Debian 12
bare  curl                    looks at the demo in it
bare  curl                    looks at its pages from outside
bench wrk                     the load generator
bench nodejs                  drives the benches
bench npm                     fetches what they compare with
bench ca-certificates         npm speaks HTTPS
clickhouse clickhouse-server  a peer of the event engine
LIST
}

# nodejs and npm may come from elsewhere than Debian: any Node from 18 on will do.
is_there() {
    case $1 in
    nodejs) node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' 2>/dev/null ;;
    npm) command -v npm >/dev/null 2>&1 ;;
    *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

missing=
for group in "$@"; do
    for package in $(packages | awk -v group="$group" '$1 == group { print $2 }'); do
        case " $missing " in *" $package "*) continue ;; esac
        is_there "$package" || missing="$missing $package"
    done
done

if [ -n "$missing" ]; then
    # A fresh Debian is often busy with its own upgrades: wait for it.
    line="apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300$missing"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
            printf 'Packages are missing and installing them needs root.  As root:\n    %s\n' "$line" >&2
            exit 1
        fi
        as_root=sudo
    fi
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # The lists may be absent or old: then they are fetched, and the second try is the real one.
    # shellcheck disable=SC2086 # $line and $as_root are words
    $as_root $line >/dev/null 2>&1 || { $as_root apt-get update >/dev/null && $as_root $line >/dev/null; } || {
        printf 'That failed.  To see why, as root:\n    apt-get update && %s\n' "$line" >&2
        exit 1
    }
    # A bench starts a ClickHouse of its own; that of the package need not run.
    case $missing in
    *clickhouse-server*) $as_root systemctl disable --now clickhouse-server >/dev/null 2>&1 || : ;;
    esac
fi

# npm_packages FOLDER: exactly what its lock says; again only when the lock has changed.
npm_packages() {
    [ -f "$1/package-lock.json" ] || return 0
    stamp=$1/node_modules/.tongdian-lock
    cmp -s "$1/package-lock.json" "$stamp" && return 0
    echo "npm packages of $1"
    # npm 11 refuses a lock without the packages for other platforms, also where the registry has none of
    # them; then the same locked versions are installed without touching the lock.
    (cd "$1" && { npm ci --no-audit --no-fund --loglevel=silent ||
        npm install --no-save --no-audit --no-fund --loglevel=error; }) || return 1
    cp "$1/package-lock.json" "$stamp"
}
for group in "$@"; do
    case $group in
    web) npm_packages web ;;
    browser) npm_packages tests/browser ;;
    # A bench says itself what it cannot compare with.
    bench) npm_packages bench || echo "npm packages of bench could not be installed: it runs without them" ;;
    esac
done
