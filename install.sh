#!/bin/sh
# Installs provision, for you alone and without git, Python or an administrator:
#
#     curl -fsSL https://raw.githubusercontent.com/OWNER/provision/HEAD/install.sh | sh
#     sh install.sh            in a checkout or an unpacked zip: installs what lies there
#     sh install.sh --uv DIR   brings uv alone, to DIR/uv
#
# Run it again to update. Everything goes to ~/.local/share/comfy-provision, and a link to ~/.local/bin.
# Settings: PROVISION_SOURCE names another archive or folder to install; UV_DEFAULT_INDEX or PIP_INDEX_URL another
# package index; HTTPS_PROXY a proxy.

set -eu

repository=https://github.com/OWNER/provision # as [project.urls] in pyproject.toml has it
uv_version=0.13.9
# What `uname -sm` says, the wheel of uv for it on files.pythonhosted.org, and its sha256.
uv_wheels='
Darwin-arm64 f3/a7/a8d7b074798c7fb3b26b37584b8fe2e29df2ccdc24ce7902caab2a53edbf macosx_11_0_arm64 66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63
Darwin-x86_64 1e/db/08e9ef4879bd667e6d7b4705e594e5bd3e4585f10fc63cb16b9fa2fac63e macosx_10_12_x86_64 c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5
Linux-aarch64 fe/2f/51a5de367c602592c018a42a23d57fba5f2689fe6c3bf025dcf043b39c61 manylinux_2_28_aarch64 ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375
Linux-x86_64 3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f manylinux_2_17_x86_64.manylinux2014_x86_64 d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19
'

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
    wget -q --tries=5 --timeout=60 -O "$2" "$1"
  else
    say "There is neither curl nor wget."
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

# unpack ARCHIVE MEMBER FOLDER: tar of macOS reads zip archives too, other tars do not.
unpack() {
  if command -v unzip >/dev/null; then
    unzip -q -o "$1" "$2" -d "$3"
  else
    tar -xf "$1" -C "$3" "$2" 2>/dev/null || python3 -m zipfile -e "$1" "$3"
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
    fail "uv is not brought to this kind of machine ($(machine))." "Install uv yourself: https://docs.astral.sh/uv"
  read -r _ place tag hash <<ROW
$row
ROW
  file=uv-$uv_version-py3-none-$tag.whl
  member=uv-$uv_version.data/scripts/uv
  rm -rf "$folder"/uv.new.*
  new=$folder/uv.new.$$
  mkdir -p "$new"
  trap 'rm -rf "$new"' EXIT
  trap 'exit 130' INT TERM HUP
  index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}}
  if [ -n "$index" ]; then
    url=$(address_in_index "$index" uv "$file" "$new") || url=
  else
    url=https://files.pythonhosted.org/packages/$place/$file
  fi
  if [ -z "$url" ] || ! download "$url" "$new/uv.whl"; then
    fail "uv $uv_version could not be downloaded from ${index:-files.pythonhosted.org}." \
      "Is there a network? Behind a proxy: export HTTPS_PROXY=http://HOST:PORT" \
      "With a package index of your own: export UV_DEFAULT_INDEX=URL"
  fi
  case $(sha256 "$new/uv.whl") in
    "$hash "*) ;;
    *) fail "What came in place of uv $uv_version is another file: its sha256 is not $hash." \
      "Something on the way changes files; try another network." ;;
  esac
  unpack "$new/uv.whl" "$member" "$new" || fail "There is nothing here that unpacks a zip archive (unzip)."
  chmod +x "$new/$member"
  "$new/$member" --version >/dev/null || fail "uv $uv_version does not run on this machine."
  mv -f "$new/$member" "$folder/uv"
  rm -rf "$new"
}

# --- provision --------------------------------------------------------------------------------------------------

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

# On a Mac the Python is uv's own: /usr/bin/python3 may be a stub that opens a window, others may be Intel's.
install_tool() { # ROOT SOURCE
  unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX UV_NO_INDEX
  if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
  fi
  if [ "$(uname -s)" = Darwin ]; then
    export UV_MANAGED_PYTHON=1
  fi
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" # a company's too; curl and wget go by them as well
  export UV_TOOL_DIR="$1/tools" UV_TOOL_BIN_DIR="$1/bin" UV_PYTHON_INSTALL_DIR="$1/python"
  export UV_CACHE_DIR="${UV_CACHE_DIR:-$1/cache}"
  "$1/uv" tool install --quiet --no-progress --force --reinstall-package comfy-provision --python '>=3.11,<3.15' "$2" ||
    fail "provision could not be installed; uv's words are above." \
      "Behind a proxy: export HTTPS_PROXY=http://HOST:PORT" \
      "With a package index of your own: export UV_DEFAULT_INDEX=URL" \
      "Then run the same command again."
  rm -rf "$1/cache"
}

# Links to the program where nobody else's of that name stands, and prints how to call it.
link_to() { # PROGRAM
  if [ -e "$link" ] && [ "$(readlink "$link" || :)" != "$1" ]; then
    printf '%s' "$1"
    return
  fi
  mkdir -p "$HOME/.local/bin"
  ln -sf "$1" "$link"
  case :$PATH: in
    *:"$HOME/.local/bin":*) printf provision ;;
    *) printf '%s' "$link" ;;
  esac
}

main() {
  if [ "${1-}" = --uv ] && [ $# = 2 ]; then
    bring_uv "$2"
    return
  elif [ $# != 0 ]; then
    fail "It takes nothing, or --uv FOLDER."
  fi
  if [ -n "${SUDO_UID:-}" ] && [ "$SUDO_UID" != 0 ]; then
    fail "Run it without sudo: what it makes is yours alone."
  fi
  source=$(source_of)
  case $source in
    */OWNER/*) fail "This copy of install.sh names no place where provision is published." \
      "In a checkout or an unpacked zip: sh install.sh" ;;
  esac
  root=${XDG_DATA_HOME:-$HOME/.local/share}/comfy-provision
  mkdir -p "$root"
  say "Installing provision into $root ..."
  bring_uv "$root"
  install_tool "$root" "$source"
  link=$HOME/.local/bin/provision
  call=$(link_to "$root/bin/provision")
  made="'$root'"
  [ "$call" = "$root/bin/provision" ] || made="$made '$link'"
  say "Installed $("$root/bin/provision" --version)."
  say ""
  say "  Set everything up:  $call all"
  say "  Look first:         $call plan"
  say "  Update it:          run the same line again"
  say "  Remove it:          rm -rf $made"
}

main "$@" # at the end, so that nothing is run of a script that came in part
