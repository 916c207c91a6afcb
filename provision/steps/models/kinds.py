"""The kinds of findings of the step `models`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
CKPT_READY = Kind("ckpt-ready", "models", "informs", "none", "the checkpoint and its receipt", FINE, NOTHING)
CKPT_MISSING = Kind("ckpt-missing", "models", "blocks", "auto", "whether the checkpoint is in its folder",
    "`Value not in list: ckpt_name`", "a copy on this machine is used, or it is downloaded", adds_only=True)
CKPT_UNPROVEN = Kind("ckpt-unproven", "models", "warns", "auto", "whether its sha256 was verified", "nothing yet",
    "hashed", adds_only=True)
CKPT_CASE = Kind("ckpt-case", "models", "spoils", "auto", "upper and lower case of its name",
    "the file exists, but ComfyUI does not list it", "renamed")
CKPT_RENAMED = Kind("ckpt-renamed", "models", "blocks", "auto", "a file of its exact size and kind under another name",
    "`Value not in list: ckpt_name`", "linked to its folder and verified; nothing is downloaded", adds_only=True)
CKPT_WRONG_DIR = Kind("ckpt-wrong-dir", "models", "blocks", "auto",
    "a file of its exact size and kind elsewhere under models", "`Value not in list: ckpt_name`",
    "linked to its folder and verified; nothing is downloaded", adds_only=True)
CKPT_NESTED = Kind("ckpt-nested", "models", "spoils", "consent", "a cloned repository in the folder of checkpoints",
    "listed as `sdxl-turbo/...` next to parts that are not checkpoints; .git holds a second copy",
    "the checkpoint is linked to its folder; the clone is moved aside after a yes")
CKPT_DEADLINK = Kind("ckpt-deadlink", "models", "blocks", "auto", "where a link leads",
    "`exists but doesn't link anywhere, skipping`", "the link is moved aside, the file downloaded")
CKPT_UNREADABLE = Kind("ckpt-unreadable", "models", "blocks", "auto", "permissions of the file", "`PermissionError`",
    "permissions are fixed; for another user's file `sudo chown`")
CKPT_OUTSIDE = Kind("ckpt-outside", "models", "blocks", "hint", "whether its folder is a link out of "
                                                                "the install folder",
    "provision does not write there", "put the file there yourself, or remove the link")
CKPT_TRUNCATED = Kind("ckpt-truncated", "models", "blocks", "auto", "the size against the header of the file",
    "`MetadataIncompleteBuffer`, `incomplete metadata`", "the download resumes")
CKPT_ZEROED = Kind("ckpt-zeroed", "models", "blocks", "auto", "whether the header can be read",
    "`invalid JSON in header`", "moved aside and downloaded again")
CKPT_BITROT = Kind("ckpt-bitrot", "models", "spoils", "auto", "the sha256 (`--deep`, or when the file has changed)",
    "strange images, or an error while loading", "moved aside and downloaded again")
CKPT_OTHER = Kind("ckpt-other", "models", "blocks", "auto", "size, precision and tensors against the manifest",
    "`Could not detect model type`, `clip input is invalid: None`", "moved aside and downloaded again")
LFS_POINTER = Kind("lfs-pointer", "models", "blocks", "auto", "the first bytes of the file",
    "`HeaderTooLarge`: git left its 135-byte pointer instead of the file", "moved aside and downloaded again")
HTML_BODY = Kind("html-body", "models", "blocks", "auto", "the first bytes of the file",
    "`HeaderTooLarge`: a login page was saved under the model's name", "moved aside and downloaded again")
FS_APPLEDOUBLE = Kind("fs-appledouble", "models", "spoils", "consent", "`._*` files of macOS among the models",
    "names beginning with `._` in ComfyUI's list, which fail to load", "moved aside after a yes")
PARTIALS = Kind("partials", "models", "warns", "consent", "unfinished downloads of other programs among the models",
    "they take space and are never resumed", "moved aside after a yes, for you to delete")
ICLOUD_DATALESS = Kind("icloud-dataless", "models", "blocks", "hint", "whether the checkpoint's bytes are in iCloud",
    "ComfyUI hangs while it loads the model", "`brctl download`; keep the folder out of iCloud Drive")
HF_DUPES = Kind("hf-dupes", "models", "informs", "none", "the same file in the Hugging Face cache",
    "it takes space twice; `hf cache` lists and deletes", NOTHING)
