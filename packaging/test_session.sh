#!/usr/bin/env bash
# Runs a command in a desktop session of its own: a virtual display, a session bus, an unlocked secret service
# with an empty keyring, and empty home folders. Nothing of the user's is read or written, nothing stays behind.
set -euo pipefail
cd "$(dirname "$0")/.."

session=$(mktemp -d)
# gnome-keyring-daemon leaves its parent; it is ended by the number it printed.
ended() {
  status=$?
  [ -s "$session/keyring.pid" ] && kill "$(cat "$session/keyring.pid")" 2>/dev/null || true
  rm -rf "$session"
  exit $status
}
trap ended EXIT

mkdir -p "$session/home" "$session/run"
chmod 700 "$session/run"
export SESSION_FOLDER="$session" HOME="$session/home" XDG_RUNTIME_DIR="$session/run"
unset XDG_DATA_HOME XDG_CONFIG_HOME XDG_CACHE_HOME XDG_STATE_HOME DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY

dbus-run-session -- bash -c '
  head -c 18 /dev/urandom | base64 | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
  pgrep -n -u "$(id -u)" -f "gnome-keyring-daemon --unlock" > "$SESSION_FOLDER/keyring.pid" || true
  exec xvfb-run -a -n "${DISPLAY_FROM:-99}" -s "-screen 0 1600x1000x24 -nolisten tcp" "$@"
' bash "$@"
