"""What the words of a whole log mean: ComfyUI's at its start, and those of the programs whose output people paste.

Rows as in `error_signatures`: what is narrow stands first, and a line is explained once. The words of git, git-lfs,
huggingface_hub, hf-xet, pip, uv, wget, OpenSSL and the shells are those of their sources and of public threads.
"""

from __future__ import annotations

from provision.comfyui.error_signatures import (
    AGAIN,
    ENVIRONMENT,
    NEW_DATABASE,
    NEW_TORCH,
    RESTART,
    SMALLER,
    Signature,
)
from provision.command import Fix, ours, program

UPCAST = ours("all", "--set", 'comfyui.args=["--force-fp16", "--force-upcast-attention"]')
DISABLE = Fix("Update it, or rename its folder in ComfyUI/custom_nodes to end in .disabled, then:", ours("launch"))
RESUME = Fix("Run it again, or try another network (downloads resume):", ours("all"))
LOGIN = program("hf", "auth", "login")
ANY_BACKEND = Fix("Without git-lfs:", ours("all", "--backend", "auto"))
ELSEWHERE = Fix("Take the file from elsewhere; without git-lfs:", ours("all", "--backend", "auto"))
OWN_INDEX = program("unset", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
CERTIFICATES = program("export", "SSL_CERT_FILE=/path/to/ca.pem")
FIND_PYTHON = Fix("Look for an Intel Python (py-rosetta); an arm64 one is made by provision all:", ours("doctor"))
NOT_FOR_MACS = r"(xformers|flash[-_]attn|triton|sageattention|nunchaku|deepspeed|bitsandbytes|tensorrt|onnxruntime-gpu)"


def absent(*programs: str) -> str:
    """A pattern for what shells say where one of these programs is not found; its name is the group that matched."""
    name = "(" + "|".join(programs) + ")"
    return (
        rf"command not found: {name}\b|(?<![\w-]){name}: (?:command )?not found|Unknown command:? '?{name}\b"
        rf"|'{name}' is not recognized|The term '{name}' is not|No such file or directory: '{name}'"
    )


BATCH = r"(?:batch response|LFS): (?![^\n]*(?:x509|proxyconnect|dial tcp|tls:|time(?:d )?out|EOF|HTTP 5\d\d|lookup))"
"""Of git-lfs, where it is not the network that failed."""

FAILED_NODE = Signature(
    "node-failed",
    r"Cannot import (?![^\n]*comfy_(?:extras|api_nodes)[/\\])(?:[^\n]*[/\\])?([^/\\\n]+?)"
    r" module for custom nodes: ([^\n]*)",
    "the custom node {0} could not be loaded ({1})",
    DISABLE,
    lasts=True,
)
FAILED_PRESTARTUP = Signature(
    "node-failed",
    r"Failed to execute startup-script: [^\n]*custom_nodes[/\\]([^/\\\n]+)[^\n]* / ([^\n]*)",
    "the custom node {0} could not be prepared ({1})",
    DISABLE,
    lasts=True,
)
FAILED_EXTRA = Signature(
    "extras-failed",
    r"(?<!\()IMPORT FAILED: (nodes_\w+\.py)",
    "{0}, which comes with ComfyUI, could not be loaded: a package that it asks for is missing",
    AGAIN,
    lasts=True,
)
BLACK = Signature(
    "black-image",
    r"invalid value encountered in cast",
    "the picture was computed to no numbers (NaN), and is black",
    UPCAST,
    lasts=True,
)
UNLISTED = Signature(
    "ckpt-unlisted",
    r"Value not in list: ckpt_name(?:: '([^']*)')?",
    "ComfyUI does not see the checkpoint {0}",
    ours("doctor", "--fix"),
    lasts=True,
)
NO_DATABASE = r"(?:Failed to initialize database|Error upgrading database)[^\n]*"
DATABASE: tuple[Signature, ...] = (
    Signature("db-bad", r"Can't locate revision identified by|No such revision or branch",
              "ComfyUI's database was written by a newer ComfyUI; it goes on without",
              Fix("Move ComfyUI/user/comfyui.db aside, or take the newest ComfyUI:",
                  ours("all", "--comfyui", "latest")), lasts=True),
    Signature("db-bad", r"unable to open database file",
              "the folder of ComfyUI's database (user) is missing, or may not be written",
              Fix('Make the folder ComfyUI/user, or take it: sudo chown -R "$USER" ComfyUI/user'), lasts=True),
    Signature("db-in-use", r"database is locked",
              "another ComfyUI holds the database", RESTART, lasts=True),
    Signature("db-bad", r"file is not a database|database disk image is malformed",
              "ComfyUI's database is damaged; it goes on without", ours("doctor", "--fix", "--yes"), lasts=True),
    Signature("db-bad", NO_DATABASE + r": ([^\n]*)",
              "ComfyUI's database cannot be used ({0})", NEW_DATABASE, lasts=True),
)  # fmt: skip

HUB: tuple[Signature, ...] = (
    Signature("lfs-refused", r"batch response: (Authentication required|[^\n]*(?:[Uu]nauthorized|credentials))",
              "git-lfs has no token for the host ({0})",
              Fix("Log in (hf auth login), or without git-lfs:", ours("all", "--backend", "auto"))),
    Signature("lfs-refused", rf"{BATCH}([^\n]+)|((?:over its data quota|exceeded its LFS budget)[^\n]*)",
              "git-lfs got no files: {0}", ELSEWHERE),
    Signature("lfs-missing",
              r"git: 'lfs' is not a git command|'git-lfs' was not found on your path|" + absent("git-lfs"),
              "git-lfs is not installed", ANY_BACKEND),
    Signature("xet-failed", r"Data processing error|CAS service error|CAS [Cc]lient [Ee]rror|Cas(?:Object|Client)Error",
              "the transfer by Xet broke",
              Fix("export HF_HUB_DISABLE_XET=1 and again, or:", ours("all", "--backend", "http"))),
    Signature("hf-gated", r"requires approval|GatedRepo|[Gg]ated repo|Access to model \S+ is restricted"
              r"|awaiting a review from the repo authors|not in the authorized list",
              "the repository asks for its terms to be accepted", Fix("Accept them on its page, then:", LOGIN)),
    Signature("hf-badtoken", r"Invalid credentials in Authorization header|Invalid user token"
              r"|[Tt]oken is (?:not valid|invalid)|Invalid token passed|Illegal header value b'Bearer",
              "the Hugging Face token is wrong or has expired", LOGIN),
    Signature("hf-429", r"\b429:? (?:Client Error|Too Many Requests)|Too Many Requests|rate limit your IP|\b429:"
              r"|(?:error:?|HTTP|ERROR|status(?: code)?) 429\b|[Rr]ate[ -]limit(?:ed)?[^\n]{0,40}(?:exceeded|reached)"
              r"|(?:exceeded|reached)[^\n]{0,60}rate[ -]limit",
              "the hub asks to wait: too many requests come from here",
              Fix("Log in (more is allowed then) and wait a few minutes:", LOGIN)),
    Signature("hf-offline", r"HF_HUB_OFFLINE(?!['\"]?\s*[:=]\s*['\"]?(?:[Ff]alse|0|None|no|off))"
              r"|offline mode is enabled"
              r"|OfflineModeIsEnabled|outgoing traffic has been disabled",
              "HF_HUB_OFFLINE keeps huggingface_hub from the network",
              program("unset", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")),
    Signature("hf-endpoint", r"missing the 'X-Repo-Commit' header|Distant resource does not seem to be on huggingface",
              "what answered is not the hub: a mirror, or a login page of the network",
              program("unset", "HF_ENDPOINT")),
    Signature("index-refused", r"(?:index URL|/simple/|pypi|registry|/whl/)[^\n]{0,200}\b40[13]\b"
              r"|\b40[13]\b[^\n]{0,100}(?:simple/|pypi|/whl)|was not found in the package registry"
              r"|not found in the provided package locations",
              "the package index that is set (a mirror) refuses, or lacks what is asked for", OWN_INDEX),
    Signature("hf-not-found",
              r"404 Client Error|Client error '404|(?:(?<!Local)Entry|Revision|Repository)NotFoundError"
              r"|(?:Entry|Repository|Revision) Not Found|ERROR 404|returned error: 404|repository '[^'\n]*' not found"
              r"|Invalid rev id",
              "there is no such repository, file or revision, or it is private",
              Fix("Look at the name on huggingface.co; for this tool's own model:", ours("all"))),
    Signature("hf-refused", r"\b40[13] Client Error|Client error '40[13]|\b40[13]:? (?:Unauthorized|Forbidden)"
              r"|Username/Password Authentication Failed|returned error: 40[13]|Repo model \S+ is gated"
              r"|(?<!batch response: Authentication required: )Password authentication in git is no longer supported"
              r"|(?:Authentication failed for|could not read Username for) '?https://(?:\S+@)?(?:hf\.co"
              r"|huggingface\.co)",
              "the host refuses: what is asked for is private, gated or gone, or too much was asked without a token",
              Fix("Log in, with a token of huggingface.co/settings/tokens:", LOGIN), follows=True),
)  # fmt: skip
NETWORK: tuple[Signature, ...] = (
    Signature("proxy", r"407 Proxy|Proxy Authentication Required",
              "the proxy asks for a name and a password",
              program("export", "HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT")),
    Signature("proxy", r"[Uu]nsupported scheme '?socks|dependencies for SOCKS|socksio",
              "this program does not speak to a SOCKS proxy",
              Fix("Name an http proxy in HTTPS_PROXY, and:", program("unset", "ALL_PROXY"))),
    Signature("proxy",
              r"ProxyError|proxyconnect|SOCKS\d? connect|connect to (?:127\.0\.0\.1|localhost) port (?!8188)\d"
              r"|tunnel error|Tunnel connection failed|Could not resolve proxy|connect to proxy"
              r"|Unknown scheme for proxy|from proxy after CONNECT|(?:WRONG_VERSION_NUMBER|wrong version number)",
              "the proxy that is set does not answer as one",
              Fix("Correct them, or:", program("unset", "HTTPS_PROXY", "ALL_PROXY"))),
    Signature("captive", r"TooManyRedirects|Exceeded \d+ redirects|Maximum \(\d+\) redirects|redirections exceeded",
              "a login page of the network answers", Fix("Log in to the network in a browser, then:", ours("all"))),
    Signature("tls-expired", r"certificate (?:has expired|is not yet valid)|CERT_HAS_EXPIRED"
              r"|invalid peer certificate: (?:Expired|NotValidYet)",
              "a certificate has expired, or this machine's clock is wrong",
              Fix("Look at the clock first:", program("sudo", "sntp", "-sS", "time.apple.com"))),
    Signature("tls-store", r"CERTIFICATE_VERIFY_FAILED[^\n]*unable to get local issuer"
              r"|suitable TLS CA certificate bundle|error setting certificate",
              "a certificate is not trusted here: a company's proxy, or a Python without certificates", CERTIFICATES),
    Signature("tls-intercept", r"CERTIFICATE_VERIFY_FAILED|UnknownIssuer|[Ss]elf[- ]signed certificate"
              r"|SSL certificate problem|x509: |cannot verify [^\n]{0,200}certificate|certificate verify failed"
              r"|invalid peer certificate|server certificate verification failed"
              r"|unable to get local issuer certificate|SSLCertVerificationError|[Hh]ostname mismatch"
              r"|certificate (?:subject )?name[^\n]{0,60}not match|no alternative certificate",
              "a proxy, a VPN or a mirror stands in between, with a certificate of its own", CERTIFICATES),
    Signature("tls-old", r"Unable to establish SSL connection|SSL23_GET_SERVER_HELLO|tlsv1 alert protocol version"
              r"|UNSUPPORTED_PROTOCOL|unsupported protocol|handshake failure",
              "that program is too old for the encryption of the host",
              Fix("A newer one, or this tool's own download:", program("brew", "upgrade", "wget", "openssl", "git"))),
    Signature("net-down", r"Name or service not known|nodename nor servname"
              r"|(?:Could not|Couldn't|unable to) resolve host|[Nn]etwork is unreachable|No route to host"
              r"|name resolution|dns error|getaddrinfo failed|LocalEntryNotFoundError|dial tcp"
              r"|couldn't connect to 'https|Failed to establish a new connection"
              r"|(?:Failed|Could not|Couldn't|fail(?:ed)? to) (?:to )?connect to",
              "a host could not be reached", ours("doctor", "--only", "net-down")),
    Signature("net-cut",
              r"Read ?[Tt]imed ?out|ReadTimeout|(?:operation|[Cc]onnection|request) timed out|ConnectTimeout"
              r"|RPC failed|early EOF|[Uu]nexpected (?:disconnect|EOF)|EOF occurred in violation|invalid index-pack"
              r"|Consistency check failed|Connection (?:aborted|broken)|IncompleteRead|ChunkedEncodingError"
              r"|Recv failure|transfer closed|peer closed connection|Server disconnected|SSL_ERROR_SYSCALL"
              r"|RemoteDisconnected|recv error|error decoding response body|\bcurl:? \(?(?:16|18|28|56|92)\b"
              r"|SSLZeroReturnError|SSLEOFError|TLS/SSL connection has been closed"
              r"|Operation too slow|expected OID|i/o timeout|body are still expected|RemoteProtocolError",
              "the connection was cut in the middle", RESUME),
    Signature("net-cut", r"\b5\d\d Server Error|Server error '5\d\d"
              r"|(?:HTTP|HTTP [Ee]rror|ERROR|returned error:) 5\d\d\b",
              "the host has trouble of its own (5xx)", Fix("Wait a few minutes, then:", ours("all"))),
)  # fmt: skip
PACKAGES: tuple[Signature, ...] = (
    Signature("py-rosetta", r"(?:No matching distribution found for|satisfies the requirement"
              r"|candidates for) (comfy-angle|torch)\b|only (torch)(?:<=?|==)2\.[0-2]\b",
              "there is no {0} for this Python: it is for Intel, too old or too new", ours("doctor"), follows=True),
    Signature("nightly-gap", r"No matching distribution found for torchvision(?:==(\S+dev\S+))?",
              "the nightly torchvision {0} was never built for this machine", NEW_TORCH),
    Signature("py-rosetta", r"matching platform tag[^\n]{0,60}macosx_\d+_\d+_x86_64",
              "this Python is Intel's (x86_64), for which torch and others have no wheels any more", FIND_PYTHON),
    Signature("py-rosetta", r"incompatible with this Python|is not a supported wheel on this platform"
              r"|(?:doesn't|does not) have a source distribution or wheel|no wheels with a matching platform tag",
              "the package has no wheel for this Python or processor; let pip or uv choose it", FIND_PYTHON),
    Signature("py-too-new", r"matching Python (?:version|ABI|implementation) tag[^\n]{0,40}cp3(?:1[4-9]|[2-9]\d)"
              r"|You require CPython 3\.(?:1[4-9]|[2-9]\d)",
              "this Python is too new: the package has no wheel for it yet", AGAIN),
    Signature("py-too-old", r"requires a different Python: ([\d.]+)"
              r"|current Python version \(([\d.]+)\) does not satisfy"
              r"|matching Python (?:version|ABI|implementation) tag",
              "this Python {0} is not one that the package takes", AGAIN),
    Signature("not-for-macs", rf"(?:Failed (?:building wheel for|to build)|No matching distribution found for"
              rf"|build wheels for)"
              rf"[^\n]{{0,40}}?[ `(]{NOT_FOR_MACS}\b",
              "{0} is not made for Macs", Fix("Leave {0} out: ComfyUI works on a Mac without it")),
    Signature("build-failed", r"(?:Failed building wheel for|Could not build wheels for"
              r"|Failed to build(?: and install)?) `?\(?([\w.-]+)|metadata-generation-failed"
              r"|subprocess-exited-with-error|Getting requirements to build wheel did not run",
              "the package {0} has no wheel for this Python (too new, or for Intel), and could not be compiled here",
              Fix("A compiler comes with xcode-select --install; an environment that has wheels:", ours("all"))),
    Signature("pkg-damaged", r"DO NOT MATCH THE HASHES|[Hh]ash mismatch|BadZipFile|[Ii]nvalid wheel"
              r"|has an invalid wheel",
              "a package came damaged: from pip's or uv's cache, or changed on the way",
              Fix("pip cache purge, uv cache clean, then:", ours("all"))),
    Signature("pip-managed", r"externally-managed-environment",
              "pip was asked to change the system's own Python, and refused", AGAIN),
    Signature("package-misfit", r"make_metavar\(\) missing",
              "typer is too old for the click beside it",
              Fix("With pip: pip install -U typer click. With pipx:", program("pipx", "upgrade", "comfy-cli"))),
    Signature("package-misfit", r"cannot import name '([^'\n]+)' from (?:partially initialized module )?'([\w.]+)'",
              "the package {1} that is installed has no {0}: too old or too new for what uses it",
              AGAIN, blames_node=True),
    Signature("package-misfit",
              r"(?<![\w.-])([\w.-]+)[ <>=!~]{1,3}[^\n]{1,40} is required for a normal functioning[^\n]{0,40}but found"
              r"|(?:module|package) '([\w.]+)' has no attribute|Descriptors cannot be created directly"
              r"|Numba needs NumPy|(?:Contextual)?VersionConflict|Library not loaded: @rpath/(\S+)"
              r"|(?:Symbol not found|undefined symbol)",
              "the package {0} that is installed does not fit the others", AGAIN, blames_node=True),
)  # fmt: skip
SHELL: tuple[Signature, ...] = (
    Signature("mem-killed", r"(?:zsh|bash): killed|Killed: 9|^Killed$|\bSIGKILL\b|exit(?:ed)?[^\n]{0,20} (?:-9|137)\b"
              r"|(?:zsh|bash|sh): line \d+: +\d+ Killed",
              "the system ended the program, most often because the memory was full", SMALLER),
    Signature("py-rosetta", r"compiled to use AVX|Intel MKL FATAL ERROR|[Ii]llegal (?:hardware )?instruction"
              r"|support AVX",
              "this Python is Intel's and runs under Rosetta, which lacks instructions (AVX) that it uses",
              FIND_PYTHON),
    Signature("omp-dup", r"OMP: Error #15",
              "two OpenMP libraries are loaded, as where conda and pip are mixed",
              ours("all", "--home", "~/provision")),
    Signature("brew-prefix", r"Cannot install in Homebrew on ARM processor in Intel default prefix",
              "this Homebrew is for Intel (/usr/local) and has ended: Homebrew supports Apple silicon only",
              Fix("Install the one for Apple silicon (https://brew.sh, in /opt/homebrew); this tool needs none")),
    Signature("clt-stale", r"xcrun: error: invalid active developer path|unable to load libxcrun",
              "Apple's Command Line Tools are gone or too old, as after an upgrade",
              program("xcode-select", "--install")),
    Signature("clt-missing", r"xcode-select: (?:note|error): [Nn]o developer tools were found",
              "Apple's Command Line Tools are missing", program("xcode-select", "--install")),
    Signature("xcode-license", r"not agreed to the Xcode license",
              "Xcode's license was not agreed to", program("sudo", "xcodebuild", "-license")),
    Signature("venv-dangling", r"bad interpreter|Library not loaded(?:: \S*[Pp]ython|(?!:))",
              "the Python of an environment is gone, as after an upgrade of it", AGAIN),
    Signature("comfyui-no-git", r"fatal: not a git repository",
              "that folder is no checkout of git, as one from a zip is not",
              Fix("A checkout of its own is made by:", ours("all"))),
    Signature("git-config", r"fatal: bad config line(?: (\d+) in file (\S+))?",
              "git cannot read its own configuration (line {0} of {1})", Fix("Correct that line, or take it out")),
    Signature("uv-config", r"Failed to parse: `?(\S*uv\.toml)",
              "uv cannot read its own settings ({0})", Fix("Correct that file, or move it away")),
    Signature("zsh-brackets", r"zsh: no matches found: (\S+)",
              "zsh reads the brackets in {0} as a pattern", Fix("The same in quotes: '{0}'")),
    Signature("not-executable", r"(?:zsh|bash|sh): permission denied: (\S+)|(?:bash|sh): (\S+): Permission denied",
              "{0} is not marked as a program", program("bash", "{0}")),
    Signature("wrong-folder", r"Could not open requirements file|can't open file '[^'\n]*main\.py'",
              "the command was given in another folder than ComfyUI's",
              Fix("The same in the folder of ComfyUI:", program("cd", "~/provision/ComfyUI"))),
    Signature("wget-missing", absent("wget"),
              "macOS comes without wget", Fix("Use curl -L -O, or:", program("brew", "install", "wget"))),
    Signature("brew-missing", absent("brew"),
              "Homebrew is not installed, or not on PATH",
              Fix('This tool needs none. Where it is installed: eval "$(/opt/homebrew/bin/brew shellenv)"')),
    Signature("git-missing", absent("git"),
              "git is missing", program("xcode-select", "--install")),
    Signature("hf-cli-name", r"huggingface-cli\W{1,3}is deprecated and no longer works|" + absent("huggingface-cli"),
              "the command huggingface-cli is gone: it is called hf now",
              Fix("Write hf download in place of huggingface-cli download, or:", ours("download"))),
    Signature("command-missing", absent("hf"),
              "hf is not installed", program("python3", "-m", "pip", "install", "-U", "huggingface_hub[cli]")),
    Signature("command-missing", absent("python", "pip", "python3", "pip3"),
              "{0} is not found: no environment is active, or no Python is on PATH",
              Fix("source venv/bin/activate, or use python3; this tool has its own:", ours("launch"))),
    Signature("command-missing", absent(r"[A-Za-z][\w.+-]{1,40}"),
              "the program {0} is not installed, or not on PATH",
              Fix("Open a new terminal, or:", program("brew", "install", "{0}"))),
    Signature("git-owner", r"detected dubious ownership in repository",
              "the checkout belongs to another user", ours("doctor", "--only", "git-owner")),
    Signature("git-lock", r"Unable to create '[^']*\.lock': File exists|Another git process seems to be running",
              "a git that was killed left its lock behind", ours("doctor", "--fix")),
    Signature("git-dirty", r"would be overwritten by (?:merge|checkout)|unmerged files|needs merge|unstaged changes"
              r"|divergent branches|Not possible to fast-forward|unresolved conflict|Merge conflict in",
              "changed files of the checkout keep git from updating it",
              Fix("Put them away, then update again:", program("git", "-C", "ComfyUI", "stash"))),
    Signature("clone-partial", r"invalid object|bad object|object not found - no match|unrelated histories"
              r"|object file \S+ is empty|loose object[^\n]{0,120}corrupt",
              "the checkout is broken: git was ended while it wrote", ours("doctor", "--fix")),
)  # fmt: skip

# What is narrow stands first, and of ComfyUI's start what explains a custom node that failed before the node itself.
LOG_SIGNATURES: tuple[Signature, ...] = (
    *ENVIRONMENT, FAILED_NODE, FAILED_PRESTARTUP, FAILED_EXTRA, BLACK, *DATABASE, UNLISTED,
    Signature("prompt-refused", r"Value not in list: (\w+): '([^']*)'",
              "the workflow asks for {1}, which is not among the files that ComfyUI sees for {0}",
              Fix("Put the file into its folder of ComfyUI/models, or choose another in that node"), lasts=True),
    Signature("prompt-refused", r"node (\w+) does not exist|[Nn]ode type not found: (\w+)|missing_node_type",
              "the workflow uses the node {0}, of a custom node that is not installed, or was not loaded",
              Fix("Install that custom node, or take another workflow"), lasts=True),
    Signature("prompt-refused", r"Required input is missing: (\w+)",
              "a node of the workflow has no {0}", Fix("Link that input in the workflow"), lasts=True),
    Signature("ckpt-deadlink", r"(?:path (\S+) )?exists but doesn't link anywhere",
              "{0} is a link to something that is gone", ours("doctor", "--fix"), lasts=True),
    Signature("origin-403", r"request with non matching host and origin",
              "a page of another address asked, and ComfyUI refused it",
              Fix("Open the address that ComfyUI itself shows.")),
    *HUB, *NETWORK, *PACKAGES, *SHELL,
    Signature("node-failed", r"\(IMPORT FAILED\): [^\n]*custom_nodes[/\\]([^/\\\n]+)",
              "the custom node {0} could not be loaded", DISABLE, lasts=True, follows=True),
    Signature("lfs-refused", r"smudge filter lfs failed|Failed to fetch some objects from '[^'\n]*/info/lfs'"
              r"|filter 'git-lfs filter-process' failed|Smudge error: ([^\n]*)",
              "git-lfs got no files: the owner's quota or budget is used up, or a token is asked for",
              ELSEWHERE, follows=True),
    Signature("net-cut", r"hung up unexpectedly|Read error at byte \d+",
              "the connection was cut in the middle", RESUME, follows=True),
    Signature("native-crash", r"zsh: (segmentation fault|bus error|abort|trace trap)"
              r"|(Segmentation fault|Bus error|Abort trap)|Trace/BPT trap|Fatal Python error: (\w+)"
              r"|\*\*\* error for object|Crashing instead",
              "the program crashed ({0}) in a native library: most often a Python for Intel under Rosetta, or packages"
              " of two builds",
              FIND_PYTHON, follows=True),
)  # fmt: skip
HARMLESS = (
    r"(?!.*(?:Symbol not found|Not enough free disk|Python is incomplete|invalid value|Failed to initialize))"
    r"(?:\w*: \[ok\] |\W*[Oo]ptional (?:node|module|dependency|package)"
    r"|.*(?:will fall back to run on the CPU|[Ff]alling back (?:on|to) CPU"
    r"|retrying with tiled|(?:can|may) (?:safely )?be ignored|[Yy]ou can (?:safely )?ignore|safely ignore"
    r"|Error caught was: No module named '(?:triton|xformers)|pip's dependency resolver does not"
    r"|DesktopSettingsExtension|INFO - HTTP Request"
    r"|urllib3 v2 only supports OpenSSL|Falling back to regular HTTP|CUDA is not available\. +Disabling"
    r"|(?:User|Future|Deprecation|Runtime|NotOpenSSL)Warning: ))"
)
"""Beginnings of lines that a healthy ComfyUI prints, or that say of themselves that nothing is wrong."""
