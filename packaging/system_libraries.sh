#!/usr/bin/env bash
# Checks for the system libraries that Qt needs ("run"), and for what the tests need beside them ("test").
# As root on Debian or Ubuntu it installs what is missing; otherwise it prints the one command that does.
# The tests start servers of their own on loopback: the packages start none for the machine, now or at boot.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-run}
[ "$(uname -s)" = Linux ] || exit 0
# Servers are in folders that a user's PATH leaves out.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin"

qt_packages="libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-cursor0 libxcb-icccm4
  libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0
  libxcb-xkb1 libxkbcommon-x11-0 libx11-xcb1"
# redis-tools holds the server's program too, without the service; so does mariadb-server-core.
test_packages="xvfb xauth dbus dbus-daemon gnome-keyring at-spi2-core procps postgresql rabbitmq-server
  openssh-server openssh-client redis-tools mariadb-server-core mariadb-client-core"
test_programs="Xvfb xauth dbus-run-session gnome-keyring-daemon rabbitmq-server sshd ssh-keygen ssh-agent
  redis-check-rdb mariadbd mariadb-install-db my_print_defaults"
services="rabbitmq-server epmd ssh"

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
  for program in $test_programs; do
    command -v "$program" >/dev/null || echo "$program"
  done
  # Debian keeps PostgreSQL's programs off PATH.
  [ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || command -v initdb >/dev/null || echo initdb
}

# Puts a file there for the time of the installation, unless the machine has one of its own.
temporary_files=()
temporary_file() {
  [ ! -e "$1" ] || return 0
  mkdir -p "${1%/*}"
  temporary_files+=("$1")
  printf '%s\n' "${@:3}" > "$1"
  chmod "$2" "$1"
}
trap 'rm -f "${temporary_files[@]}"' EXIT

installed_services() {
  for service in $services; do
    if [ -e "/etc/init.d/$service" ] || [ -e "/lib/systemd/system/$service.service" ]; then
      echo "$service"
    fi
  done
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
  if [ "$purpose" = test ]; then
    # Not apt-get itself, which would start the servers.
    echo "  sudo bash packaging/system_libraries.sh test" >&2
  else
    echo "  sudo apt-get install -y $packages" >&2
  fi
  exit 1
fi
echo "Installing the system libraries that are missing: $(echo $missing)"
export DEBIAN_FRONTEND=noninteractive
before="$(installed_services)"
if [ "$purpose" = test ]; then
  temporary_file /etc/postgresql-common/createcluster.conf 644 "create_main_cluster = false"
  temporary_file /usr/sbin/policy-rc.d 755 "#!/bin/sh" "exit 101"
fi
apt-get update -qq
# --no-remove: a server of the machine that stands in the way is the owner's to decide about.
apt-get install -y -qq --no-remove --no-install-recommends -o Dpkg::Options::=--force-confold $packages >/dev/null
for service in $(installed_services); do
  # One that was there before keeps the setting its owner gave it.
  case " $(echo $before) " in *" $service "*) continue ;; esac
  update-rc.d "$service" disable >/dev/null 2>&1 || true
  # Ubuntu starts sshd by its socket.
  for unit in "$service.service" "$service.socket"; do systemctl disable "$unit" >/dev/null 2>&1 || true; done
done
left="$(missing_libraries || true) $(missing_programs)"
if [ -n "${left// /}" ]; then
  echo "Still missing after the installation: $(echo $left)" >&2
  exit 1
fi
