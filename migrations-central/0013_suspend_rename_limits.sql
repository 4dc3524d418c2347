-- What happens to a tenant between its birth and its end: it is suspended and resumed, renamed, and limited.

-- A suspension outlives a deletion that is taken back: status alone could not say so. `max_connections`
-- is of each router; NULL is what the plan says.
ALTER TABLE tenants
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_reason text,
    ADD COLUMN max_connections integer
        CONSTRAINT tenants_max_connections_range CHECK (max_connections BETWEEN 1 AND 10000);
UPDATE tenants SET suspended_at = updated_at, suspended_reason = status_reason WHERE status = 'suspended';

-- The subdomain of a former slug redirects to the tenant's present one and keeps the name taken, both
-- until then. From that moment on the name is free, whether the row is still there or not.
ALTER TABLE domains
    ADD COLUMN redirects_until timestamptz,
    ADD CONSTRAINT domains_redirect_is_a_former_subdomain
        CHECK (redirects_until IS NULL OR (kind = 'subdomain' AND NOT is_primary));
CREATE INDEX domains_redirects_idx ON domains (redirects_until) WHERE redirects_until IS NOT NULL;

CREATE OR REPLACE VIEW routes AS
SELECT t.id AS tenant_id, t.slug, t.name AS tenant_name, t.plan, t.status, t.status_reason, t.epoch,
       c.id AS cluster_id, c.host, c.port, c.tls, c.connection_budget,
       d.id AS database_id, d.name AS db_name,
       l.name AS login, l.key_id, l.sealed,
       t.max_connections
FROM tenants t
JOIN clusters c ON c.id = t.cluster_id
LEFT JOIN databases d ON d.tenant_id = t.id
LEFT JOIN logins l ON l.database_id = d.id AND l.role = 'router';
