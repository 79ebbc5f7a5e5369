-- The secret keys of the nodes, by their ids. No secret is stored.

-- The keys that each running node knows: first the one that it signs with, then its fallbacks.
CREATE TABLE secret_key_nodes (
    id      UUID NOT NULL PRIMARY KEY,
    -- For the operator: the host and the process.
    name    TEXT NOT NULL,
    -- The ids, separated by commas.
    keys    TEXT NOT NULL,
    -- How many times the node has written its row. A node whose count stands still is gone.
    beats   BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- When each key began to sign, and until when it may have signed.
CREATE TABLE secret_keys (
    id           TEXT NOT NULL PRIMARY KEY,
    signed_since BIGINT NOT NULL,
    signed_until BIGINT NOT NULL
);
