#!/bin/sh
# Installs provision, for you alone and without git, Python or an administrator:
#
#     curl -fsSL https://raw.githubusercontent.com/OWNER/provision/HEAD/install.sh | sh
#     sh install.sh            in a checkout or an unpacked zip: installs what lies there
#     sh install.sh --from DIR|URL [--sha256 HEX]   from a bundle, without internet; HEX is its digest
#     sh install.sh --uv DIR   downloads uv alone, to DIR/uv
#
# Run it again to update. What it makes lies in one folder, ~/.local/share/comfy-provision:
#   uv               which installs Python packages
#   python           a Python of uv's, where the machine has none that fits
#   env-PID          the environment that the run PID made; what a killed run left is removed by the next one
#   kit-PID          what was taken from a bundle, while it is installed
#   bin/provision    a link to the program in the environment that counts, changed last, by one rename
# and ~/.local/bin/provision and provision.1 in ~/.local/share/man/man1 are links to there.
# Settings: PROVISION_SOURCE names another archive or folder to install; UV_DEFAULT_INDEX or PIP_INDEX_URL another
# package index; HTTPS_PROXY a proxy.

set -eu

repository=https://github.com/OWNER/provision # as [project.urls] in pyproject.toml has it
python_versions='>=3.11,<3.15'
uv_version=0.13.9
# What `uname -sm` says, the wheel of uv for it on files.pythonhosted.org, and its sha256.
uv_wheels='
Darwin-arm64 f3/a7/a8d7b074798c7fb3b26b37584b8fe2e29df2ccdc24ce7902caab2a53edbf macosx_11_0_arm64 66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63
Darwin-x86_64 1e/db/08e9ef4879bd667e6d7b4705e594e5bd3e4585f10fc63cb16b9fa2fac63e macosx_10_12_x86_64 c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5
Linux-aarch64 fe/2f/51a5de367c602592c018a42a23d57fba5f2689fe6c3bf025dcf043b39c61 manylinux_2_28_aarch64 ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375
Linux-x86_64 3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f manylinux_2_17_x86_64.manylinux2014_x86_64 d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19
'

bundle=  # where everything comes from, in place of the internet
kit=     # what was taken from it
half=    # what is half made
log=     # what uv says
working= # the program that runs behind this one

say() {
  printf '%s\n' "$*" >&2
}

# fail SENTENCE HINT...
fail() {
  say "install.sh: $1"
  shift
  for hint in "$@"; do
    say "  $hint"
  done
  exit 1
}

no_network() { # WHAT FROM
  fail "$1 could not be downloaded from $2." \
    "Is there a network? Behind a proxy: export HTTPS_PROXY=http://HOST:PORT" \
    "With a package index of your own: export UV_DEFAULT_INDEX=URL" \
    "Then run the same line again."
}

no_room() { # FOLDER
  fail "No space left in $(shown "$1")." "df -h $(shown "$1")"
}

clean_up() {
  if [ -n "$working" ]; then
    kill "$working" 2>/dev/null || :
    wait "$working" 2>/dev/null || :
  fi
  rm -rf ${half:+"$half"} ${log:+"$log"} ${kit:+"$kit"} || :
}

stopped() {
  trap '' INT TERM HUP
  say 'Stopped. Nothing is lost; run the same line again.'
  exit 130
}

# Removes what runs that were killed left at PATH-PID; a run that lives goes on with its own.
sweep() { # PATH [KEPT]
  for left in "$1"-*; do
    case ${left##*-} in
      *[!0-9]*) continue ;;
    esac
    [ "$left" = "${2:-}" ] || kill -0 "${left##*-}" 2>/dev/null || rm -rf "$left" || :
  done
}

# A path to read and to paste.
shown() {
  case $1 in
    "$HOME"/*[!A-Za-z0-9._/-]*) ;;
    "$HOME"/*)
      printf '%s/%s' '~' "${1#"$HOME"/}"
      return
      ;;
    *[!A-Za-z0-9._/-]*) ;;
    *)
      printf '%s' "$1"
      return
      ;;
  esac
  quoted "$1"
}

quoted() {
  printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

machine() {
  kind=$(uname -s)-$(uname -m)
  # A shell that runs under Rosetta calls the processor x86_64.
  if [ "$kind" = Darwin-x86_64 ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null || :)" = 1 ]; then
    kind=Darwin-arm64
  fi
  printf '%s' "$kind"
}

# --- uv ---------------------------------------------------------------------------------------------------------

# download URL FILE
download() {
  if command -v curl >/dev/null; then
    curl -fsSL --retry 5 --connect-timeout 20 --speed-limit 1 --speed-time 60 -o "$2" "$1"
  elif command -v wget >/dev/null; then
    wget -q -T 60 -O "$2" "$1"
  else
    say "curl or wget is required."
    return 1
  fi
}

sha256() {
  if command -v shasum >/dev/null; then
    shasum -a 256 "$1"
  else
    sha256sum "$1"
  fi
}

unpack() { # ARCHIVE MEMBER FOLDER
  if command -v unzip >/dev/null; then
    unzip -q -o "$1" "$2" -d "$3"
  elif command -v python3 >/dev/null; then
    python3 -m zipfile -e "$1" "$3"
  else
    fail "unzip is missing." "sudo apt-get install unzip"
  fi
}

# Where the index that is configured has a file, from its page of a project (PEP 503); the address may be relative.
address_in_index() { # INDEX PROJECT FILE FOLDER
  page=${1%/}/$2/
  download "$page" "$4/page" || return 1
  link=$(tr '"' "'" <"$4/page" | sed -n "s|.*href='\(\([^'#]*/\)\{0,1\}$3\)['#].*|\1|p" | head -n 1)
  case $link in
    '') return 1 ;;
    *://*) printf '%s' "$link" ;;
    /*) printf '%s%s' "$(printf '%s' "$page" | sed 's|^\([^:]*://[^/]*\).*|\1|')" "$link" ;;
    *) printf '%s%s' "$page" "$link" ;;
  esac
}

# bring_uv FOLDER: FOLDER/uv, of the version that is named here, by one rename.
bring_uv() {
  folder=$1
  if [ "$("$folder/uv" --version 2>/dev/null | cut -d ' ' -f 2)" = "$uv_version" ]; then
    return 0
  fi
  row=$(printf '%s' "$uv_wheels" | grep "^$(machine) ") ||
    fail "No uv for this kind of machine ($(machine))." "Install uv yourself: https://docs.astral.sh/uv"
  read -r _ place tag hash <<ROW
$row
ROW
  file=uv-$uv_version-py3-none-$tag.whl
  member=uv-$uv_version.data/scripts/uv
  sweep "$folder/uv"
  half=$folder/uv-$$
  mkdir -p "$half" || fail "$(shown "$folder") cannot be written."
  if [ -n "$bundle" ]; then
    take "kit/$file" "$half/uv.whl"
    unpack_uv
    return
  fi
  say "Downloading uv $uv_version ..."
  index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}}
  if [ -n "$index" ]; then
    url=$(address_in_index "$index" uv "$file" "$half") || no_network "uv $uv_version" "$index"
  else
    url=https://files.pythonhosted.org/packages/$place/$file
  fi
  download "$url" "$half/uv.whl" || case $? in
    23) no_room "$folder" ;; # curl's number for a file that cannot be written
    *) no_network "uv $uv_version" "${index:-files.pythonhosted.org}" ;;
  esac
  unpack_uv
}

# Sees that half/uv.whl is the file that was meant, and puts the uv in it into $folder.
unpack_uv() {
  case $(sha256 "$half/uv.whl") in
    "$hash "*) ;;
    *) fail "What came in place of uv $uv_version is another file: its sha256 is not $hash." \
      "Something on the way changes files; try another network." ;;
  esac
  unpack "$half/uv.whl" "$member" "$half" || no_room "$folder"
  chmod +x "$half/$member"
  "$half/$member" --version >/dev/null || fail "uv $uv_version does not run on this machine."
  mv -f "$half/$member" "$folder/uv"
  rm -rf "$half"
  half=
}

# --- a bundle ---------------------------------------------------------------------------------------------------

# take PATH FILE: a file of the bundle; once its list is here, only with the hash that it has there.
take() {
  case $bundle in
    http://* | https://*) download "$bundle/$1" "$2" || fail "$bundle/$1 could not be downloaded." ;;
    *) cp "$bundle/$1" "$2" 2>/dev/null || fail "$(shown "$bundle/$1") cannot be read." "Check the disk." ;;
  esac
  [ -f "$kit/SHA256SUMS" ] || return 0
  listed=$(sed -n "s|^\\([0-9a-f]\\{64\\}\\)  $1\$|\\1|p" "$kit/SHA256SUMS")
  found=$(sha256 "$2")
  [ "${found%% *}" = "${listed:-none}" ] ||
    fail "$1 in the bundle is damaged: its sha256 is not the one in SHA256SUMS." "Copy the bundle again."
}

# The names of the bundle's files in FOLDER that end with ENDING; a name that leads elsewhere is none.
listed_in() { # FOLDER ENDING
  sed -n "s|^[0-9a-f]\\{64\\}  \\($1[A-Za-z0-9_.+!-]*$2\\)\$|\\1|p" "$kit/SHA256SUMS"
}

# The build of Python in the bundle for this machine; nothing where it has none.
bundled_python() {
  case $(machine) in
    Darwin-arm64) build=aarch64-apple-darwin ;;
    Darwin-*) build=x86_64-apple-darwin ;;
    Linux-aarch64) build=aarch64-unknown-linux-gnu ;;
    *) build=x86_64-unknown-linux-gnu ;;
  esac
  listed_in 'python/[0-9]\{8\}/cpython-3' "-$build-install_only[a-z_]*\\.tar\\.gz" | head -n 1
}

# Tells uv of that build, by its hash, in place of those that it knows.
offer_python() { # PATH
  name=${1##*/}
  take "$1" "$kit/$name"
  version=${name#cpython-}
  version=${version%%+*}
  patch=${version##*.}
  minor=${version#*.}
  minor=${minor%%.*}
  case $name in
    *apple-darwin*) system=darwin libc=none ;;
    *) system=linux libc=gnu ;;
  esac
  arch=${name#*+*-}
  arch=${arch%%-*}
  found=$(sha256 "$kit/$name")
  printf '{"cpython-%s-%s-%s-%s": {"name": "cpython", "arch": {"family": "%s", "variant": null}, "os": "%s",
 "libc": "%s", "major": 3, "minor": %s, "patch": %s, "prerelease": "", "url": "file://%s", "sha256": "%s",
 "variant": null}}\n' "$version" "$system" "$arch" "$libc" "$arch" "$system" "$libc" "$minor" "$patch" \
    "$(printf '%s' "$kit/$name" | sed 's/%/%25/g; s/ /%20/g; s/#/%23/g; s/?/%3F/g; s/+/%2B/g')" "${found%% *}" \
    >"$kit/pythons.json"
  export UV_PYTHON_DOWNLOADS_JSON_URL="$kit/pythons.json"
}

# open_bundle FOLDER-OR-URL DIGEST: brings what this tool is made of to $kit, verified.
open_bundle() {
  bundle=${1%/}
  kit=$root/kit-$$
  sweep "$root/kit"
  mkdir -p "$kit" || fail "$(shown "$root") cannot be written."
  say "Taking provision from $(shown "$bundle") ..."
  take SHA256SUMS "$kit/sums"
  found=$(sha256 "$kit/sums")
  [ -z "$2" ] || [ "${found%% *}" = "$2" ] || fail "$(shown "$bundle") is not the bundle with that digest."
  mv "$kit/sums" "$kit/SHA256SUMS"
  [ -n "$(listed_in kit/comfy_provision- '\.whl')" ] || fail "$(shown "$bundle") is not a bundle of provision."
  for path in $(listed_in kit/ '\.whl'); do
    take "$path" "$kit/${path##*/}"
  done
  take kit/python-version "$kit/python-version"
  python_versions=$(head -n 1 "$kit/python-version")
  case $python_versions in
    3.1[1-4]) ;;
    *) fail "$(shown "$bundle") is for a Python that this install.sh does not know." \
      "Use its own: sh $(shown "$bundle/kit/install.sh")" ;;
  esac
}

# --- provision --------------------------------------------------------------------------------------------------

# Prints the bundle that this script lies in, if it lies in one.
bundle_of() {
  beside=$(dirname "$0")
  if [ "${0##*/}" = install.sh ] && [ -f "$beside/../SHA256SUMS" ] && [ -f "$beside/python-version" ]; then
    (CDPATH='' cd -P "$beside/.." && pwd -P)
  fi
}

# Prints what to install: what lies beside this script, else what is published.
source_of() {
  beside=$(dirname "$0")
  if [ -n "${PROVISION_SOURCE:-}" ]; then
    printf '%s' "$PROVISION_SOURCE"
  elif [ "${0##*/}" = install.sh ] && grep -q '^name = "comfy-provision"' "$beside/pyproject.toml" 2>/dev/null; then
    (CDPATH='' cd -P "$beside" && pwd -P)
  else
    printf '%s' "$repository/archive/HEAD.tar.gz"
  fi
}

# Of the person's settings of uv only those count that say where packages come from; pip's, where uv has none.
leave_indexes() {
  for name in $(env | sed -n 's/^\(UV_[A-Za-z0-9_]*\)=.*/\1/p'); do
    case $name in
      UV_INDEX* | UV_DEFAULT_INDEX | UV_EXTRA_INDEX_URL | UV_FIND_LINKS | UV_INSECURE_HOST | UV_KEYRING_PROVIDER) ;;
      UV_CREDENTIALS_DIR | UV_PYTHON_SEARCH_PATH | UV_*_MIRROR | UV_*_JSON_URL | UV_NATIVE_TLS | UV_SYSTEM_CERTS) ;;
      UV_CACHE_DIR | UV_PYTHON_INSTALL_DIR | UV_LINK_MODE | UV_CONFIG_FILE | UV_NO_CONFIG) ;;
      UV_HTTP_TIMEOUT | UV_REQUEST_TIMEOUT | UV_HTTP_CONNECT_TIMEOUT | UV_HTTP_RETRIES)
        number=
        eval "number=\$$name"
        case $number in # uv does nothing at all where one of these is no number
          '' | *[!0-9]*) unset "$name" ;;
        esac
        ;;
      *) unset "$name" ;;
    esac
  done
  if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
  fi
  if [ -n "${PIP_EXTRA_INDEX_URL:-}" ] && [ -z "${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}" ]; then
    export UV_INDEX="$PIP_EXTRA_INDEX_URL"
  fi
}

# On a Mac the Python is uv's own: /usr/bin/python3 may be a stub that opens a window, others may be Intel's.
set_up_uv() {
  unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH
  leave_indexes
  if [ "$(uname -s)" = Darwin ]; then
    export UV_MANAGED_PYTHON=1
  fi
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" # a company's too; curl and wget go by them as well
  export UV_PYTHON_INSTALL_DIR="$root/python"
  export UV_CACHE_DIR="${UV_CACHE_DIR:-$root/cache}"
}

# A shell hears a signal while it waits for what runs behind it, and only afterwards where that runs before it.
run_uv() {
  "$root/uv" "$@" >>"$log" 2>&1 &
  working=$!
  code=0
  wait "$working" || code=$?
  working=
  return "$code"
}

fill_env() { # ENV SOURCE
  rm -rf "$1"
  : >"$log"
  if [ -n "$bundle" ]; then
    run_uv venv --quiet --python "$python_versions" "$1" &&
      run_uv pip install --quiet --compile-bytecode --refresh-package comfy-provision --no-index --find-links "$kit" \
        --python "$1/bin/python" "$2"
    return
  fi
  run_uv venv --quiet --python "$python_versions" "$1" &&
    run_uv pip install --quiet --compile-bytecode --refresh-package comfy-provision --python "$1/bin/python" "$2"
}

# A day, a mode or a rule in the person's uv.toml, or a fault in it, may forbid what is needed here.
fill_env_without_uv_toml() {
  [ -f "${UV_CONFIG_FILE:-${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml}" ] || [ -f /etc/uv/uv.toml ] || return 1
  unset UV_CONFIG_FILE
  export UV_NO_CONFIG=1
  fill_env "$@"
}

# In place of pip's script, which Python reads only after all packages: until then a Ctrl-C is answered by a traceback.
first_line='import sys,_signal; _signal.signal(2,_signal.SIG_DFL); __file__=sys.argv.pop(1); exec(open(__file__).read())'
write_program() { # ENV
  for start in "$1"/lib/python*/site-packages/provision/start.py; do
    [ -f "$start" ] || continue
    # shellcheck disable=SC2016  # expanded by the program
    printf '#!/bin/sh\nexport PROVISION_CALLED_AS="$0"\nexec %s -I -S -X utf8 -c %s %s "$@"\n' \
      "$(quoted "$1/bin/python")" "$(quoted "$first_line")" "$(quoted "$start")" >"$1/program"
    chmod +x "$1/program" && mv -f "$1/program" "$1/bin/provision"
  done
}

# make_env SOURCE: $root/env-PID, tried before it counts. Sets $version.
make_env() {
  half=$root/env-$$
  log=$root/log-$$
  if [ -n "$bundle" ]; then
    say "Installing Python packages ..."
  else
    say "Downloading Python packages, and Python where it is missing (about a minute) ..."
  fi
  if ! fill_env "$half" "$1" && ! fill_env_without_uv_toml "$half" "$1"; then
    ! grep -qi 'no space left\|quota exceeded' "$log" || no_room "$root"
    tail -n 15 "$log" >&2
    [ -z "$bundle" ] || fail "provision could not be installed from $(shown "$bundle")." \
      "It needs Python $python_versions, which the bundle does not have for this machine, or another kind of machine."
    no_network "What provision is made of" "${UV_DEFAULT_INDEX:-PyPI}"
  fi
  write_program "$half" || no_room "$root"
  version=$("$half/bin/provision" --version) || fail "What was installed from $1 does not run."
  rm -f "$log"
  log=
}

# link_to TARGET LINK: by one rename, where nothing of somebody else's is in the way.
link_to() {
  if [ -e "$2" ] || [ -L "$2" ]; then
    case $(readlink "$2" || :) in
      "$root"/*) ;;
      *) return 1 ;;
    esac
  fi
  { mkdir -p "${2%/*}" && ln -sf "$1" "$root/link-$$" && mv -f "$root/link-$$" "$2"; } 2>/dev/null || {
    rm -f "$root/link-$$"
    return 1
  }
}

# The line that puts ~/.local/bin on the PATH of the person's shell, now and from now on.
path_line() {
  case ${SHELL:-}:$(uname -s) in
    */fish:*)
      printf 'fish_add_path ~/.local/bin'
      return
      ;;
    */zsh:*) read_by_shell=${ZDOTDIR:-$HOME}/.zshrc ;;
    */bash:Darwin) read_by_shell=$HOME/.bash_profile ;;
    */bash:*) read_by_shell=$HOME/.bashrc ;;
    *) read_by_shell=$HOME/.profile ;;
  esac
  # shellcheck disable=SC2016  # expanded by the shell that it is pasted into
  set -- 'export PATH="$HOME/.local/bin:$PATH"'
  printf "%s; echo '%s' >>%s" "$1" "$1" "$(shown "$read_by_shell")"
}

# Says where it is, what to type next and how to remove it.
say_how_to_go_on() { # WHAT-WAS-DONE
  link=$HOME/.local/bin/provision
  man=$HOME/.local/share/man/man1/provision.1
  made=$(shown "$root")
  call=$(shown "$root/bin/provision")
  say "$1 in $made."
  ! link_to "$env/share/man/man1/provision.1" "$man" || made="$made $(shown "$man")"
  if link_to "$root/bin/provision" "$link"; then
    made="$made $(shown "$link")"
    call=$(shown "$link")
    [ "$(command -v provision || :)" != "$link" ] || call=provision
  fi
  case :$PATH: in
    *:"$HOME/.local/bin":*) ;;
    *)
      say ""
      say "To call it \`provision\`, paste this line once:"
      say ""
      say "  $(path_line)"
      ;;
  esac
  say ""
  say "  Set everything up:  $call all${given:+ --from $(shown "$given")}"
  say "  Look first:         $call plan"
  say "  Update it:          run the same line again"
  say "  Remove it:          rm -rf $made"
}

install_provision() { # [BUNDLE [DIGEST]]
  if [ -n "${SUDO_UID:-}" ] && [ "$SUDO_UID" != 0 ]; then
    fail "Run it without sudo: it installs for you only."
  fi
  [ -n "${HOME:-}" ] || fail "HOME is not set." "export HOME=~"
  from=$(source_of)
  given=${1:-$(bundle_of)}
  case $given:$from in
    :*/OWNER/*) fail "This copy of install.sh names no place where provision is published." \
      "In a checkout or an unpacked zip: sh install.sh" ;;
  esac
  case $given in
    '' | /* | http://* | https://*) ;;
    *) given=$PWD/$given ;;
  esac
  root=${XDG_DATA_HOME:-$HOME/.local/share}/comfy-provision
  mkdir -p "$root/bin" || fail "$(shown "$root") cannot be written." \
    "Choose another folder than ~/.local/share: export XDG_DATA_HOME=FOLDER"
  say "Installing provision into $(shown "$root") ..."
  used=$(readlink "$root/bin/provision" || :)
  before=$("$root/bin/provision" --version 2>/dev/null || :)
  sweep "$root/env" "${used%/bin/provision}"
  sweep "$root/log"
  sweep "$root/link"
  if [ -n "$given" ]; then
    open_bundle "$given" "${2:-}"
    from=comfy-provision
  fi
  bring_uv "$root"
  set_up_uv
  if [ -n "$given" ] && build=$(bundled_python) && [ -n "$build" ]; then
    offer_python "$build"
    python_versions=3.$minor
  fi
  make_env "$from"
  env=$half
  half= # from here on it is whole
  link_to "$env/bin/provision" "$root/bin/provision" || fail "$(shown "$root/bin/provision") is not a link of mine."
  [ "$UV_CACHE_DIR" != "$root/cache" ] || { "$root/uv" cache clean --quiet && rm -rf "$root/cache"; } || :
  case $before in
    '') say_how_to_go_on "Installed $version" ;;
    "$version") say_how_to_go_on "Reinstalled $version" ;;
    *) say_how_to_go_on "Updated $before to $version" ;;
  esac
}

main() {
  trap clean_up EXIT
  trap stopped INT TERM HUP
  if [ "${1-}" = --uv ] && [ $# = 2 ]; then
    bring_uv "$2"
  elif [ "${1-}" = --from ] && [ $# = 2 ]; then
    install_provision "$2"
  elif [ "${1-}:${3-}" = --from:--sha256 ] && [ $# = 4 ]; then
    install_provision "$2" "$4"
  elif [ $# = 0 ]; then
    install_provision
  else
    fail "Usage: install.sh [--from DIR|URL [--sha256 HEX]] [--uv FOLDER]"
  fi
}

main "$@" </dev/null # at the end, so that nothing is run of a script that came in part
