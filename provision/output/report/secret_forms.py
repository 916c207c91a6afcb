"""What secrets look like: keys of services, and the names before a secret; data for `redact`.

A key is its service's prefix and what may follow it, as each service documents it (or GitHub's secret scanning and
gitleaks do). No pattern may look at the same text again and again: time grows with length alone.
"""

from __future__ import annotations

DISTINCT = (
    "hf_oauth_|api_org_"  # Hugging Face
    "|sk-|gsk_|xai-|pplx-|nvapi-|tgp_v1_|csk-|tvly-|lsv2_(?:pt|sk)_"  # models as a service
    "|r8_|rpa_|wandb_v1_|esecret_|pcsk_|(?:ak|as)-(?=[A-Za-z0-9]{22})"  # Replicate, RunPod, ..., Modal
    "|gh[pousr]_|github_pat_|gl(?:pat|ptt|cbt|dt|rt|ft|soat|oas|imt|agent|ffct)-|ATATT3|ATBB|ATCTT3"
    r"|AIza|ya29\.|GOCSPX-|(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)(?=[A-Z0-9]{12})"  # Google, Amazon
    "|[srp]k_(?:live|test)_|whsec_|sq0(?:atp|csp|idp)-|shp(?:at|ca|pa|ss)_"  # Stripe, Square, Shopify
    r"|xox[a-z]-|xoxe\.|xapp-|lin_(?:api|oauth)_|ntn_|figd_|PMAK-|NRAK-|HRKU-|sntry[su]_"
    "|tskey-|dckr_pat_|do[por]_v1_|vc[pkiar]_|sbp_|sb_secret_|dapi(?=[0-9a-f]{24})|glc_|glsa_"
    r"|hv[sbr]\.|dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{2,35}\.)?|AGE-SECRET-KEY-|eyJhbGciOi"
)
"""Prefixes that no word has, with at least sixteen letters, digits, - or _ after them."""
PARTICULAR = (
    r"hf_(?:[A-Za-z0-9]{16,}|(?=[A-Za-z]{0,15}\d)[A-Za-z0-9]{8,})"  # not hf_transfer
    r"|comfyui-[A-Za-z0-9]{24,}"  # comfy.org; not comfyui-frontend-package
    r"|npm_[A-Za-z0-9]{20,}|pypi-(?:Ag[\w-]{8,}|\w{24,})|secret_[A-Za-z0-9]{32,}|key-[0-9a-f]{32}"
    r"|(?:fw_|jina_|sess-)[A-Za-z0-9]{20,}|pul-[0-9a-f]{40}|FlyV1 \w[\w+/=,-]{16,}"
    r"|(?:SK|AC)[0-9a-f]{32}|SG\.[\w-]{12,}(?:\.[\w-]+)?|[0-9a-f]{32}-us\d{1,2}"  # Twilio, SendGrid, Mailchimp
    r"|(?:bot)?\d{8,12}:AA[\w-]{30,}|[MNO][\w-]{22,30}\.[\w-]{5,7}\.[\w-]{25,}"  # Telegram, Discord
    r"|(?:ops_)?eyJ[\w-]{6,500}\.[\w-]+(?:\.[\w-]*)?|[A-Za-z0-9]{12,16}\.atlasv1\.[\w-]{40,}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}"  # fal
    r"|ssh-(?:rsa|dss|ed25519) AAAA[\w+/=]{16,}"
)
"""Prefixes that words have too: what follows has to be of the service's own form."""
KEY = (
    r"(?:(?<![A-Za-z0-9-])|(?<=\\[nrtf])|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"  # an escaped newline is no letter before it
    rf"(?:(?:{DISTINCT})[\w-]{{16,}}|{PARTICULAR})[\w+/=-]*"
)
NEAR = (
    r"(?i)((?:wandb|weights ?(?:&|and) ?biases)[^\n]{0,60}?)\b[0-9a-f]{40}\b"
    r"|(?i:(civitai[^\n]{0,60}?)\b[0-9a-f]{32}\b)|(?i:(ngrok[^\n]{0,60}?)\b\w{20,32}_\w{10,32}\b)"
)
"""A key without a prefix, by the name of its service before it."""
BREAK = r"(?:\s|\\{1,8}[rn])"
PEM = (
    rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY[A-Z ]{{0,10}}-----"
    rf"(?:{BREAK}*+(?:[A-Za-z0-9+/]{{32,}}+|[A-Z][\w-]{{2,20}}: [^\n\\]*+))*+"
    rf"(?:{BREAK}*+[A-Za-z0-9+/=]*+)?(?:{BREAK}*+=\w{{4}})?(?:{BREAK}*+-----END [A-Z0-9 ]{{0,60}}-----)?"
)
PEM_END, PEM_WORDS = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----", r"[A-Za-z0-9+/=]{1,76}\s*$"
WEBHOOKS = (
    r"hooks\.slack\.com/|discord(?:app)?\.com/api/webhooks/|api\.telegram\.org/bot|webhook\.office\.com/"
    r"|hooks\.zapier\.com/|maker\.ifttt\.com/|ntfy\.sh/|hc-ping\.com/|api\.day\.app/"
)
"""Addresses whose path is the secret."""

MORE = r"(?:[_-](?!type|ids?\b|count|len|limit|max|min|embed|merg|weight|mask|pos|path|file|dir|url)[\w-]{1,24})?"
LABELS = (
    rf"(?:token|secret|password|passwd|passphrase|passcode|passwort){MORE}"
    rf"|(?:api|app|auth|access|account|client|private|secret|signing|encryption|service|session|master|storage)"
    rf"[_ -]?key{MORE}|x-amz-[a-z-]{{3,20}}|key-pair-id|session[_-]?id|authtoken"
    r"|(?<![A-Za-z])(?:auth|pwd|dsn|otp|pat|credentials?|webhook|(?-i:(?:[A-Z0-9]{1,24}_){0,4}(?:KEY|PASS)))"
)
"""What stands before `=` or `:` and a secret: any name that ends so, as `HF_TOKEN`, `apiKey`, `AWS_SECRET_KEY`."""
HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|private-token|x-auth-token|x-goog-api-key"
PLAIN = (
    r"\d{1,6}(?:\.\d+)?|true|false|none|null|nil|undefined|yes|no|on|off|not|and|is|was|the|an?|missing|unset|empty"
    r"|invalid|expired|required|wrong|denied|failed|error|optional|unknown|default|set|str|int|bool|bytes|string|object"
    r"|basic|digest|bearer|lambda|self\..*|os\..*|\.\.\.|\[[a-z]+\].*"
)
"""Values that are no secret, whatever stands before them; what was redacted before is one."""
