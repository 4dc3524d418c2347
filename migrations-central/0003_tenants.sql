-- Customers. A deleted tenant keeps its row, slug and domains until the purge.
CREATE TABLE tenants (
    id           uuid PRIMARY KEY,
    slug         text NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
    name         text NOT NULL,
    plan         text NOT NULL DEFAULT 'free',
    status       text NOT NULL CONSTRAINT tenants_status_known CHECK (status IN
                 ('provisioning', 'active', 'suspended', 'migrating', 'moving', 'deleting', 'error')),
    status_reason text,
    metadata     jsonb NOT NULL DEFAULT '{}',
    cluster_id   uuid NOT NULL REFERENCES clusters,
    epoch        bigint NOT NULL DEFAULT 1 CONSTRAINT tenants_epoch_positive CHECK (epoch > 0),
    purge_at     timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_purge_when_deleting CHECK ((status = 'deleting') = (purge_at IS NOT NULL))
);
CREATE INDEX tenants_status_idx ON tenants (status, id);
CREATE INDEX tenants_purge_idx ON tenants (purge_at) WHERE purge_at IS NOT NULL;

-- Host names that lead to a tenant: its subdomain (one label) or a custom domain (normalised).
CREATE TABLE domains (
    name        text PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind        text NOT NULL CONSTRAINT domains_kind_known CHECK (kind IN ('subdomain', 'custom')),
    is_primary  boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT domains_kind_shape CHECK ((kind = 'custom') = (name LIKE '%.%'))
);
CREATE INDEX domains_tenant_idx ON domains (tenant_id);
CREATE UNIQUE INDEX domains_primary_key ON domains (tenant_id) WHERE is_primary;

-- Physical databases that we made, from their birth on. A `making` or `spare` one has no tenant.
-- `schema` is the digest of the migrations it was last seen at.
CREATE TABLE databases (
    id           uuid PRIMARY KEY,
    cluster_id   uuid NOT NULL REFERENCES clusters,
    name         text NOT NULL,
    state        text NOT NULL CONSTRAINT databases_state_known CHECK (state IN ('making', 'spare', 'claimed')),
    tenant_id    uuid CONSTRAINT databases_tenant_key UNIQUE REFERENCES tenants,
    operation_id uuid,
    schema       text NOT NULL,
    migrated_at  timestamptz,
    migration_error text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT databases_name_key UNIQUE (cluster_id, name),
    CONSTRAINT databases_claimed_has_tenant CHECK ((state = 'claimed') = (tenant_id IS NOT NULL))
);

-- The logins of a database. `owner` is sealed under `admin`, `router` under `route`, `user` under `admin`
-- and only until it was handed out.
CREATE TABLE logins (
    database_id  uuid NOT NULL REFERENCES databases ON DELETE CASCADE,
    role         text NOT NULL CONSTRAINT logins_role_known CHECK (role IN ('owner', 'router', 'user')),
    name         text NOT NULL,
    key_id       text,
    sealed       bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_id, role),
    CONSTRAINT logins_sealed_has_key CHECK ((key_id IS NULL) = (sealed IS NULL))
);
