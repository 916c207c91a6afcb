#!/bin/sh
# Munki's installcheck_script: 0 says that something is to be done, anything else that nothing is.
# It only looks: `provision doctor` as the person at this Mac, who must be logged in.

set -u

person=$(stat -f %Su /dev/console)
case $person in
  '' | root | loginwindow | _mbsetupuser) exit 1 ;;
esac
uid=$(id -u "$person") || exit 1
home=$(dscl . -read "/Users/$person" NFSHomeDirectory | sed -n 's/^NFSHomeDirectory: //p')
cd "$home" || exit 1
program=$home/.local/bin/provision
[ -x "$program" ] || exit 0

said=$(launchctl asuser "$uid" sudo -u "$person" -H "$program" doctor --json </dev/null)
code=$?
printf '%s\n' "$said" | tail -n 1
[ "$code" -ne 0 ]
