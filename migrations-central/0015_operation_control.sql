-- What a person decides about an operation: to cancel it, to try it again, to give it up.
ALTER TABLE operations
    -- Who wants it ended short of its goal, from when on. Its driver sees it at the next step's border.
    ADD COLUMN cancel_asked_by  text,
    ADD COLUMN cancel_asked_at  timestamptz,
    ADD COLUMN cancel_reason    text,
    -- The journal up to this line counts no failures: somebody asked for another round of tries.
    ADD COLUMN tries_after      integer NOT NULL DEFAULT 0,
    -- How the tenant stood before the operation was parked, which a new try gives back.
    ADD COLUMN parked_from      jsonb,
    ADD CONSTRAINT operations_cancel_whole
        CHECK ((cancel_asked_by IS NULL) = (cancel_asked_at IS NULL));

-- The answers of requests that came with an `Idempotency-Key` and began no creation. Sealed, because an
-- answer may tell a token. Without an answer: the request is on its way, or its process died.
CREATE TABLE idempotent_answers (
    operator_id   uuid NOT NULL REFERENCES operators,
    key           text NOT NULL,
    request_hash  bytea NOT NULL CONSTRAINT idempotent_answers_hash CHECK (octet_length(request_hash) = 32),
    -- Which attempt at it is the newest: who was overtaken writes no answer.
    attempt       uuid NOT NULL,
    begun_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    key_id        text,
    sealed        bytea,
    PRIMARY KEY (operator_id, key),
    CONSTRAINT idempotent_answers_whole CHECK ((key_id IS NULL) = (sealed IS NULL))
);
CREATE INDEX idempotent_answers_age_idx ON idempotent_answers (begun_at);
