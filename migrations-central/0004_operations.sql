-- Durable multi-step changes. `fence` rises each time a worker takes the lease; a write of a worker
-- whose fence is no longer the newest is refused. `steps` numbers the journal's lines.
CREATE TABLE operations (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,
    tenant_id     uuid,
    status        text NOT NULL CONSTRAINT operations_status_known CHECK (status IN
                  ('running', 'undoing', 'done', 'failed', 'parked')),
    params        jsonb NOT NULL,
    result        jsonb,
    error         jsonb,
    asked_by      text NOT NULL,
    request_id    text,
    lease_holder  uuid,
    lease_until   timestamptz,
    fence         bigint NOT NULL DEFAULT 0,
    steps         integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    CONSTRAINT operations_finished CHECK ((status IN ('done', 'failed')) = (finished_at IS NOT NULL))
);
CREATE INDEX operations_open_idx ON operations (lease_until) WHERE status IN ('running', 'undoing');
CREATE INDEX operations_tenant_idx ON operations (tenant_id, created_at DESC);
-- One operation per tenant at a time. A parked one blocks its own tenant and nobody else.
CREATE UNIQUE INDEX operations_one_per_tenant ON operations (tenant_id)
    WHERE status IN ('running', 'undoing', 'parked');

-- The journal: what was begun and what was reached, in order. Only ever appended to.
CREATE TABLE operation_steps (
    operation_id  uuid NOT NULL REFERENCES operations ON DELETE CASCADE,
    seq           integer NOT NULL,
    step          text NOT NULL,
    event         text NOT NULL CONSTRAINT operation_steps_event_known CHECK (event IN
                  ('started', 'done', 'failed', 'undo_started', 'undone', 'undo_failed')),
    fence         bigint NOT NULL,
    at            timestamptz NOT NULL DEFAULT now(),
    detail        jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (operation_id, seq)
);

-- What a running operation must remember and nobody may read: removed at its end.
-- The answer of a creation (it holds a password) stays until it was read or `expires_at`.
CREATE TABLE operation_secrets (
    operation_id  uuid NOT NULL REFERENCES operations ON DELETE CASCADE,
    name          text NOT NULL,
    key_id        text NOT NULL,
    sealed        bytea NOT NULL,
    expires_at    timestamptz,
    -- When it was given to the one who asked; it is given to a replay of the same key again.
    told_at       timestamptz,
    PRIMARY KEY (operation_id, name)
);

-- A key and the operation it began. The same key with another body is refused.
CREATE TABLE idempotency_keys (
    operator_id   uuid NOT NULL REFERENCES operators,
    key           text NOT NULL,
    request_hash  bytea NOT NULL,
    operation_id  uuid NOT NULL REFERENCES operations ON DELETE CASCADE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operator_id, key)
);
CREATE INDEX idempotency_keys_age_idx ON idempotency_keys (created_at);
