-- One catalog with its keys. The id marks everything this catalog made on any cluster.
CREATE TABLE installation (
    one_row     boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    id          uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- The operators' tokens: only a hash is kept (SHA-256 of 256 random bits).
CREATE TABLE operators (
    id          uuid PRIMARY KEY,
    name        text NOT NULL CONSTRAINT operators_name_shape CHECK (name <> '' AND length(name) <= 100),
    token_hash  bytea NOT NULL CONSTRAINT operators_token_hash_key UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
CREATE UNIQUE INDEX operators_name_key ON operators (name) WHERE revoked_at IS NULL;

-- What people and programs did through the control plane. Written in the transaction of the change.
CREATE TABLE audit (
    id          uuid PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,
    action      text NOT NULL,
    tenant_id   uuid,
    request_id  text,
    reason      text,
    detail      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_tenant_idx ON audit (tenant_id, at DESC);
