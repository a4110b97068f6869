-- +goose Up
-- Times are milliseconds since 1970, NULL for "never". The *_h columns are the
-- first 8 bytes of a value that is random anyway: an index over integers is a
-- third of the size of one over the values, and rows are compared in full.
CREATE TABLE kubbi (
    seq            INTEGER PRIMARY KEY, -- order of creation; from counter, never used twice
    token_h        INTEGER NOT NULL,
    id_h           INTEGER NOT NULL,
    key_h          INTEGER,             -- NULL: made without a key, or the key is forgotten
    due            INTEGER,             -- no later than this Sweep must look at it; NULL: a tombstone with nothing left to do
    status         INTEGER NOT NULL,
    sealed         INTEGER NOT NULL,    -- 1 while the payload is there; set to 0 it takes the payload along (trigger)
    retrievals     INTEGER NOT NULL,
    first_at       INTEGER,
    last_at        INTEGER,
    ended_at       INTEGER,
    grace_key      BLOB,                -- the one claim key that most kubbis ever see; more are in grace
    grace_until    INTEGER,
    grace_number   INTEGER,
    grace_at       INTEGER,
    grace_more     INTEGER NOT NULL,    -- 1: look in grace too
    key_until      INTEGER,
    removed        INTEGER,             -- counter when Sweep removed it: invisible, but it keeps its place in lists begun before
    removed_at     INTEGER,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    max_retrievals INTEGER NOT NULL,
    package        INTEGER NOT NULL,
    file_count     INTEGER NOT NULL,
    size           INTEGER NOT NULL,
    token          BLOB NOT NULL,
    id             BLOB NOT NULL,
    owner          TEXT NOT NULL,
    master_key     TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    key            BLOB,
    key_request    BLOB,
    key_answer     BLOB,
    files          BLOB,
    metadata       BLOB
);
CREATE INDEX kubbi_token ON kubbi (token_h);
CREATE INDEX kubbi_id ON kubbi (id_h);
CREATE INDEX kubbi_key ON kubbi (key_h) WHERE key_h IS NOT NULL;
CREATE INDEX kubbi_list ON kubbi (owner, created_at, seq, removed);
CREATE INDEX kubbi_due ON kubbi (due) WHERE due IS NOT NULL;
CREATE INDEX kubbi_ended ON kubbi (ended_at) WHERE due IS NULL AND removed IS NULL;
CREATE INDEX kubbi_removed ON kubbi (removed) WHERE removed IS NOT NULL;

-- A payload: k is seq << 20 | ordinal of the chunk.
CREATE TABLE chunk (
    k      INTEGER PRIMARY KEY,
    part   INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    sealed BLOB NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER kubbi_wipe AFTER UPDATE OF sealed ON kubbi WHEN NEW.sealed = 0
BEGIN
    DELETE FROM chunk WHERE k >= NEW.seq << 20 AND k < (NEW.seq + 1) << 20;
END;
-- +goose StatementEnd

-- Claim keys that found kubbi.grace_key taken.
CREATE TABLE grace (
    seq    INTEGER NOT NULL,
    key    BLOB NOT NULL,
    until  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (seq, key)
) WITHOUT ROWID;
CREATE INDEX grace_until ON grace (until);

-- Sums that would need a scan: kind 0 an owner's kubbis, kind 1 the sealed
-- payloads of a master key.
CREATE TABLE tally (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- The next free seq, in its only row.
CREATE TABLE counter (next INTEGER NOT NULL);
INSERT INTO counter VALUES (1);

CREATE TABLE api_key (
    hash       BLOB PRIMARY KEY,
    owner      TEXT NOT NULL,
    label      TEXT NOT NULL,
    created_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;

PRAGMA user_version = 1;
