#!/bin/sh
# tests/browser/run.sh BINARY -- the pages in a real browser, against the real server.
#
# Needs Node 18 or later, npm, and Chromium (CHROMIUM names it, default /usr/bin/chromium).  The pages
# are those of the folder that TONGDIAN_TEST_PAGES names, default web/dist; when that is empty or not
# there, those inside the binary.  Screenshots: build/screenshots/.
# The last line says how many passed and failed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "${1:?usage: tests/browser/run.sh BINARY}")
[ -d "$here/node_modules" ] || (cd "$here" && npm ci --ignore-scripts >&2)
exec node "$here/flows.mjs" "$binary"
