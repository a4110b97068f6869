-- Times are milliseconds since 1970, NULL for "never". Text that is not for
-- people to read is bytea: it may hold anything. Version 1 had other tables,
-- which stay as they are, but for api_key, which is taken over.

CREATE TABLE kubbis (
    number         bigint PRIMARY KEY,
    id             uuid NOT NULL,
    token          bytea NOT NULL,
    owner          text NOT NULL,
    master_key     text NOT NULL,
    secret         bytea,             -- NULL: wiped
    content_type   text NOT NULL,
    package        boolean NOT NULL,
    file_count     integer NOT NULL,
    size           bigint NOT NULL,
    pieces         integer NOT NULL,  -- rows of chunks; 0: the payload is in this row
    max_retrievals integer NOT NULL,
    created_at     bigint NOT NULL,
    expires_at     bigint NOT NULL,
    status         smallint NOT NULL,
    retrievals     integer NOT NULL,
    first_at       bigint,
    last_at        bigint,
    ended_at       bigint,
    done           boolean NOT NULL,  -- a tombstone that waits for its removal
    due            bigint NOT NULL,   -- no later than this a sweep must look at it; of a tombstone that is done: when it ended
    grace_key      bytea,             -- the one claim key that most kubbis ever see; more are in graces
    grace_until    bigint,
    grace_number   integer,
    grace_at       bigint,
    grace_more     boolean NOT NULL,  -- look in graces too
    key            bytea,             -- NULL: made without a key, or the key is forgotten
    key_until      bigint,
    key_request    bytea,
    key_answer     bytea,
    record         bytea,
    notify         bytea,
    payload        bytea
);
CREATE UNIQUE INDEX kubbis_key ON kubbis (key) WHERE key IS NOT NULL;
CREATE INDEX kubbis_list ON kubbis (owner, number);
CREATE INDEX kubbis_due ON kubbis (done, due);
-- What may be active. No column of it changes with a claim, nor does one of
-- kubbis_due in most: such an update writes no index.
CREATE INDEX kubbis_active ON kubbis (owner, expires_at) WHERE NOT done;

-- A large payload.
CREATE TABLE chunks (
    kubbi   bigint NOT NULL,
    ordinal integer NOT NULL,
    sealed  bytea NOT NULL,
    PRIMARY KEY (kubbi, ordinal)
);

-- Claim keys for which kubbis.grace_key was in use.
CREATE TABLE graces (
    kubbi  bigint NOT NULL,
    key    bytea NOT NULL,
    until  bigint NOT NULL,
    number integer NOT NULL,
    at     bigint NOT NULL,
    PRIMARY KEY (kubbi, key)
);
CREATE INDEX graces_until ON graces (until);

-- Who creates under a quota. A row is only ever locked: such creates of one
-- owner come one after the other.
CREATE TABLE owners (name text PRIMARY KEY);

-- The outbox of notices. kubbi is the JSON of store.Kubbi.
CREATE TABLE notices (
    id         uuid PRIMARY KEY,
    due        bigint NOT NULL,
    at         bigint NOT NULL,
    event      smallint NOT NULL,
    attempts   integer NOT NULL,
    master_key text NOT NULL,
    kubbi      bytea NOT NULL
);
CREATE INDEX notices_due ON notices (due, at);

-- Uses of a bucket in the window of that length that ends then.
CREATE TABLE uses (
    ends   bigint NOT NULL,
    length bigint NOT NULL,
    bucket bytea NOT NULL,
    n      bigint NOT NULL,
    taken  bigint NOT NULL,   -- by the last CountUses, for its answer
    PRIMARY KEY (ends, length, bucket)
);

CREATE TABLE IF NOT EXISTS api_key (
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
