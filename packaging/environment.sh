#!/usr/bin/env bash
# Makes .venv from the hashed lock with a Python from 3.11 to 3.13. PYTHON=/path chooses one.
set -euo pipefail
cd "$(dirname "$0")/.."

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

chosen=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
  if suits "$candidate"; then chosen=$candidate; break; fi
done
if [ -z "$chosen" ]; then
  echo "Python 3.11, 3.12 or 3.13 is needed; none was found on PATH." >&2
  echo "Install one, or name it: make run PYTHON=/path/to/python3.12" >&2
  exit 1
fi

echo "Making the environment in .venv with $("$chosen" --version)"
rm -rf .venv
if ! "$chosen" -m venv .venv 2>/dev/null; then
  # Debian ships venv apart from Python.
  package="$("$chosen" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null
    rm -rf .venv
    "$chosen" -m venv .venv
  else
    echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt-get install $package" >&2
    exit 1
  fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements.lock
