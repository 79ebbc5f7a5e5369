"""The C library of Argon2 (by argon2-cffi), at the settings of micro's hashing_a_password."""

import statistics
import time

from argon2.low_level import Type, hash_secret


def milliseconds():
    begun = time.perf_counter()
    hash_secret(b"plum-octave-harbour", b"\x03" * 16, 2, 19456, 1, 32, Type.ID)
    return (time.perf_counter() - begun) * 1000


times = [milliseconds() for _ in range(30)]
print(f"Argon2id in C: {statistics.median(times):.1f} ms in the middle of 30, {min(times):.1f} the fastest")
