#!/bin/sh
# tests/bare/run.sh -- the two commands of the README on a machine that has nothing.
#
#   run.sh            `./run demo --once`, `./run demo`, `./run test`, and the Debian package
#   run.sh --quick    `./run demo --once`, `./run demo`, `./run test unit`
#   --dirty           with what is not committed yet, instead of HEAD alone
#   --keep            leaves the machine in build/bare/root, to look at (the next run removes it)
#
# The machine is a Debian 12 of debootstrap's variant minbase in a folder: less than the smallest
# installation.  It shares the kernel and the network of this one; its mounts and processes are its own
# and end with this program.  What this machine has been told about packages (mirror, proxy, extra
# certificate authorities, npm's settings) is copied in, because without it nothing can be fetched.
#
# Needs root, debootstrap and curl; 7 GB of disk while it runs.  Keeps build/bare/base.tar and the logs.
# The last line is `N passed, N failed`.
set -eu
cd "$(dirname "$0")/../.."
source=$PWD
home=${TONGDIAN_BUILD_ROOT:-$source/build}/bare
machine=$home/root
logs=$home/log
checkout=/root/tongdian

# Seconds.  The README promises the first; the others tell a hang from a slow machine.
demo_promise=180
again_promise=60
demo_limit=2400
test_limit=5400

quick=0 dirty=0 keep=0 inside=0
for word in "$@"; do
    case $word in
    --quick) quick=1 ;;
    --dirty) dirty=1 ;;
    --keep) keep=1 ;;
    --inside) inside=1 ;;
    *) sed -n 's/^#   //p' "$0" >&2 && exit 2 ;;
    esac
done

passed=0
failed=0

say() { printf '==> %s\n' "$*"; }

total() {
    printf '%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}

die() {
    printf 'bare: %s\n' "$*" >&2
    failed=$((failed + 1))
    total
    exit 1
}

# verdict STATUS WHAT [LOG]: counts; a failure shows the end of its log.
verdict() {
    if [ "$1" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok    %s\n' "$2"
        return 0
    fi
    failed=$((failed + 1))
    printf 'FAIL  %s\n' "$2"
    if [ $# -ge 3 ] && [ -f "$3" ]; then
        tail -n 40 "$3"
        printf -- '---- that was the end of %s\n' "$3"
    fi
}

# ---- a mount and process namespace of our own ---------------------------------------------------------

if [ "$inside" = 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "bare: making a machine needs root: sudo ./run test bare" >&2
        echo "0 passed, 0 failed, 1 skipped"
        exit 77
    fi
    for program in debootstrap curl unshare; do
        command -v "$program" >/dev/null || die "$program is missing; try ./run test bare"
    done
    mkdir -p "$logs"
    exec 9>"$home/lock"
    flock -n 9 || die "another run is at work in $home"
    # Nothing is mounted below the folder in this namespace, and --one-file-system would stop at it.
    sweep() {
        rm -rf --one-file-system "$machine" "$home/customer" "$home/base"
        rm -f "$home/page" "$home/cookies" "$home/files" "$home/base.tar.part"
    }
    sweep
    rm -f "$logs"/*.log
    [ "$keep" = 1 ] || trap sweep EXIT
    # The first process of the namespace takes all others with it, and unshare takes the first one.
    unshare --mount --pid --fork --kill-child --mount-proc --ipc --propagation private -- \
        "$0" --inside "$@" 9>&- &
    namespace=$!
    trap 'kill -KILL "$namespace"; wait "$namespace" || :; exit 130' INT TERM
    status=0
    wait "$namespace" || status=$?
    exit "$status"
fi

# ---- the machine --------------------------------------------------------------------------------------

# From apt's own view of its sources: the main archive first, then updates and security, as
# `URI SUITE` lines.
# shellcheck disable=SC2016 # apt's own words
debian_sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$3 == "main" && $2 ~ /^bookworm(-updates|-security)?$/ { print length($2), $1, $2 }' |
        sort -n -u | cut -d' ' -f2-
}

make_base() {
    [ ! -e "$home/base.tar" ] || return 0
    say "making the base (once)"
    mirror=$(debian_sources | awk '$2 == "bookworm" { print $1; exit }')
    [ -n "$mirror" ] || die "apt knows no source of Debian 12 (suite bookworm) here"
    proxy=$(apt-config shell proxy Acquire::http::Proxy | sed "s/^proxy='\(.*\)'$/\1/")
    http_proxy=${proxy:-${http_proxy:-}} debootstrap --variant=minbase bookworm "$home/base" "$mirror" \
        >"$logs/debootstrap.log" 2>&1 || {
        tail -n 20 "$logs/debootstrap.log"
        die "debootstrap failed"
    }
    rm -rf "$home"/base/var/cache/apt/archives/*.deb "$home"/base/var/lib/apt/lists/*
    tar -C "$home/base" --numeric-owner -cf "$home/base.tar.part" .
    mv "$home/base.tar.part" "$home/base.tar"
    rm -rf "$home/base"
}

# What this machine was told about fetching packages, and nothing else of it.
copy_settings() {
    debian_sources | sed 's/.*/deb & main/' >"$machine/etc/apt/sources.list"
    apt-config dump --format '%f "%v";%n' | grep -E '^Acquire::(https?::|Retries|Check-)' \
        >"$machine/etc/apt/apt.conf.d/90copied" || :
    for file in /etc/resolv.conf /etc/hosts /etc/npmrc "${HOME:-/root}/.npmrc"; do
        case $file in
        /etc/*) to=$machine$file ;;
        *) to=$machine/root/.npmrc ;;
        esac
        [ ! -f "$file" ] || { rm -f "$to" && cp -L "$file" "$to"; }
    done
    mkdir -p "$machine/usr/local/share/ca-certificates"
    for file in /usr/local/share/ca-certificates/*.crt; do
        [ ! -f "$file" ] || cp -L "$file" "$machine/usr/local/share/ca-certificates/"
    done
}

# Debian's own word to its packages that this is a folder: install, but start no services.  And dpkg need
# not sync each file of a machine that is thrown away.
be_a_folder() {
    echo force-unsafe-io >"$machine/etc/dpkg/dpkg.cfg.d/90bare"
    printf '#!/bin/sh\nexit 101\n' >"$machine/usr/sbin/policy-rc.d"
    chmod 755 "$machine/usr/sbin/policy-rc.d"
}

mount_machine() {
    mount -t proc proc "$machine/proc"
    mount -t sysfs -o ro sysfs "$machine/sys" 2>/dev/null || mount --rbind -o ro /sys "$machine/sys"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$machine/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$machine/dev/shm"
    mount -t tmpfs -o mode=0755 tmpfs "$machine/run"
}

# A fresh clone; --dirty lays over it what git sees here and is not committed.
copy_source() {
    # Whoever owns the checkout: it is only read.
    git -c safe.directory='*' clone --quiet --no-hardlinks "file://$source" "$machine$checkout" || return 1
    [ "$dirty" = 1 ] || return 0
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard >"$home/files"
    git -C "$machine$checkout" rm -rq . &&
        tar --null --ignore-failed-read -cf - -T "$home/files" 2>/dev/null |
        tar -C "$machine$checkout" --no-same-owner -xf - && git -C "$machine$checkout" add -A
}

# bare LIMIT COMMAND: in the machine, in the checkout, with an environment of nothing.  With
# replace=exec it takes the place of the shell, which lets signals through.
replace=
bare() {
    limit=$1
    shift
    # npm's and the proxies' settings may also live in the environment.
    env | grep -iE '^(npm_config_[a-z_]*|https?_proxy|no_proxy)=' >"$machine/root/.fetching" || :
    # shellcheck disable=SC2016 # for the shell inside
    $replace timeout --kill-after=20 "$limit" chroot "$machine" env -i HOME=/root TERM=dumb \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c '
        while IFS= read -r line; do export "$line"; done </root/.fetching
        cd "$1" && shift && exec "$@"' sh "$checkout" "$@"
}

# ---- what is checked ------------------------------------------------------------------------------------

# When dpkg last did something: the moment from which "the packages are there".
packages_were_there_at() { stat -c %Y "$machine/var/log/dpkg.log" 2>/dev/null || echo 0; }

# timed NAME LIMIT COMMAND...: sets status, took (in all), own (after the packages), and load, which says
# how busy others kept this machine when it began.
timed() {
    name=$1 limit=$2
    shift 2
    read -r load _ </proc/loadavg
    began=$(date +%s) status=0
    bare "$limit" "$@" >"$logs/$name.log" 2>&1 </dev/null || status=$?
    ended=$(date +%s)
    ready=$(packages_were_there_at)
    [ "$ready" -gt "$began" ] || ready=$began
    took=$((ended - began)) own=$((ended - ready))
    [ "$status" != 124 ] || printf 'bare: stopped after %s s\n' "$limit" >>"$logs/$name.log"
}

check_is_bare() {
    extra=
    for program in git cc python3 node npm curl psql chromium sudo; do
        [ -z "$(chroot "$machine" sh -c "command -v $program")" ] || extra="$extra $program"
    done
    verdict "$([ -z "$extra" ] && echo 0 || echo 1)" "the machine has no compiler, no git, no Node:$extra"
}

check_demo_once() {
    say "./run demo --once"
    timed demo-once "$demo_limit" ./run demo --once
    verdict "$status" "./run demo --once ($took s, $own s after the packages)" "$logs/demo-once.log"
    verdict "$([ "$own" -le "$demo_promise" ] && echo 0 || echo 1)" \
        "within $demo_promise s after the packages are there: $own s (load average $load when it began)"
    timed demo-again "$demo_limit" ./run demo --once
    verdict "$status" "./run demo --once again" "$logs/demo-again.log"
    verdict "$([ "$took" -le "$again_promise" ] && echo 0 || echo 1)" \
        "within $again_promise s the second time: $took s (load average $load when it began)"
}

# get PATH FILE: the status of the reply; its body in FILE.
get() { curl -s -m 10 -b "$home/cookies" -o "$2" -w '%{http_code}' "http://127.0.0.1:$port$1" 2>/dev/null || :; }

# With the login that the demo has printed.
sign_in() {
    password=$(awk '$1 == "Password" { print $2 }' "$logs/demo-live.log")
    code=$(printf '{"login":"demo","password":"%s"}' "$password" |
        curl -s -m 10 -c "$home/cookies" -H 'Content-Type: application/json' --data @- -o "$home/page" \
            -w '%{http_code}' "http://127.0.0.1:$port/v1/session" 2>/dev/null) || :
    verdict "$([ "$code" = 201 ] && echo 0 || echo 1)" "signing in with what the demo printed: $code" "$home/page"
}

# expect_page PATH WORDS: 200, and the body has the words.
expect_page() {
    code=$(get "$1" "$home/page")
    ok=1
    [ "$code" = 200 ] && grep -qF "$2" "$home/page" && ok=0
    verdict "$ok" "GET $1 from outside: $code" "$home/page"
}

check_demo_live() {
    port=$((20000 + $(date +%s) % 10000))
    say "./run demo, on port $port"
    (
        replace='exec'
        bare "$demo_limit" env "TONGDIAN_LISTEN=127.0.0.1:$port" ./run demo
    ) >"$logs/demo-live.log" 2>&1 </dev/null &
    front=$!
    began=$(date +%s)
    until [ "$(get /healthz "$home/page")" = 200 ]; do
        if [ $(($(date +%s) - began)) -gt "$again_promise" ] || ! kill -0 "$front" 2>/dev/null; then
            break
        fi
        sleep 0.2
    done
    expect_page /healthz '"ok":true'
    expect_page / '<title>'
    expect_page /counter/ '<title>'
    expect_page /openapi.json '"openapi"'
    expect_page /metrics tongdian_http_requests_total
    code=$(get /v1/reports/campaigns "$home/page")
    verdict "$([ "$code" = 401 ] && grep -qF '"auth.missing"' "$home/page" && echo 0 || echo 1)" \
        "GET /v1/reports/campaigns before signing in: $code" "$home/page"
    sign_in
    # The first kind's published count and rate: 604 of 3,647, 16.56 %.
    expect_page /v1/reports/campaigns '"redeemers":604,"rate_bps":1656'
    kill -TERM "$front" 2>/dev/null || :
    began=$(date +%s) status=0
    wait "$front" || status=$?
    verdict "$status" "stops when told to, in $(($(date +%s) - began)) s" "$logs/demo-live.log"
    code=$(get /healthz "$home/page")
    verdict "$([ "$code" = 000 ] && echo 0 || echo 1)" "and then answers no more: $code"
}

check_test() {
    set -- ./run test
    [ "$quick" = 0 ] || set -- "$@" unit
    say "$*"
    timed test "$test_limit" "$@"
    line=$(tail -n 1 "$logs/test.log")
    verdict "$status" "$* ($took s, $own s after the packages): $line" "$logs/test.log"
    case $line in
    *" passed, 0 failed"*) verdict 0 "its last line counts, and no failures" ;;
    *) verdict 1 "its last line counts, and no failures" "$logs/test.log" ;;
    esac
}

check_clean() {
    code=0
    git -c safe.directory='*' -C "$machine$checkout" status --porcelain >"$logs/status.log" 2>&1 || code=1
    [ "$dirty" = 1 ] || [ ! -s "$logs/status.log" ] || code=1
    verdict "$code" "the checkout is as it was: nothing generated lies where git sees it" "$logs/status.log"
}

# The package of the same build, on a second machine that has never seen a compiler.
check_package() {
    say "deploy/deb.sh"
    timed deb "$demo_limit" deploy/deb.sh
    verdict "$status" "deploy/deb.sh ($took s)" "$logs/deb.log"
    package=$(find "$machine$checkout/build" -maxdepth 1 -name 'tongdian_*.deb' | head -n 1)
    [ -n "$package" ] || return 0
    machine=$home/customer checkout=/tmp
    make_machine
    cp "$package" "$machine/tmp/tongdian.deb"
    timed deb-install "$demo_limit" sh -c \
        'apt-get update -q && apt-get install -q -y --no-install-recommends ./tongdian.deb'
    verdict "$status" "it installs on a bare machine ($took s)" "$logs/deb-install.log"
    timed deb-demo "$demo_limit" setpriv --reuid=tongdian --regid=tongdian --clear-groups \
        tongdian demo --once --data /var/lib/tongdian/demo
    verdict "$status" "tongdian demo --once there, as its own user ($took s)" "$logs/deb-demo.log"
}

make_machine() {
    mkdir "$machine"
    tar -C "$machine" --numeric-owner -xf "$home/base.tar"
    copy_settings
    be_a_folder
    mount_machine
}

make_base
make_machine
copy_source || die "git could not clone $source"
check_is_bare
check_demo_once
check_demo_live
check_test
check_clean
[ "$quick" = 1 ] || check_package
total
