"""Prints the golden vectors of the tests: a second implementation of the token layouts, with Python's standard library only.

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
    key, key_id = key_of(secret, b"session")
    return signed(key, struct.pack(">B4sH16s16sQQ", 1, key_id, flags, user.bytes, session, issued, expires))


def device_token(secret: bytes, user: uuid.UUID, device: bytes, expires: int) -> str:
    key, key_id = key_of(secret, b"device")
    return signed(key, struct.pack(">B4s16s8sQ", 1, key_id, user.bytes, device, expires))


def one_time_token(secret: bytes, purpose: int, token_id: bytes, expires: int) -> str:
    key, key_id = key_of(secret, b"one-time")
    return signed(key, struct.pack(">B4sH16sQ", 1, key_id, purpose, token_id, expires))


def one_time_code(secret: bytes, token_id: bytes) -> str:
    key, _ = key_of(secret, b"one-time-code")
    (number,) = struct.unpack(">Q", hmac.digest(key, token_id, "sha256")[:8])
    return f"{number % 10**8:08}"


def key_of(secret: bytes, purpose: bytes) -> tuple[bytes, bytes]:
    key = hkdf_sha256(secret, b"handstamp/" + purpose + b"/v1")
    return key, hashlib.sha256(key).digest()[:4]


def signed(key: bytes, message: bytes) -> str:
    return base64.urlsafe_b64encode(message + hmac.digest(key, message, "sha256")).decode()


SECRET = b"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"
USER = uuid.UUID("019aaf3c-5c00-7a11-8b22-c33d44e55f66")

if __name__ == "__main__":
    print(token(SECRET, 0b001, USER, bytes(range(16)), 1_763_900_000, 1_766_492_000))
    print(token(SECRET, 0, USER, b"\xff" * 16, 0, 2**64 - 1))
    # Flags that the layout does not use.
    print(token(SECRET, 0b100, USER, b"\xff" * 16, 0, 2**64 - 1))
    print(device_token(SECRET, USER, bytes(range(8)), 1_831_536_000))
    print(one_time_token(SECRET, 4, bytes(range(16)), 1_800_003_600))
    print(one_time_code(SECRET, bytes(range(16))))
