"""What the step `tools` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
GIT_READY = Kind("git-ready", "tools", "informs", "none", "git's version", FINE, NOTHING)
BREW_MISSING = Kind("brew-missing", "tools", "informs", "none", "whether Homebrew is here",
    "nothing: it is not needed", NOTHING)
NET_UP = Kind("net-up", "tools", "informs", "none", "the hosts from which what is missing will come", FINE, NOTHING)
HF_OFFLINE = Kind("hf-offline", "tools", "informs", "none", "HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
    "other programs of this shell download nothing from the hub; this tool does not go by them", NOTHING)
ENV_LEAK = Kind("env-leak", "tools", "informs", "none", "variables that steer Python, conda, pip, git or torch",
    "nothing: programs are started without them; shown with `-v`", NOTHING)
UV_UNUSED = Kind("uv-unused", "tools", "informs", "none",
    "uv's own settings (uv.toml) that would change what is installed",
    "nothing: of uv's files only the indexes, mirrors and proxies count", NOTHING)
UV_CONFIG = Kind("uv-config", "tools", "warns", "hint", "whether uv's own settings (uv.toml) can be read",
    "`Failed to parse: uv.toml`; an index that is named in it is not asked", "correct the file, or move it away")
GIT_CONFIG = Kind("git-config", "tools", "warns", "hint", "whether git can read the person's own configuration",
    "`fatal: bad config line`: git does nothing at all by hand; this tool does without", "correct the line")
GIT_OLD = Kind("git-old", "tools", "blocks", "consent", "git's version",
    "fetching one revision fails with a message about an unknown option", "a newer git")
CLT_MISSING = Kind("clt-missing", "tools", "blocks", "hint", "`xcode-select -p`, before git is ever run",
    "git opens a dialog in place of working", "`xcode-select --install`")
CLT_STALE = Kind("clt-stale", "tools", "blocks", "hint", "whether the selected folder of Apple's tools is still there",
    "`xcrun: error: invalid active developer path`", "`xcode-select --install`, or `sudo xcode-select --reset`")
XCODE_LICENSE = Kind("xcode-license", "tools", "blocks", "hint", "whether git refuses for Xcode's license",
    "`You have not agreed to the Xcode license`", "`sudo xcodebuild -license`")
BREW_PREFIX = Kind("brew-prefix", "tools", "informs", "none", "whether Homebrew is Intel's on Apple silicon",
    "`Cannot install in Homebrew on ARM processor in Intel default prefix`", NOTHING)
LFS_UNINIT = Kind("lfs-uninit", "tools", "warns", "hint",
    "git-lfs' set-up, where its note stands in the model's place", "git clones notes of 135 bytes in place of models",
    "`git lfs install`; this tool does without")
WATERMARK_ENV = Kind("watermark-env", "tools", "informs", "none",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO, and ComfyUI's log",
    "`invalid low watermark ratio` from a ComfyUI that is started by hand; from ours it is kept", NOTHING)
