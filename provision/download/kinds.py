"""What a download can lack: hosts and the programs of backends, as kinds of findings of the step `tools`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
GIT_MISSING = Kind("git-missing", "tools", "blocks", "consent", "whether git is installed and works",
    "ComfyUI cannot be downloaded", "installed with Homebrew after a yes, or Apple's Command Line Tools")
LFS_READY = Kind("lfs-ready", "tools", "informs", "none", "git-lfs, for its backend", FINE, NOTHING)
WGET_READY = Kind("wget-ready", "tools", "informs", "none", "wget, for its backend", FINE, NOTHING)
LFS_MISSING = Kind("lfs-missing", "tools", "blocks", "consent", "git-lfs, for its backend",
    "`git: 'lfs' is not a git command`", "install it, or `--backend auto`")
WGET_MISSING = Kind("wget-missing", "tools", "blocks", "consent", "GNU wget, for its backend",
    "`command not found: wget`", "install it, or `--backend auto`")
NET_DOWN = Kind("net-down", "tools", "blocks", "hint", "whether each required host answers within 5 s",
    "downloads do not start", "the network or HTTPS_PROXY; `provision all --rehearse` works without")
NET_STORAGE = Kind("net-storage", "tools", "blocks", "hint",
    "whether the hosts answer that the hub, GitHub, PyPI and pytorch.org redirect to for files",
    "the hub answers, but the download does not start: the network allows only some hosts",
    "`provision check --hosts` lists the hosts to allow")
PROXY = Kind("proxy", "tools", "blocks", "hint", "whether the proxy for a host answers",
    "`ProxyError`, downloads do not start", "HTTPS_PROXY, or the host's name in NO_PROXY")
CAPTIVE = Kind("captive", "tools", "blocks", "hint", "whether the hub's answer about the model comes from a hub",
    "a login page is saved as the model, `TooManyRedirects`", "log in to the network in a browser")
HF_ENDPOINT = Kind("hf-endpoint", "tools", "blocks", "hint",
    "the hub in HF_ENDPOINT or --endpoint", "`missing the 'X-Repo-Commit' header`",
    "unset HF_ENDPOINT")
HF_BADTOKEN = Kind("hf-badtoken", "tools", "blocks", "hint", "whether the hub accepts the token",
    "401 on a public repository; a warning where it is public", "`hf auth login`, or no token")
HF_GATED = Kind("hf-gated", "tools", "blocks", "hint", "whether this account has access to the model",
    "`requires approval`", "accept the terms on the repository's page, then `hf auth login`")
HF_429 = Kind("hf-429", "tools", "warns", "hint", "whether the hub asks to wait", "`429 Too Many Requests`",
    "downloads wait as long as it says; with a token, your account's own limit applies")
TLS_INTERCEPT = Kind("tls-intercept", "tools", "blocks", "hint", "whether each host's certificate is trusted",
    "`CERTIFICATE_VERIFY_FAILED`, `UnknownIssuer`: a company's proxy, or a program that inspects traffic",
    "SSL_CERT_FILE with the certificates of your company")
CLOCK_WRONG = Kind("clock-wrong", "tools", "blocks", "hint",
    "whether certificates are valid by this computer's clock",
    "`certificate has expired`, or that it is not yet valid", "`sudo sntp -sS time.apple.com`")
TLS_STORE = Kind("tls-store", "tools", "blocks", "hint",
    "whether the certificate files in variables exist",
    "`CERTIFICATE_VERIFY_FAILED`, or no connection at all", "unset SSL_CERT_FILE or REQUESTS_CA_BUNDLE")
IPV6_DEAD = Kind("ipv6-dead", "tools", "warns", "hint", "whether a host answers over IPv4 but not IPv6",
    "downloads hang for 20 to 300 s before they start", "turn IPv6 off, or ask your network administrator")
