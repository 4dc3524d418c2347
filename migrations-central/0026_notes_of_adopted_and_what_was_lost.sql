-- What the note in a tenant's database says, in one place: it is written from here, and the doctor compares with it. An
-- adopted database's note says how it was before, or a rebuilt catalog could never give it back.
CREATE VIEW tenant_notes AS
SELECT t.id AS tenant_id,
       jsonb_build_object(
           'tenant', t.id, 'slug', t.slug, 'name', t.name, 'plan', t.plan, 'metadata', t.metadata,
           'maxConnections', t.max_connections, 'status', t.status, 'reason', t.status_reason,
           'purgeAt', t.purge_at, 'suspendedAt', t.suspended_at,
           'suspendedReason', t.suspended_reason, 'createdAt', t.created_at)
       || coalesce((SELECT jsonb_build_object('adopted', a.former)
                    FROM adoptions a JOIN databases d ON d.id = a.database_id
                    WHERE d.tenant_id = t.id AND a.former IS NOT NULL), '{}') AS note
FROM tenants t;
REVOKE ALL ON tenant_notes FROM PUBLIC;

-- Since when the note in the database does not say what it should: the doctor tells of it when that is long ago.
ALTER TABLE tenants ADD COLUMN note_old_since timestamptz NOT NULL DEFAULT now();
CREATE OR REPLACE FUNCTION tenant_note_is_old() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.note_wanted := OLD.note_wanted + 1;
    NEW.note_due_at := clock_timestamp();
    -- One that is being made or taken apart has none that could be old.
    IF OLD.note_written >= OLD.note_wanted OR OLD.status <> NEW.status THEN
        NEW.note_old_since := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;

-- Those that were adopted before have to say so.
UPDATE tenants t SET note_wanted = note_wanted + 1, note_due_at = clock_timestamp()
FROM databases d JOIN adoptions a ON a.database_id = d.id
WHERE d.tenant_id = t.id;

-- When a cluster's backup was accepted that does not have this database: it is no more, and there is nothing to dump.
ALTER TABLE databases ADD COLUMN lost_at timestamptz;
