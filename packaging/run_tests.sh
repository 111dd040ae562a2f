#!/usr/bin/env bash
# Runs the whole suite in sessions of their own, side by side: most tests wait for real servers, so two cores
# do in a quarter of an hour what would take half an hour one after the other. With arguments: one session,
# pytest as asked. Every test runs exactly once: the last session takes what the others leave.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

if [ $# -gt 0 ]; then
  exec bash packaging/test_session.sh "$python" -m pytest "$@"
fi

# What watches the window's own thread, what waits for lines to die, and the rest.
windows="tests/gui tests/e2e tests/integration/console tests/integration/stack tests/bundled"
lines="tests/integration/life tests/integration/connections tests/integration/collector tests/contract/tunnel"
left=""
for part in $windows $lines; do left="$left --ignore=$part"; done

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
start() {
  local name=$1 display=$2
  shift 2
  DISPLAY_FROM=$display bash packaging/test_session.sh "$python" -m pytest "$@" >"$folder/$name.log" 2>&1 &
}
start windows 100 $windows
windows_pid=$!
start lines 200 $lines
lines_pid=$!
# The third is the one that is watched; the others are printed when it has ended.
status=0
DISPLAY_FROM=300 bash packaging/test_session.sh "$python" -m pytest tests $left || status=$?
wait "$lines_pid" || status=$?
cat "$folder/lines.log"
wait "$windows_pid" || status=$?
cat "$folder/windows.log"
exit "$status"
