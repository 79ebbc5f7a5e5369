"""Hashes with the C library of Argon2 (argon2-cffi) at the settings of a sign-in, once for each line of the input, and prints
how many seconds each hash took."""

import sys
import time

from argon2.low_level import Type, hash_secret

for _ in sys.stdin:
    begun = time.perf_counter()
    hash_secret(b"plum-octave-harbour", b"\x03" * 16, 2, 19456, 1, 32, Type.ID)
    print(time.perf_counter() - begun, flush=True)
