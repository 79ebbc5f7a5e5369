"""Prints tokens that PyJWT has signed, and forged ones, as JSON for tests/federation.rs.

Usage: python3 id_tokens.py, with the packages of requirements.txt
"""

import base64
import hashlib
import hmac
import json

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://op.example.com",
    "sub": "248289761001",
    "aud": "handstamp-client",
    "nonce": "n-0S6_WzA2Mj",
    "iat": NOW - 5,
    "exp": NOW + 300,
}
LOGOUT_CLAIMS = {
    "iss": "https://op.example.com",
    "sub": "248289761001",
    "aud": "handstamp-client",
    "iat": NOW - 5,
    "exp": NOW + 120,
    "jti": "bWJq",
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
}
KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "rsa-3072": rsa.generate_private_key(65537, 3072),
    "rsa-4096": rsa.generate_private_key(65537, 4096),
    "rsa-exponent-3": rsa.generate_private_key(3, 2048),
    "rsa-1024": rsa.generate_private_key(65537, 1024),
    "rsa-odd": rsa.generate_private_key(65537, 2049),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "for-ps256": rsa.generate_private_key(65537, 2048),
    "for-encryption": rsa.generate_private_key(65537, 2048),
    "published": rsa.generate_private_key(65537, 2048),
}
ATTACKER = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
EXTRA = {
    "rsa": {"use": "sig"},
    "for-ps256": {"alg": "PS256", "use": "sig"},
    "for-encryption": {"use": "enc"},
    "ed25519": {"use": "sig", "alg": "EdDSA", "key_ops": ["verify"]},
}
ALGORITHMS = {
    "RS256": ["rsa", "rsa-3072", "rsa-4096", "rsa-exponent-3", "rsa-odd"],
    "RS384": ["rsa", "rsa-4096"],
    "RS512": ["rsa", "rsa-4096"],
    "PS256": ["rsa", "for-ps256", "rsa-odd"],
    "PS384": ["rsa", "rsa-4096"],
    "PS512": ["rsa", "rsa-3072"],
    "ES256": ["p256"],
    "ES384": ["p384"],
    "ES512": ["p521"],
    "EdDSA": ["ed25519"],
}


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def algorithm_of(key):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return jwt.algorithms.OKPAlgorithm
    return jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm


def jwk(name):
    key = KEYS[name]
    shown = key if name == "published" else key.public_key()
    members = algorithm_of(key).to_jwk(shown, as_dict=True)
    members.pop("key_ops", None)
    return {**members, **EXTRA.get(name, {}), "kid": name}


def signed_by(name, algorithm, claims=CLAIMS, key=None, **header):
    return jwt.encode(claims, key or KEYS[name], algorithm=algorithm, headers={"kid": name, **header})


def forged(header, signature, claims=CLAIMS):
    """A token whose signature is made by this function of the signed bytes."""
    signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{signed}.{encode(signature(signed.encode()))}"


def cases():
    for algorithm, names in ALGORITHMS.items():
        for name in names:
            yield f"{algorithm} by {name}", signed_by(name, algorithm), "ok"
    yield "RS256 without a key id", jwt.encode(CLAIMS, KEYS["rsa"], algorithm="RS256"), "ok"
    yield "PyJWT's unsecured token", jwt.encode(CLAIMS, None, algorithm="none"), "algorithm"
    for spelling in ["none", "None", "NONE", "nOnE"]:
        yield f"alg {spelling}", forged({"alg": spelling, "typ": "JWT"}, lambda signed: b""), "algorithm"
    yield "RS256 without a signature", forged({"alg": "RS256", "kid": "rsa"}, lambda signed: b""), "signature"

    # The public key of the provider as the secret of an HMAC, in each form that a library may hold it in.
    public = KEYS["rsa"].public_key()
    encodings = [
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.PKCS1),
    ]
    secrets = [public.public_bytes(*encoding) for encoding in encodings]
    secrets += [secrets[0].strip(), json.dumps(jwk("rsa")).encode(), b"", b"secret"]
    for number, secret in enumerate(secrets):
        for bits in [256, 384, 512]:
            mac = lambda signed: hmac.new(secret, signed, getattr(hashlib, f"sha{bits}")).digest()
            yield f"HS{bits} with public key {number}", forged({"alg": f"HS{bits}", "kid": "rsa"}, mac), "algorithm"
            yield f"HMAC {bits} as RS256 {number}", forged({"alg": "RS256", "kid": "rsa"}, mac), "signature"

    # ECDSA: in DER, with zeros, with r and s exchanged, too long. P-521 is verified by other code.
    orders = {
        "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        "ES512": 2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
    }
    for name, algorithm, digest, size in [("p256", "ES256", hashes.SHA256(), 32), ("p521", "ES512", hashes.SHA512(), 66)]:
        header = {"alg": algorithm, "kid": name}
        yield f"{algorithm} in DER", forged(header, lambda signed: KEYS[name].sign(signed, ec.ECDSA(digest))), "signature"
        yield f"{algorithm} of zeros", forged(header, lambda signed: bytes(2 * size)), "signature"
        one, n = (1).to_bytes(size, "big"), orders[algorithm].to_bytes(size, "big")
        for what, signature in {"r zero": bytes(size) + one, "s zero": one + bytes(size), "r the order": n + one,
                                "s the order": one + n, "both the order": n + n, "ones": one + one}.items():
            yield f"{algorithm} with {what}", forged(header, lambda signed: signature), "signature"
        head, raw = signed_by(name, algorithm).rsplit(".", 1)
        raw = base64.urlsafe_b64decode(raw + "==")
        r, s = raw[:size], raw[size:]
        yield f"{algorithm} with r and s exchanged", f"{head}.{encode(s + r)}", "signature"
        yield f"{algorithm} with a byte more", f"{head}.{encode(raw + bytes(1))}", "signature"
        yield f"{algorithm} with a byte less", f"{head}.{encode(raw[:-1])}", "signature"
        yield f"{algorithm} with zeros in front", f"{head}.{encode(bytes(1) + r + bytes(1) + s)}", "signature"
        yield f"{algorithm} of another payload", forged(header, lambda signed: raw, {**CLAIMS, "sub": "another"}), "signature"
    yield "EdDSA of zeros", forged({"alg": "EdDSA", "kid": "ed25519"}, lambda signed: bytes(64)), "signature"

    # RSA: one padding as another, one digest as another, with a byte more or less.
    rsa_key = KEYS["rsa"]
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    header = {"alg": "RS256", "kid": "rsa"}
    yield "PS256 as RS256", forged(header, lambda signed: rsa_key.sign(signed, pss, hashes.SHA256())), "signature"
    pkcs1 = lambda digest: lambda signed: rsa_key.sign(signed, padding.PKCS1v15(), digest)
    yield "RS256 as PS256", forged({"alg": "PS256", "kid": "rsa"}, pkcs1(hashes.SHA256())), "signature"
    yield "RS512 as RS256", forged(header, pkcs1(hashes.SHA512())), "signature"
    yield "RSA with SHA-1 as RS256", forged(header, pkcs1(hashes.SHA1())), "signature"
    short = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=20)
    yield "PS256 with a short salt", forged({"alg": "PS256", "kid": "rsa"},
                                            lambda signed: rsa_key.sign(signed, short, hashes.SHA256())), "signature"
    yield "RS256 with a zero in front", forged(header, lambda signed: bytes(1) + pkcs1(hashes.SHA256())(signed)), "signature"
    yield "RS256 of zeros", forged(header, lambda signed: bytes(256)), "signature"
    yield "RS256 of a one", forged(header, lambda signed: bytes(255) + b"\1"), "signature"

    # Another algorithm than that of the key, and keys that verify nothing.
    yield "ES256 under the id of an RSA key", signed_by("rsa", "ES256", key=KEYS["p256"]), "unknown_key"
    yield "RS256 under the id of a P-256 key", signed_by("p256", "RS256", key=KEYS["rsa"]), "unknown_key"
    yield "ES384 under the id of a P-256 key", signed_by("p256", "ES384", key=KEYS["p384"]), "unknown_key"
    yield "RS256 by the key for PS256", signed_by("for-ps256", "RS256"), "unknown_key"
    yield "RS256 by the key for encryption", signed_by("for-encryption", "RS256"), "unknown_key"
    yield "RS256 by the published private key", signed_by("published", "RS256"), "unknown_key"
    yield "RS256 by a key of 1024 bits", signed_by("rsa-1024", "RS256"), "unknown_key"
    yield "ES512 under the id of a P-384 key", signed_by("p384", "ES512", key=KEYS["p521"]), "unknown_key"
    yield "ES256K", signed_by("secp256k1", "ES256K"), "algorithm"
    yield "ES256 of secp256k1", forged({"alg": "ES256", "kid": "secp256k1"}, lambda signed: bytes(64)), "unknown_key"
    yield "an unknown key", signed_by("rsa", "RS256", kid="other"), "unknown_key"

    # Keys of the attacker, under the id of a key, in the header, and by an address.
    for name, algorithm in [("rsa", "RS256"), ("p256", "ES256"), ("ed25519", "EdDSA")]:
        key = ATTACKER[name]
        own = algorithm_of(key).to_jwk(key.public_key(), as_dict=True)
        yield f"{algorithm} by the attacker", signed_by(name, algorithm, key=key), "signature"
        yield f"{algorithm} by the key in jwk", signed_by(name, algorithm, key=key, jwk=own), "signature"
        yield f"{algorithm} by the key at jku", signed_by(name, algorithm, key=key, jku="https://a.example/k"), "signature"
        yield f"{algorithm} by the key in jwk, without id", jwt.encode(
            CLAIMS, key, algorithm=algorithm, headers={"jwk": own}), "signature"
        yield f"{algorithm} by an unknown key in jwk", signed_by(name, algorithm, key=key, jwk=own, kid="x"), "unknown_key"

    # Extensions and types.
    yield "a critical extension", signed_by("rsa", "RS256", crit=["exp"], exp=NOW), "critical"
    for media_type in ["logout+jwt", "at+jwt", "dpop+jwt"]:
        yield f"the type {media_type}", signed_by("rsa", "RS256", typ=media_type), "type"

    # Claims.
    for name, changes, error in [
        ("another issuer", {"iss": "https://op.example.com/"}, "issuer"),
        ("another client", {"aud": "other"}, "audience"),
        ("several clients", {"aud": ["other", "handstamp-client"]}, "authorized_party"),
        ("another nonce", {"nonce": "other"}, "nonce"),
        ("expired", {"exp": NOW - 60}, "expired"),
        ("a text for a time", {"exp": str(NOW + 300)}, "malformed"),
    ]:
        yield name, signed_by("rsa", "RS256", {**CLAIMS, **changes}), error


def main():
    logout = [signed_by(names[0], algorithm, LOGOUT_CLAIMS, typ="logout+jwt") for algorithm, names in ALGORITHMS.items()]
    print(json.dumps({
        "keys": [jwk(name) for name in KEYS],
        "id_tokens": [{"name": name, "token": token, "result": result} for name, token, result in cases()],
        "logout_tokens": logout,
    }, indent=1))


if __name__ == "__main__":
    main()
