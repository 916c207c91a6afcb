"""What the step `comfyui` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
COMFYUI_READY = Kind("comfyui-ready", "comfyui", "informs", "none", "the checkout and its receipt", FINE, NOTHING)
COMFYUI_MISSING = Kind("comfyui-missing", "comfyui", "blocks", "auto", "whether the checkout is there",
    "there is no ComfyUI yet", "one revision is fetched")
COMFYUI_MOVED = Kind("comfyui-moved", "comfyui", "informs", "auto", "the commit that is checked out",
    "it was updated by somebody else", "the commit is recorded", adds_only=True)
COMFYUI_REF = Kind("comfyui-ref", "comfyui", "warns", "auto", "the commit against the revision asked for",
    "another ComfyUI than was wished", "it is checked out; changes go into git's stash")
GIT_OWNER = Kind("git-owner", "comfyui", "blocks", "hint", "who owns the checkout",
    "`detected dubious ownership in repository`", "`sudo chown -R` to you")
GIT_LOCK = Kind("git-lock", "comfyui", "blocks", "auto", "lock files in .git",
    "`Unable to create '.../index.lock': File exists`", "removed once no git is at work")
CLONE_PARTIAL = Kind("clone-partial", "comfyui", "blocks", "auto", "objects and files of the checkout",
    "missing modules, `invalid object`", "fetched or written again; models and changes stay")
GIT_DIRTY = Kind("git-dirty", "comfyui", "warns", "none", "changed files of the checkout",
    "your own changes are in use", NOTHING)
COMFYUI_ADOPTED = Kind("comfyui-adopted", "comfyui", "informs", "none", "a checkout that this tool did not make",
    "nothing: it is used as it is, no other revision is checked out", NOTHING)
COMFYUI_GONE = Kind("comfyui-gone", "comfyui", "blocks", "hint",
    "whether the checkout that a home adopted is still there",
    "ComfyUI cannot be started: it was moved, or its disk is not plugged in", "`provision all --comfyui DIR`")
COMFYUI_NO_GIT = Kind("comfyui-no-git", "comfyui", "warns", "hint",
    "whether an adopted checkout has a .git that git can read",
    "it runs; `git pull` and ComfyUI-Manager cannot update it", "`provision all` makes a checkout of its own")
YAML_BAD = Kind("yaml-bad", "comfyui", "blocks", "consent",
    "extra_model_paths.yaml, extra_paths.yaml and what the desktop app gives, by ComfyUI's rules",
    "ComfyUI ends at once: `load_extra_path_config ... 'NoneType' object is not iterable` and the like",
    "moved aside after a yes; then correct it and put it back")
YAML_DEADPATH = Kind("yaml-deadpath", "comfyui", "warns", "hint", "whether the folders in those files are there",
    "models of those folders do not appear in ComfyUI's lists, without a word", "correct the path")
DB_BAD = Kind("db-bad", "comfyui", "blocks", "consent", "the first 16 bytes of user/comfyui.db",
    "`file is not a database`; a newer ComfyUI does not start", "moved aside after a yes; ComfyUI makes another")
PERMS_ROOT = Kind("perms-root", "comfyui", "blocks", "hint", "who may write to output, user, input and models",
    "`Permission denied` when a picture is saved, as after a start with sudo", "`sudo chown -R` to you")
TWO_INSTALLS = Kind("two-installs", "comfyui", "informs", "none", "the desktop app, its installs, usual checkouts",
    "another ComfyUI opens than was expected; each has models and a port of its own", NOTHING)
