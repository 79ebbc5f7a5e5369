"""The source of the golden vector in token.rs: the layout of version 1 once more, with Python's standard library only.

Usage: python3 golden_token.py
"""

import base64
import hashlib
import hmac
import struct
import uuid


def hkdf_sha256(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with an empty salt, for one block of output."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def token(secret: bytes, flags: int, user: uuid.UUID, session: bytes, issued: int, expires: int) -> str:
    key = hkdf_sha256(secret, b"handstamp/session/v1")
    key_id = hashlib.sha256(key).digest()[:4]
    signed = struct.pack(">B4sH16s16sQQ", 1, key_id, flags, user.bytes, session, issued, expires)
    return base64.urlsafe_b64encode(signed + hmac.digest(key, signed, "sha256")).decode()


SECRET = b"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"
USER = uuid.UUID("019aaf3c-5c00-7a11-8b22-c33d44e55f66")

print(token(SECRET, 0b001, USER, bytes(range(16)), 1_763_900_000, 1_766_492_000))
print(token(SECRET, 0b100, USER, b"\xff" * 16, 0, 2**64 - 1))
