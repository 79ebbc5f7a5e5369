"""Prints the golden vectors of the audit log: a second implementation of its chain, with Python's standard library only.

Usage: python3 golden_events.py
"""

import hashlib
import hmac
import struct
import uuid

from golden_token import SECRET, USER, key_of


def commitment(salt: bytes, event: uuid.UUID, time: int, user: uuid.UUID | None, name: str, content: str) -> bytes:
    user_bytes = user.bytes if user else bytes(16)
    record = struct.pack(">B16sQ?16sI", 1, event.bytes, time, user is not None, user_bytes, len(name.encode()))
    return hmac.digest(salt, record + name.encode() + content.encode(), "sha256")


def link(secret: bytes, before: bytes, position: int, committed: bytes) -> bytes:
    _, key_id = key_of(secret, b"events")
    return hashlib.sha256(before + struct.pack(">Q", position) + key_id + committed).digest()


def tag(secret: bytes, role: int, message: bytes) -> bytes:
    key, key_id = key_of(secret, b"events")
    return key_id + hmac.digest(key, bytes([role]) + message, "sha256")


def erased_digest(commitments: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(sorted(commitments))).digest()


EVENT = uuid.UUID("019aaf3c-6000-7001-8123-456789abcdef")

if __name__ == "__main__":
    first = commitment(bytes(range(16)), EVENT, 1_763_900_000, USER, "authn_login_success", '{"actor":"visitor"}')
    second = commitment(b"\xff" * 16, EVENT, 0, None, "é", "")
    first_link = link(SECRET, bytes(32), 1, first)
    second_link = link(SECRET, first_link, 2, second)
    print("commitments", first.hex(), second.hex())
    print("head", f"2:{second_link.hex()}")
    print("tag of the first commitment", tag(SECRET, 1, first).hex())
    print("seal of the second event", tag(SECRET, 2, second_link).hex())
    print("erased", erased_digest([first, second]).hex())
