-- +goose Up
-- A program of the version before, still at work on this file, would get the
-- sums below wrong. It finds this column no more, and answers with an error.
ALTER TABLE kubbi RENAME COLUMN sealed TO payload;

ALTER TABLE kubbi ADD COLUMN quota INTEGER NOT NULL DEFAULT 0; -- 1: created under a quota of active ones
ALTER TABLE kubbi ADD COLUMN notify BLOB;
CREATE INDEX kubbi_quota ON kubbi (owner, expires_at) WHERE quota = 1 AND status = 0;

-- Sums that would need a scan: kind 0 of an owner, kind 1 of a master key,
-- kind 2 of the whole store, whose name is empty. They share a table, so that a
-- transaction writes one page for all of them.
CREATE TABLE total (
    kind    INTEGER NOT NULL,
    name    TEXT NOT NULL,
    n       INTEGER NOT NULL, -- kubbis that are not removed; payloads not wiped, and notices; the next free seq
    active  INTEGER NOT NULL,
    loose   INTEGER NOT NULL, -- active ones that are not in kubbi_quota
    expired INTEGER NOT NULL,
    burned  INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    bytes   INTEGER NOT NULL, -- of payloads not wiped
    notices INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
INSERT INTO total
    SELECT 0, owner, count(*), sum(status = 0), sum(status = 0), 0, 0, 0, 0, 0 FROM kubbi WHERE removed IS NULL GROUP BY owner;
INSERT INTO total
    SELECT 1, master_key, count(*), 0, 0, 0, 0, 0, 0, 0 FROM kubbi WHERE payload = 1 GROUP BY master_key;
INSERT INTO total
    SELECT 2, '', (SELECT next FROM counter), ifnull(sum(status = 0), 0), 0, ifnull(sum(status = 1), 0), ifnull(sum(status = 2), 0),
        ifnull(sum(status = 3), 0), ifnull(sum(size) FILTER (WHERE payload = 1), 0), 0 FROM kubbi WHERE removed IS NULL;
DROP TABLE tally;
DROP TABLE counter;

-- What somebody is to be told of. kubbi is JSON.
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

-- Uses of what a bucket names, in the window of that length that ends then.
CREATE TABLE used (
    ends   INTEGER NOT NULL,
    length INTEGER NOT NULL,
    bucket BLOB NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (ends, length, bucket)
) WITHOUT ROWID;

ALTER TABLE api_key ADD COLUMN expires_at INTEGER;
ALTER TABLE api_key ADD COLUMN max_ttl INTEGER NOT NULL DEFAULT 0; -- milliseconds
ALTER TABLE api_key ADD COLUMN max_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN daily INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN active INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 2;
