"""Fills the database of a Handstamp that has been started once: fill.py DATABASE USERS

With accounts until there are so many, none of which has a password."""

import sqlite3
import sys

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

database = sqlite3.connect(sys.argv[1])
with database:
    database.execute(FILL, {"users": int(sys.argv[2])})
database.close()
