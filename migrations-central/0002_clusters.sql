-- Postgres servers that hold tenants' databases. The admin's password is sealed under `admin`.
CREATE TABLE clusters (
    id               uuid PRIMARY KEY,
    name             text NOT NULL CONSTRAINT clusters_name_key UNIQUE,
    host             text NOT NULL,
    port             integer NOT NULL CONSTRAINT clusters_port_range CHECK (port BETWEEN 1 AND 65535),
    maintenance_db   text NOT NULL DEFAULT 'postgres',
    tls              text NOT NULL DEFAULT 'prefer'
                     CONSTRAINT clusters_tls_known CHECK (tls IN ('disable', 'prefer', 'require', 'verify-full')),
    admin_login      text NOT NULL,
    admin_key_id     text NOT NULL,
    admin_sealed     bytea NOT NULL,
    connection_budget integer NOT NULL CONSTRAINT clusters_budget_positive CHECK (connection_budget > 0),
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clusters_address_key UNIQUE (host, port)
);

-- Closed databases to clone from: one in use per cluster and set of migrations (`schema` is its digest).
CREATE TABLE templates (
    id          uuid PRIMARY KEY,
    cluster_id  uuid NOT NULL REFERENCES clusters,
    schema      text NOT NULL,
    db_name     text NOT NULL,
    ready_at    timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT templates_schema_key UNIQUE (cluster_id, schema),
    CONSTRAINT templates_db_name_key UNIQUE (cluster_id, db_name)
);
