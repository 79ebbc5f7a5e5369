"""Fills the database of a Handstamp that has been started once: fill.py FOLDER USERS [SESSIONS]

Adds accounts without passwords until there are USERS, and SESSIONS live sessions of theirs. The tokens of the sessions go to
the file `tokens` in the folder, one per line."""

import hashlib
import secrets
import sqlite3
import struct
import sys
import time
import uuid
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "crates/handstamp-core/tests"))
import golden_token

FILL = """
WITH RECURSIVE numbers (number) AS (
    SELECT count(*) + 1 FROM users
    UNION ALL
    SELECT number + 1 FROM numbers WHERE number < :users
)
INSERT INTO users (id, name, email, email_key, created_at)
SELECT randomblob(16), 'Person ' || number, 'person' || number || '@example.com', 'person' || number || '@example.com',
    unixepoch()
FROM numbers WHERE number <= :users
"""
SESSION = "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0)', '192.0.2.1')"
MONTH = 30 * 24 * 60 * 60


def begin_sessions(database, folder, count):
    key, key_id = golden_token.key_of((folder / "secret.key").read_bytes().rstrip(), b"session")
    now = int(time.time())
    users = [row[0] for row in database.execute("SELECT id FROM users LIMIT ?", (count,))]
    with (folder / "tokens").open("w") as tokens:
        for number in range(count):
            user, session = users[number % len(users)], secrets.token_bytes(16)
            message = struct.pack(">B4sH16s16sQQ", 1, key_id, 1, user, session, now, now + MONTH)
            tokens.write(golden_token.signed(key, message) + "\n")
            yield hashlib.sha256(session).digest(), uuid.uuid4().bytes, user, now, now + MONTH, now


folder, users, *sessions = Path(sys.argv[1]), *map(int, sys.argv[2:])
database = sqlite3.connect(folder / "handstamp.db")
with database:
    database.execute(FILL, {"users": users})
for count in sessions:
    with database:
        database.executemany(SESSION, begin_sessions(database, folder, count))
database.close()
