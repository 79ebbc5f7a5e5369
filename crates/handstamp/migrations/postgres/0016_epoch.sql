-- The epoch of the database. Its number is in the upper 32 bits of the position, so a node that followed the log of an earlier epoch
-- finds a gap. When it began; null in the first one. Sessions, one-time tokens and device cookies from before it are void.
ALTER TABLE change_counter ADD COLUMN epoch_began_at BIGINT;
