-- The change log: every change that a router must learn of is one row, numbered by the counter.
-- The counter's row lock makes commit order number order; a SEQUENCE would let a slow transaction
-- commit a lower number after a higher one was read.
CREATE TABLE change_counter (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    value    bigint NOT NULL
);
INSERT INTO change_counter (value) VALUES (0);

CREATE TABLE changes (
    number     bigint PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    kind       text NOT NULL CONSTRAINT changes_kind_known CHECK (kind IN
               ('created', 'updated', 'fenced', 'restored', 'purged', 'migrated', 'disconnect')),
    at         timestamptz NOT NULL DEFAULT now()
);

-- Routers that are alive: `lease_until` is renewed by the router, `applied` is the highest number
-- up to which it has forgotten, drained or cut off all that the rows say.
CREATE TABLE routers (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    applied      bigint NOT NULL,
    lease_until  timestamptz NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now()
);

-- The login that routers use: it reads what routing needs and nothing else. Its password is sealed
-- under `route`. Made by the catalog's own login, see crates/catalog/src/router_login.rs.
CREATE TABLE router_login (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    name     text NOT NULL,
    key_id   text NOT NULL,
    sealed   bytea NOT NULL
);

-- All that a router may know of tenants.
CREATE VIEW routes AS
SELECT t.id AS tenant_id, t.slug, t.name AS tenant_name, t.plan, t.status, t.status_reason, t.epoch,
       c.id AS cluster_id, c.host, c.port, c.tls, c.connection_budget,
       d.id AS database_id, d.name AS db_name,
       l.name AS login, l.key_id, l.sealed
FROM tenants t
JOIN clusters c ON c.id = t.cluster_id
LEFT JOIN databases d ON d.tenant_id = t.id
LEFT JOIN logins l ON l.database_id = d.id AND l.role = 'router';
