-- Background work of every process, stopped by a person: while the row is there, nothing begins by itself
-- and nothing takes its next step. `number` tells one pause from the next.
CREATE SEQUENCE pause_numbers;
CREATE TABLE pause (
    only_one   boolean PRIMARY KEY DEFAULT true CONSTRAINT pause_only_one CHECK (only_one),
    number     bigint NOT NULL DEFAULT nextval('pause_numbers'),
    asked_by   text NOT NULL,
    reason     text NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The processes that do background work, by their lease. One whose lease has ended does nothing before it has
-- renewed it, which tells it of a pause.
CREATE TABLE workers (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    lease_until  timestamptz NOT NULL,
    -- The pause that it has heard of.
    heard        bigint,
    -- What it is in the middle of.
    at_work      text[] NOT NULL DEFAULT '{}'
);
