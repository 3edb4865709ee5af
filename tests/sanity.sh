#!/usr/bin/env bash
# ansible-test sanity on a copy of the collection, since it wants a folder named ansible_collections/hardway/kubernetes.
# Arguments go to ansible-test, such as: tests/sanity.sh --test validate-modules plugins/modules/component.py
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$("$root/bin/venv")
cache=${HARDWAY_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hardway-kubernetes}
mkdir -p "$cache"
work=$(mktemp -d "$cache/sanity.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
copy=$work/ansible_collections/hardway/kubernetes
mkdir -p "$copy"

# What git tracks and what is new; the lab and the tests are no part of the tarball and follow the project's own linters.
cd "$root"
git ls-files -z --cached --others --exclude-standard -- . ':!.collections' ':!bin' ':!lab' ':!molecule' |
  while IFS= read -r -d '' file; do
    [[ ! -f $file || ($file == tests/* && $file != tests/sanity/*) ]] || printf '%s\0' "$file"
  done |
  tar --create --null --files-from=- | tar --extract --directory="$copy"

# ansible-test would fetch pip's installer from its makers' site; Python's own copy of pip does it from any package index.
# Its environments get no variables of pip's, so the caller's settings (index, certificates) are put into a file.
settings=$("$venv/bin/pip" config list | sed -n "s/^\(global\|:env:\)\.\([a-z-]*\)='\(.*\)'\$/\2 = \3/p" | sort -u -t= -k1,1)
export HOME=$cache/ansible-test PATH=$venv/bin:$PATH
mkdir -p "$HOME/.config/pip"
printf '[global]\n%s\n' "$settings" >"$HOME/.config/pip/pip.conf"
setup=$(python -c 'import ansible_test; print(list(ansible_test.__path__)[0])')/_internal/python_requirements.py
pip=$(sed -n "s/^ *pip='\([0-9.]*\)',\$/\1/p" "$setup")
mkdir -p "$HOME/.ansible/test/cache"
cat >"$HOME/.ansible/test/cache/get_pip_${pip//./_}.py" <<'PYTHON'
import ensurepip
import os
import subprocess
import sys

environment = dict(os.environ)  # ensurepip turns pip's settings off for good
ensurepip.bootstrap()
packages = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *packages], env=environment))
PYTHON

cd "$copy"
ansible-test sanity --python "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$@"
