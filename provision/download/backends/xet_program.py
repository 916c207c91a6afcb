"""Brings the rest of a file by Xet into a part, with the hf_xet library:  python -I xet_program.py PART

Run by the tool's own Python, as a program of its own: native code that keeps up to hundreds of megabytes in memory
and has been seen to hang for good (xet-core issues 409, 715) can be ended so, and gives back what it took. What to
bring stands as JSON in the environment, as `xet.py` writes it, where other users do not see it. The file's bytes are
appended in their order: whenever it is killed, the part is a beginning of the file. Imports nothing of the tool.
"""

import importlib
import json
import os
import sys

ORDER = "PROVISION_XET"


def main() -> None:
    hf_xet = importlib.import_module("hf_xet")  # huggingface_hub brings it, where there is one for the machine
    order = json.loads(os.environ[ORDER])
    config = hf_xet.XetConfig()
    known = set(config.keys())
    config = config.with_config({name: value for name, value in order["settings"].items() if name in known})
    group = hf_xet.XetSession(config).new_download_stream_group(
        endpoint=order["endpoint"], token=order["token"], token_expiry_unix_secs=order["expires"]
    )
    wanted = hf_xet.XetFileInfo(order["hash"], order["size"])
    with open(sys.argv[1], "ab", buffering=0) as part:  # noqa: PTH123  (the one thing that it does)
        for piece in group.download_stream(wanted, start=part.tell()):
            rest = memoryview(piece)
            while rest:
                rest = rest[part.write(rest) :]
        if part.tell() < order["size"]:  # after an error the stream of 1.8 may end as if all were well
            raise EOFError("its stream ended early")


if __name__ == "__main__":
    main()
