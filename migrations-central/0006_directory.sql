-- Which tenants a mail address may sign in to, so that a person need not know their subdomain. The
-- address itself is not here: only HMAC-SHA-256 of it under the directory key. A row is written before
-- the person is, and removed after; one too many does no harm, because the password is proven in the
-- tenant's own database.
CREATE TABLE directory (
    address_hash  bytea NOT NULL CONSTRAINT directory_hash_length CHECK (octet_length(address_hash) = 32),
    tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    -- The name of the key that the hash was made with.
    key_name      text NOT NULL,
    -- When somebody last said so. A row that was confirmed lately is not removed: a person may just be
    -- being added in the tenant's database.
    written_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (address_hash, tenant_id)
);
CREATE INDEX directory_tenant_idx ON directory (tenant_id);

-- With which key the tenant's rows were last filled from its database (NULL: not yet), and when they
-- are to be compared with it next; whoever does so moves that ahead first, as a lease.
ALTER TABLE tenants
    ADD COLUMN directory_key text,
    ADD COLUMN directory_due_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX tenants_directory_due_idx ON tenants (directory_due_at);
