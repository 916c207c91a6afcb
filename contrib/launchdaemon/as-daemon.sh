#!/bin/sh
# Runs one command of provision for a person as a LaunchDaemon, outside of the SSH session, and waits for it:
#
#     sudo sh as-daemon.sh PERSON all --yes --json
#
# For Macs on which torch does not see the GPU (MPS) over SSH. What the command says comes out here, and its exit
# code is this script's. ComfyUI, if the command starts it, keeps running. Needs root; leaves nothing behind.

set -u

if [ "$(id -u)" != 0 ] || [ $# -lt 2 ]; then
  echo "Usage: sudo sh as-daemon.sh PERSON COMMAND [OPTIONS]" >&2
  exit 2
fi
person=$1
shift
group=$(id -gn "$person") || exit 2
home=$(dscl . -read "/Users/$person" NFSHomeDirectory | sed -n 's/^NFSHomeDirectory: //p')
program=$home/.local/bin/provision
[ -x "$program" ] || {
  echo "$program is not installed." >&2
  exit 2
}

label=local.provision.$$
plist=${LAUNCH_DAEMONS:-/Library/LaunchDaemons}/$label.plist
out=$(mktemp -d /tmp/provision.XXXXXX) || exit 1
chown "$person:$group" "$out"
: >"$out/said"
chown "$person:$group" "$out/said"

as_string() {
  printf '    <string>'
  printf '%s' "$1" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'
  printf '</string>\n'
}

{
  cat <<PLIST
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>$label</string>
  <key>UserName</key>
PLIST
  as_string "$person"
  cat <<PLIST
  <key>GroupName</key>
PLIST
  as_string "$group"
  cat <<'PLIST'
  <key>RunAtLoad</key>
  <true/>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>WorkingDirectory</key>
PLIST
  as_string "$home"
  cat <<'PLIST'
  <key>EnvironmentVariables</key>
  <dict>
    <key>HOME</key>
PLIST
  as_string "$home"
  cat <<'PLIST'
    <key>PATH</key>
    <string>/usr/bin:/bin:/usr/sbin:/sbin</string>
  </dict>
  <key>ProgramArguments</key>
  <array>
PLIST
  as_string /bin/sh
  as_string -c
  # shellcheck disable=SC2016  # for the daemon's shell
  as_string 'out=$1; shift; "$@" >>"$out/said" 2>&1 </dev/null; echo $? >"$out/half"; mv "$out/half" "$out/code"'
  as_string sh
  as_string "$out"
  as_string "$program"
  for word in "$@"; do
    as_string "$word"
  done
  printf '  </array>\n</dict>\n</plist>\n'
} >"$plist"
chmod 644 "$plist"

tail -f "$out/said" &
tail=$!
# shellcheck disable=SC2317,SC2329  # called by trap
end() {
  launchctl bootout "system/$label" 2>/dev/null
  kill "$tail" 2>/dev/null
  rm -rf "$plist" "$out"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

launchctl bootstrap system "$plist" || exit 1
while [ ! -f "$out/code" ]; do
  launchctl print "system/$label" >/dev/null 2>&1 || [ -f "$out/code" ] || exit 1
  sleep 1
done
sleep 1 # tail looks once a second
exit "$(cat "$out/code")"
