#!/bin/sh
# ComfyUI with SDXL-Turbo for the person at this Mac. Run by root: a script of Jamf, or Munki's postinstall_script.
#
# Jamf's parameters (or set them here): 4 a bundle (URL or folder; empty: the internet), 5 its digest,
# 6 more words for `provision all`, 7 a person's short name in place of the one who is logged in.
# Ends as `provision all` does (0: everything is up to date), and prints the last line of its --json.

set -u

source=${4:-}
digest=${5:-}
flags=${6:-}
person=${7:-$(stat -f %Su /dev/console)}
installer=https://raw.githubusercontent.com/OWNER/provision/HEAD/install.sh

case $person in
  '' | root | loginwindow | _mbsetupuser)
    echo "Nobody is logged in; try again later." >&2
    exit 1
    ;;
esac
uid=$(id -u "$person") || exit 1
home=$(dscl . -read "/Users/$person" NFSHomeDirectory | sed -n 's/^NFSHomeDirectory: //p')
[ -d "$home" ] || {
  echo "$person has no folder." >&2
  exit 1
}
program=$home/.local/bin/provision

# What root made would belong to root; and a program in the person's session may use the GPU as theirs may.
as_person() {
  launchctl asuser "$uid" sudo -u "$person" -H "$@"
}

cd "$home" || exit 1
if [ ! -x "$program" ]; then
  case $source in
    http*) installer=$source/kit/install.sh ;;
    ?*) installer=file://$source/kit/install.sh ;;
  esac
  script=$(mktemp /tmp/provision-install.XXXXXX) || exit 1
  trap 'rm -f "$script"' EXIT
  curl -fsSL "$installer" >"$script" || exit 1
  chmod 644 "$script"
  set --
  [ -z "$source" ] || set -- --from "$source"
  [ -z "$source" ] || [ -z "$digest" ] || set -- "$@" --sha256 "$digest"
  as_person sh "$script" "$@" || exit 1
fi

set --
[ -z "$source" ] || set -- --from "$source"
[ -z "$source" ] || [ -z "$digest" ] || set -- "$@" --from-sha256 "$digest"
# shellcheck disable=SC2086  # words
said=$(as_person "$program" all --yes --json "$@" $flags </dev/null)
code=$?
printf '%s\n' "$said" | tail -n 1
exit "$code"
