-- Times are milliseconds since 1970, NULL for "never".
CREATE TABLE kubbi (
    number         INTEGER PRIMARY KEY, -- store.Number: ordered by the time of creation
    due            INTEGER NOT NULL,    -- no later than this a sweep must look at it; a tombstone: ended_at - 2^62
    status         INTEGER NOT NULL,
    slot           INTEGER,             -- of the secret in the file of slots; NULL: wiped
    retrievals     INTEGER NOT NULL,
    first_at       INTEGER,
    last_at        INTEGER,
    ended_at       INTEGER,
    grace_key      BLOB,                -- the one claim key that most kubbis ever see; more are in grace
    grace_until    INTEGER,
    grace_number   INTEGER,
    grace_at       INTEGER,
    grace_more     INTEGER NOT NULL,    -- 1: look in grace too
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    max_retrievals INTEGER NOT NULL,
    package        INTEGER NOT NULL,
    file_count     INTEGER NOT NULL,
    size           INTEGER NOT NULL,
    quota          INTEGER NOT NULL,    -- 1: created under a quota of active ones
    hash           BLOB NOT NULL,
    id             BLOB NOT NULL,
    owner          TEXT NOT NULL,
    master_key     TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    key_h          INTEGER,             -- the first 8 bytes of key; NULL: made without a key, or the key is forgotten
    key            BLOB,
    key_until      INTEGER,
    key_request    BLOB,
    key_answer     BLOB,
    notify         BLOB,
    record         BLOB,
    body           INTEGER              -- bytes of the sealed payload, if it is in a file; NULL once wiped
);
CREATE INDEX kubbi_due ON kubbi (due);
CREATE INDEX kubbi_owner ON kubbi (owner, number);
CREATE INDEX kubbi_key ON kubbi (key_h) WHERE key_h IS NOT NULL;
CREATE INDEX kubbi_quota ON kubbi (owner, expires_at) WHERE quota = 1 AND status = 0;

-- Sealed payloads that are in no file. They have a table of their own since SQLite
-- frees the pages of a row that is deleted, not of one that gets shorter.
CREATE TABLE payload (
    number INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
);

-- Claim keys for which kubbi.grace_key was in use.
CREATE TABLE grace (
    kubbi  INTEGER NOT NULL,
    key    BLOB NOT NULL,
    until  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (kubbi, key)
) WITHOUT ROWID;
CREATE INDEX grace_until ON grace (until);

-- Slots of kubbis that a transaction has wiped, until they are overwritten on the
-- disk: a list of slot and number, 8 bytes each.
CREATE TABLE wiped (
    seq   INTEGER PRIMARY KEY,
    slots BLOB NOT NULL
);

-- Sums that would need a scan: kind 0 of an owner, kind 1 of a master key,
-- kind 2 of the whole store, whose name is empty. They share a table, so that a
-- transaction writes one page for all of them.
CREATE TABLE total (
    kind    INTEGER NOT NULL,
    name    TEXT NOT NULL,
    n       INTEGER NOT NULL, -- kubbis; payloads not wiped, and notices; nothing
    active  INTEGER NOT NULL,
    loose   INTEGER NOT NULL, -- active ones that are not in kubbi_quota
    expired INTEGER NOT NULL,
    burned  INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    bytes   INTEGER NOT NULL, -- of payloads not wiped
    notices INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
INSERT INTO total VALUES (2, '', 0, 0, 0, 0, 0, 0, 0, 0);

-- The outbox of notices. kubbi is the JSON of store.Kubbi.
CREATE TABLE notice (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    due        INTEGER NOT NULL,
    event      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    master_key TEXT NOT NULL,
    kubbi      BLOB NOT NULL
);
CREATE INDEX notice_due ON notice (due);

-- Uses of a bucket in the window of that length that ends then.
CREATE TABLE used (
    ends   INTEGER NOT NULL,
    length INTEGER NOT NULL,
    bucket BLOB NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (ends, length, bucket)
) WITHOUT ROWID;

CREATE TABLE api_key (
    hash       BLOB PRIMARY KEY,
    owner      TEXT NOT NULL,
    label      TEXT NOT NULL,
    created_at INTEGER,
    expires_at INTEGER,
    revoked_at INTEGER,
    max_ttl    INTEGER NOT NULL, -- milliseconds
    max_bytes  INTEGER NOT NULL,
    rate       INTEGER NOT NULL,
    daily      INTEGER NOT NULL,
    active     INTEGER NOT NULL
) WITHOUT ROWID;

-- The files beside the data base, in the only row.
CREATE TABLE beside (
    id    BLOB NOT NULL,   -- also in the file of slots
    slots INTEGER NOT NULL -- 1: that file has been made
);

-- Rows that are added and removed again, to make free pages.
CREATE TABLE ballast (b BLOB NOT NULL);
