"""What the step `comfyui` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
COMFYUI_READY = Kind("comfyui-ready", "comfyui", "informs", "none", "the checkout and its receipt", FINE, NOTHING)
COMFYUI_MISSING = Kind("comfyui-missing", "comfyui", "blocks", "auto", "whether the checkout is there",
    "ComfyUI is not installed yet", "downloaded")
COMFYUI_MOVED = Kind("comfyui-moved", "comfyui", "informs", "auto", "the commit that is checked out",
    "it was updated outside provision", "the commit is recorded", adds_only=True)
COMFYUI_REF = Kind("comfyui-ref", "comfyui", "warns", "auto", "the commit against the requested revision",
    "not the requested ComfyUI", "updated to it, tested first; your changes are kept")
GIT_OWNER = Kind("git-owner", "comfyui", "blocks", "hint", "who owns the checkout",
    "`detected dubious ownership in repository`", "`sudo chown -R` to you")
GIT_LOCK = Kind("git-lock", "comfyui", "blocks", "auto", "lock files in .git",
    "`Unable to create '.../index.lock': File exists`", "removed if no git is running")
CLONE_PARTIAL = Kind("clone-partial", "comfyui", "blocks", "auto", "objects and files of the checkout",
    "missing modules, `invalid object`", "downloaded or restored; models and changes stay")
GIT_DIRTY = Kind("git-dirty", "comfyui", "warns", "none", "changed files of the checkout",
    "you changed ComfyUI's files", NOTHING)
COMFYUI_ADOPTED = Kind("comfyui-adopted", "comfyui", "informs", "none", "a checkout not made by provision",
    "nothing: it is used as is, its revision is never changed", NOTHING)
COMFYUI_GONE = Kind("comfyui-gone", "comfyui", "blocks", "hint",
    "whether an adopted ComfyUI is still in its folder",
    "ComfyUI cannot start: it was moved, or its disk is not connected", "`provision all --comfyui DIR`")
COMFYUI_NO_GIT = Kind("comfyui-no-git", "comfyui", "warns", "hint",
    "whether an adopted checkout has a .git that git can read",
    "it runs, but `git pull` and ComfyUI-Manager cannot update it", "`provision all` creates a new checkout")
YAML_BAD = Kind("yaml-bad", "comfyui", "blocks", "consent",
    "extra_model_paths.yaml, extra_paths.yaml and the desktop app's settings, read as ComfyUI reads them",
    "ComfyUI exits at once: `load_extra_path_config ... 'NoneType' object is not iterable` and the like",
    "moved aside after a yes; then correct it and put it back")
YAML_DEADPATH = Kind("yaml-deadpath", "comfyui", "warns", "hint", "whether the folders in those files exist",
    "models of those folders silently do not appear in ComfyUI", "correct the path")
DB_BAD = Kind("db-bad", "comfyui", "blocks", "consent", "the first 16 bytes of user/comfyui.db",
    "`file is not a database`; a newer ComfyUI does not start", "moved aside after a yes; ComfyUI creates a new one")
PERMS_ROOT = Kind("perms-root", "comfyui", "blocks", "hint", "whether you can write to output, user, input and models",
    "`Permission denied` when an image is saved, for example after a start with sudo", "`sudo chown -R` to you")
TWO_INSTALLS = Kind("two-installs", "comfyui", "informs", "none", "the desktop app, its installs, usual checkouts",
    "the wrong ComfyUI opens; each has its own models and port", NOTHING)
