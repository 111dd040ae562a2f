#!/usr/bin/env bash
# Runs a command in a desktop session of its own: a virtual display, a session bus, an unlocked secret service
# with an empty keyring, and empty home folders. Nothing of the user's is read or written, nothing stays behind.
set -euo pipefail
cd "$(dirname "$0")/.."

session=$(mktemp -d)
# The daemon is ended by its own number: another session's, started at the same time, has the same name.
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
  # In the foreground it stays a child whose number is known. Where there is none, tests that need it say so.
  gnome-keyring-daemon --foreground --unlock --components=secrets \
    < <(head -c 18 /dev/urandom | base64) >/dev/null 2>&1 &
  keyring=$!
  printf "%s\n" "$keyring" > "$SESSION_FOLDER/keyring.pid"
  has_name="org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets"
  for _ in $(seq 200); do
    kill -0 "$keyring" 2>/dev/null || break
    dbus-send --print-reply --dest=$has_name 2>/dev/null | grep -q "boolean true" && break
    sleep 0.05
  done
  exec xvfb-run -a -n "${DISPLAY_FROM:-99}" -s "-screen 0 1600x1000x24 -nolisten tcp" "$@"
' bash "$@"
