"""What a download can lack: hosts and the programs of backends, as kinds of findings of the step `tools`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
GIT_MISSING = Kind("git-missing", "tools", "blocks", "consent", "whether git is here and answers as git does",
    "ComfyUI cannot be fetched", "installed with Homebrew after a yes, or Apple's Command Line Tools")
LFS_READY = Kind("lfs-ready", "tools", "informs", "none", "git-lfs, when its backend is asked for", FINE, NOTHING)
WGET_READY = Kind("wget-ready", "tools", "informs", "none", "wget, when its backend is asked for", FINE, NOTHING)
LFS_MISSING = Kind("lfs-missing", "tools", "blocks", "consent", "git-lfs, when its backend is asked for",
    "`git: 'lfs' is not a git command`", "install it, or `--backend auto`")
WGET_MISSING = Kind("wget-missing", "tools", "blocks", "consent", "GNU wget, when its backend is asked for",
    "`command not found: wget`", "install it, or `--backend auto`")
NET_DOWN = Kind("net-down", "tools", "blocks", "hint", "whether each host that is needed answers within 5 s",
    "downloads do not begin", "the network or HTTPS_PROXY; `provision all --rehearse` needs none")
NET_STORAGE = Kind("net-storage", "tools", "blocks", "hint",
    "whether the hosts answer to which the hub, GitHub, PyPI and pytorch.org send on for their files",
    "the hub answers, and the download does not begin: a network that lets only known names through",
    "`provision check --hosts` lists what is to be let through")
PROXY = Kind("proxy", "tools", "blocks", "hint", "whether the proxy answers through which a host is asked",
    "`ProxyError`, downloads do not begin", "HTTPS_PROXY, or the host's name in NO_PROXY")
CAPTIVE = Kind("captive", "tools", "blocks", "hint", "whether the hub answers about the model as a hub does",
    "a login page of the network is saved as the model, `TooManyRedirects`", "log in to it in a browser")
HF_ENDPOINT = Kind("hf-endpoint", "tools", "blocks", "hint",
    "the same, of the hub that HF_ENDPOINT or --endpoint names", "`missing the 'X-Repo-Commit' header`",
    "unset HF_ENDPOINT")
HF_BADTOKEN = Kind("hf-badtoken", "tools", "blocks", "hint", "whether the hub takes the token, and goes on without",
    "401 on a public repository; a warning where it is public", "`hf auth login`, or no token")
HF_GATED = Kind("hf-gated", "tools", "blocks", "hint", "whether the hub lets this account have the model",
    "`requires approval`", "accept the terms on the repository's page, then `hf auth login`")
HF_429 = Kind("hf-429", "tools", "warns", "hint", "whether the hub asks to wait", "`429 Too Many Requests`",
    "downloads wait for as long as it says; with a token your account's own limit counts")
TLS_INTERCEPT = Kind("tls-intercept", "tools", "blocks", "hint", "whether each host's certificate is trusted",
    "`CERTIFICATE_VERIFY_FAILED`, `UnknownIssuer`: a company's proxy, or a program that inspects traffic",
    "SSL_CERT_FILE with the certificates of your company")
CLOCK_WRONG = Kind("clock-wrong", "tools", "blocks", "hint",
    "whether certificates are valid at the time that the clock shows",
    "`certificate has expired`, or that it is not valid yet", "`sudo sntp -sS time.apple.com`")
TLS_STORE = Kind("tls-store", "tools", "blocks", "hint",
    "whether the files of certificates that variables name are there",
    "`CERTIFICATE_VERIFY_FAILED`, or no connection at all", "unset SSL_CERT_FILE or REQUESTS_CA_BUNDLE")
IPV6_DEAD = Kind("ipv6-dead", "tools", "warns", "hint", "whether a host answers over IPv4 and not over IPv6",
    "20 to 300 s in which nothing comes", "turn IPv6 off, or ask who runs the network")
