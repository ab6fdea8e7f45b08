#!/bin/sh
# deploy/deb.sh -- builds build/tongdian_VERSION_ARCH.deb with dpkg-deb alone.
#
# For the Debian that it is built on: what it depends on are the packages that own the libraries which
# the program names.  It does not start the service: who installs looks at the configuration first.
set -eu
cd "$(dirname "$0")/.."
umask 022
build=${TONGDIAN_BUILD_ROOT:-$PWD/build}
program=$build/release/src/app/tongdian
stage=$build/deb

tools/setup.sh build web
(cd web && npm run build)
./run build release

version=$("$program" version | awk '{ print $2; exit }')
arch=$(dpkg --print-architecture)

# The packages of the shared libraries in the program's own list, not of what those need in turn.
depends=$(objdump -p "$program" | awk '$1 == "NEEDED" { print $2 }' | while read -r library; do
    path=$(ldd "$program" | awk -v l="$library" '$1 == l || $1 ~ "/" l "$" { print $3 == "" ? $1 : $3; exit }')
    real=$(readlink -f "$path") # /lib is /usr/lib, and packages know their files by either name
    dpkg -S "$real" 2>/dev/null || dpkg -S "${real#/usr}"
done | cut -d: -f1 | sort -u | paste -sd, | sed 's/,/, /g')

rm -rf "$stage"
install -D -m 755 "$program" "$stage/usr/bin/tongdian"
strip --strip-unneeded "$stage/usr/bin/tongdian"
install -D -m 644 deploy/tongdian.service "$stage/lib/systemd/system/tongdian.service"
install -D -m 644 deploy/tongdian.conf "$stage/etc/tongdian/tongdian.conf"
mkdir -p "$stage/usr/share/tongdian/data" "$stage/usr/share/doc/tongdian" "$stage/DEBIAN"
cp -R maps "$stage/usr/share/tongdian/maps"
cp -R data/completejourney "$stage/usr/share/tongdian/data/completejourney"
cp README.md docs/dependencies.md docs/ops/*.md "$stage/usr/share/doc/tongdian/"
cp LICENSE "$stage/usr/share/doc/tongdian/copyright"

cat >"$stage/DEBIAN/control" <<TEXT
Package: tongdian
Version: $version
Architecture: $arch
Maintainer: The Tongdian authors <noreply@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: $depends, tzdata
Section: web
Priority: optional
Description: O2O marketing of a retail chain: one program, one data folder
 One customer in every shop, online and off: people by phone number, coupons from
 the claim to the till, orders, campaign reports.
TEXT
echo /etc/tongdian/tongdian.conf >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/postinst" <<'TEXT'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    getent group tongdian >/dev/null || groupadd --system tongdian
    getent passwd tongdian >/dev/null ||
        useradd --system --gid tongdian --home-dir /var/lib/tongdian --shell /usr/sbin/nologin tongdian
    install -d -o tongdian -g tongdian -m 700 /var/lib/tongdian
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
TEXT
cat >"$stage/DEBIAN/prerm" <<'TEXT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tongdian.service
fi
TEXT
chmod 755 "$stage/DEBIAN/postinst" "$stage/DEBIAN/prerm"

package=$build/tongdian_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$stage" "$package"
rm -rf "$stage"
