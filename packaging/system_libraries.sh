#!/usr/bin/env bash
# Checks for the system libraries that Qt needs ("run"), and for what the tests need beside them ("test").
# As root on Debian or Ubuntu it installs what is missing; otherwise it prints the one command that does.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-run}
[ "$(uname -s)" = Linux ] || exit 0

qt_packages="libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-cursor0 libxcb-icccm4
  libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0
  libxcb-xkb1 libxkbcommon-x11-0 libx11-xcb1"
test_packages="xvfb xauth dbus dbus-daemon gnome-keyring at-spi2-core procps postgresql"

missing_libraries() {
  # ldd names what the loader would not find; which package holds it is the distribution's business.
  local qt
  qt=$(.venv/bin/python -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("PySide6").origin).parent / "Qt")')
  # Qt's own libraries find each other by a path of their own; only the system's are asked for.
  ldd "$qt"/plugins/platforms/libqxcb.so "$qt"/lib/libQt6Widgets.so.6 "$qt"/lib/libQt6DBus.so.6 2>/dev/null |
    awk '/not found/ {print $1}' | grep -v '^libQt6' | sort -u
}

missing_programs() {
  [ "$purpose" = test ] || return 0
  for program in Xvfb xauth dbus-run-session gnome-keyring-daemon; do
    command -v "$program" >/dev/null || echo "$program"
  done
  # Debian keeps PostgreSQL's programs off PATH.
  [ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || command -v initdb >/dev/null || echo initdb
}

missing="$(missing_libraries || true) $(missing_programs)"
[ -n "${missing// /}" ] || exit 0

packages="$qt_packages"
[ "$purpose" = test ] && packages="$packages $test_packages"
packages=$(echo $packages)
if ! command -v apt-get >/dev/null; then
  echo "Missing on this system: $(echo $missing)" >&2
  echo "Install the packages of your distribution that hold them, then try again." >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "Missing on this system: $(echo $missing)" >&2
  echo "Install them with this command, then try again:" >&2
  echo "  sudo apt-get install -y $packages" >&2
  exit 1
fi
echo "Installing the system libraries that are missing: $(echo $missing)"
export DEBIAN_FRONTEND=noninteractive
no_cluster=/etc/postgresql-common/createcluster.conf
if [ "$purpose" = test ] && [ ! -e "$no_cluster" ]; then
  # The tests start servers of their own; the package shall not make and start one for the machine.
  mkdir -p "${no_cluster%/*}"
  echo "create_main_cluster = false" > "$no_cluster"
  trap 'rm -f "$no_cluster"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold $packages >/dev/null
left="$(missing_libraries || true) $(missing_programs)"
if [ -n "${left// /}" ]; then
  echo "Still missing after the installation: $(echo $left)" >&2
  exit 1
fi
