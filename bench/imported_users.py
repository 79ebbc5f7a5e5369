"""Makes files of users with ready hashes, for the measurements of imports."""

import base64
import random


def write_users(path, count):
    """Addresses are in no order, as in any table of users, so that each row changes another page of an index."""
    chance = random.Random(1)
    encoded = lambda length: base64.b64encode(chance.randbytes(length)).decode().rstrip("=")
    with path.open("w") as file:
        file.write("id,email,name,password_hash,password_form,created_at,email_verified\n")
        for number in range(count):
            address = f"{chance.getrandbits(48):012x}{number}@example.com"
            hash = f"$argon2id$v=19$m=19456,t=2,p=1${encoded(16)}${encoded(32)}"
            file.write(f'{number},{address},Person {number},"{hash}",nfc,{1500000000 + number},true\n')
