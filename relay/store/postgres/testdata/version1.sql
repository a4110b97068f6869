-- +goose Up
-- Times are milliseconds since 1970, NULL for "never". Text that is not for
-- people to read is bytea: it may hold anything.

-- Who creates kubbis. A row is only ever locked: a create and the removal of a
-- tombstone share it (FOR KEY SHARE) before they draw from kubbi_seq; a list
-- that begins, and a create under a quota, have it to themselves (FOR UPDATE).
CREATE TABLE owner (name text PRIMARY KEY);

-- The order of creations and removals. 1 is never drawn: it is the anchor of
-- lists with nothing in them.
CREATE SEQUENCE kubbi_seq START WITH 2;

CREATE TABLE kubbi (
    id             uuid PRIMARY KEY,
    seq            bigint NOT NULL,
    owner          text NOT NULL,
    token          bytea NOT NULL,
    master_key     text NOT NULL,
    content_type   text NOT NULL,
    package        boolean NOT NULL,
    file_count     integer NOT NULL,
    size           bigint NOT NULL,
    pieces         integer NOT NULL,  -- rows of chunk
    max_retrievals integer NOT NULL,
    created_at     bigint NOT NULL,
    expires_at     bigint NOT NULL,
    status         smallint NOT NULL,
    sealed         boolean NOT NULL,  -- the payload is there
    retrievals     integer NOT NULL,
    first_at       bigint,
    last_at        bigint,
    ended_at       bigint,
    due            bigint,            -- no later than this Sweep must look at it; NULL: a tombstone with nothing left to do
    grace_key      bytea,             -- the one claim key that most kubbis ever see; more are in grace
    grace_until    bigint,
    grace_number   integer,
    grace_at       bigint,
    grace_more     boolean NOT NULL,  -- look in grace too
    key            bytea,             -- NULL: made without a key, or the key is forgotten
    key_until      bigint,
    key_request    bytea,
    key_answer     bytea,
    files          bytea,             -- JSON
    metadata       bytea,
    notify         bytea
);
CREATE UNIQUE INDEX kubbi_token ON kubbi (token);
CREATE UNIQUE INDEX kubbi_key ON kubbi (key) WHERE key IS NOT NULL;
CREATE INDEX kubbi_list ON kubbi (owner, created_at, seq, id);
CREATE INDEX kubbi_active ON kubbi (owner, expires_at) WHERE status = 0;
CREATE INDEX kubbi_due ON kubbi (due) WHERE due IS NOT NULL;
CREATE INDEX kubbi_ended ON kubbi (ended_at) WHERE due IS NULL;

-- A payload, sealed.
CREATE TABLE chunk (
    kubbi   uuid NOT NULL,
    ordinal integer NOT NULL,
    part    integer NOT NULL,
    idx     integer NOT NULL,
    sealed  bytea NOT NULL,
    PRIMARY KEY (kubbi, ordinal)
);

-- Claim keys that found kubbi.grace_key taken.
CREATE TABLE grace (
    kubbi  uuid NOT NULL,
    key    bytea NOT NULL,
    until  bigint NOT NULL,
    number integer NOT NULL,
    at     bigint NOT NULL,
    PRIMARY KEY (kubbi, key)
);
CREATE INDEX grace_until ON grace (until);

-- Places, in lists begun before, of tombstones that were removed.
CREATE TABLE removed (
    seq        bigint PRIMARY KEY,
    owner      text NOT NULL,
    created_at bigint NOT NULL,
    removed    bigint NOT NULL,   -- from kubbi_seq
    removed_at bigint NOT NULL
);
CREATE INDEX removed_list ON removed (owner, created_at, seq, removed);
CREATE INDEX removed_at ON removed (removed_at);

-- What somebody is to be told of. kubbi is JSON.
CREATE TABLE notice (
    id         uuid PRIMARY KEY,
    due        bigint NOT NULL,
    at         bigint NOT NULL,
    event      smallint NOT NULL,
    attempts   integer NOT NULL,
    master_key text NOT NULL,
    kubbi      bytea NOT NULL
);
CREATE INDEX notice_due ON notice (due, at);

-- Uses of what a bucket names, in the window of that length that ends then.
CREATE TABLE used (
    ends   bigint NOT NULL,
    length bigint NOT NULL,
    bucket bytea NOT NULL,
    n      bigint NOT NULL,
    taken  bigint NOT NULL,   -- by the last Take, for its answer
    PRIMARY KEY (ends, length, bucket)
);

CREATE TABLE api_key (
    hash       bytea PRIMARY KEY,
    owner      text NOT NULL,
    label      text NOT NULL,
    created_at bigint,
    expires_at bigint,
    revoked_at bigint,
    max_ttl    bigint NOT NULL,   -- milliseconds
    max_bytes  bigint NOT NULL,
    rate       bigint NOT NULL,
    daily      bigint NOT NULL,
    active     bigint NOT NULL
);
