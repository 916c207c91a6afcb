#!/bin/bash
# For a double click in the Finder: `provision all` in a Terminal window that stays open, so that the end can be read.

here=$(cd "$(dirname "$0")" && pwd -P) || exit
trap : INT # Ctrl-C is for provision, which says what is kept
"$here/provision" all "$@"
code=$?

if [ -t 0 ]; then
  printf '\nPress Return to close this. ' >&2
  read -r _
fi
exit "$code"
