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
  # It leaves its parent once it has unlocked what it keeps; it is known by the folder of this session.
  head -c 18 /dev/urandom | base64 | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
  for one in $(pgrep -u "$(id -u)" -x gnome-keyring-d); do
    grep -qzx "SESSION_FOLDER=$SESSION_FOLDER" "/proc/$one/environ" 2>/dev/null || continue
    printf "%s\n" "$one" > "$SESSION_FOLDER/keyring.pid"
    keyring=$one
  done
  # It owns its name before it has unlocked what it keeps: a locked one would ask on a screen that nobody sees.
  login="--dest=org.freedesktop.secrets /org/freedesktop/secrets/collection/login"
  locked="org.freedesktop.DBus.Properties.Get string:org.freedesktop.Secret.Collection string:Locked"
  for _ in $(seq 200); do
    [ -n "${keyring:-}" ] && kill -0 "$keyring" 2>/dev/null || break
    dbus-send --print-reply $login $locked 2>/dev/null | grep -q "boolean false" && break
    sleep 0.05
  done
  exec xvfb-run -a -n "${DISPLAY_FROM:-99}" -s "-screen 0 1600x1000x24 -nolisten tcp" "$@"
' bash "$@"
