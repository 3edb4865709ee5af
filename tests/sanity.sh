#!/bin/bash
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
git ls-files -z --cached --others --exclude-standard -- . \
  ':!.collections' ':!bin' ':!lab' ':!molecule' ':!tests' ':(glob)tests/sanity/**' |
  while IFS= read -r -d '' file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done |
  tar --create --null --files-from=- | tar --extract --directory="$copy"

cd "$copy"
PATH=$venv/bin:$PATH ansible-test sanity --python "$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$@"
