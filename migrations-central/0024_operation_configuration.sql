-- What a tenant was like when an operation on it began, and when it had ended: as people and the trail
-- name things, without secrets and without the customer's own metadata.
ALTER TABLE operations
    ADD COLUMN configuration_before jsonb,
    ADD COLUMN configuration_after  jsonb;

-- NULL: there is no such tenant.
CREATE FUNCTION tenant_configuration(tenant uuid) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'slug', t.slug, 'name', t.name, 'plan', t.plan, 'status', t.status,
        'reason', coalesce(t.suspended_reason, t.status_reason), 'purgeAt', t.purge_at,
        'maxConnections', t.max_connections, 'cluster', c.name, 'database', d.name, 'schema', d.schema,
        'logins', (SELECT jsonb_object_agg(l.role, l.name) FROM logins l WHERE l.database_id = d.id),
        'domains', (SELECT jsonb_agg(n.name ORDER BY n.is_primary DESC, n.name)
                    FROM domains n WHERE n.tenant_id = t.id AND n.redirects_until IS NULL))
    FROM tenants t JOIN clusters c ON c.id = t.cluster_id LEFT JOIN databases d ON d.tenant_id = t.id
    WHERE t.id = tenant;
END;
