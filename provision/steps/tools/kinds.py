"""What the step `tools` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
GIT_READY = Kind("git-ready", "tools", "informs", "none", "git's version", FINE, NOTHING)
BREW_MISSING = Kind("brew-missing", "tools", "informs", "none", "whether Homebrew is installed",
    "nothing: it is optional", NOTHING)
NET_UP = Kind("net-up", "tools", "informs", "none", "the hosts to download from", FINE, NOTHING)
HF_OFFLINE = Kind("hf-offline", "tools", "informs", "none", "HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
    "other programs in this shell download nothing from the hub; provision ignores them", NOTHING)
ENV_LEAK = Kind("env-leak", "tools", "informs", "none", "variables that change Python, conda, pip, git or torch",
    "nothing: provision starts programs without them; shown with `-v`", NOTHING)
UV_UNUSED = Kind("uv-unused", "tools", "informs", "none",
    "uv's own settings (uv.toml) that would change what is installed",
    "nothing: only indexes, mirrors and proxies in uv's files are used", NOTHING)
UV_CONFIG = Kind("uv-config", "tools", "warns", "hint", "whether uv's own settings (uv.toml) can be read",
    "`Failed to parse: uv.toml`; its indexes are not used", "correct the file, or move it away")
GIT_CONFIG = Kind("git-config", "tools", "warns", "hint", "whether git can read your configuration",
    "`fatal: bad config line`: git itself does not work; provision works without it", "correct the line")
GIT_OLD = Kind("git-old", "tools", "blocks", "consent", "git's version",
    "downloading ComfyUI fails with an unknown option", "a newer git")
CLT_MISSING = Kind("clt-missing", "tools", "blocks", "consent", "`xcode-select -p`, before git is ever run",
    "git opens a dialog instead of working", "Apple's Command Line Tools (`xcode-select --install`)")
CLT_STALE = Kind("clt-stale", "tools", "blocks", "consent", "whether the selected folder of Apple's tools still exists",
    "`xcrun: error: invalid active developer path`",
    "Apple's Command Line Tools; after an Xcode that was deleted, by you: `sudo xcode-select --reset`")
XCODE_LICENSE = Kind("xcode-license", "tools", "blocks", "hint", "whether git waits for Xcode's license",
    "`You have not agreed to the Xcode license`", "`sudo xcodebuild -license`")
BREW_PREFIX = Kind("brew-prefix", "tools", "informs", "none", "whether Homebrew is Intel's on Apple silicon",
    "`Cannot install in Homebrew on ARM processor in Intel default prefix`", NOTHING)
LFS_UNINIT = Kind("lfs-uninit", "tools", "warns", "hint",
    "git-lfs's set-up, if its pointer is there instead of the model", "git clones 135-byte pointers instead of models",
    "`git lfs install`; provision works without")
WATERMARK_ENV = Kind("watermark-env", "tools", "informs", "none",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO, and ComfyUI's log",
    "`invalid low watermark ratio` from a ComfyUI started by hand; provision does not pass it on", NOTHING)
