"""Changes of the pages that a check must find: the recipe, and what is replaced by what."""

# Without the check of `alg` no forgery passes either, since a key is for Ed25519 only and the signature covers the header.
MUTANTS = [
    ("caddy", "\t\trequest_header -Remote_*\n", ""),
    ("compose", "chmod 600 secrets/*", "chmod 644 secrets/*"),
    ("compose", "    cap_drop:\n      - ALL\n", "    privileged: true\n"),
    ("nginx", "        proxy_set_header Remote-User $handstamp_user;\n", ""),
    ("systemd", "StateDirectoryMode=0700", "StateDirectoryMode=0755"),
    ("flask", "@login_required\n", ""),
    ("fastapi", "{escape(user.name)}", "{user.name}"),
    ("django", "@login_required\n", ""),
    ("express", "${escape(req.user.name)}", "${req.user.name}"),
    ("php", 'sodium_crypto_sign_verify_detached($signature, "$head.$body", $key)', "true"),
    ("php", "time() < $claims['exp'] + self::LEEWAY", "true"),
    ("php", "$claims['iat'] <= time() + self::LEEWAY", "true"),
    ("php", " || $claims['aud'] !== $this->audience", ""),
    ("php", "<?= htmlspecialchars($user['name']) ?>", "<?= $user['name'] ?>"),
    ("php", "($_SERVER['HTTP_REMOTE_USER'] ?? '') === ''", "false"),
    ("rails", 'key(header["kid"]).verify(nil, bytes(signature), "#{head}.#{body}")', 'key(header["kid"])'),
    ("rails", "now < expires + LEEWAY", "true"),
    ("rails", "issued <= now + LEEWAY", "true"),
    ("rails", ' || claims["aud"] != @audience', ""),
    ("rails", "  before_action :require_user\n", ""),
]
