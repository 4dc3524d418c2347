-- What a lost catalog is rebuilt from. Of each tenant a note is kept beside the identity in its own database: who
-- it is and how it stood. `note_wanted` counts what the note should tell, `note_written` is how far the one in the
-- database has come; whoever writes it moves `note_due_at` ahead first, as a lease.
ALTER TABLE tenants
    ADD COLUMN note_wanted bigint NOT NULL DEFAULT 1,
    ADD COLUMN note_written bigint NOT NULL DEFAULT 0,
    ADD COLUMN note_due_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX tenants_note_idx ON tenants (note_due_at) WHERE note_written < note_wanted;

-- By a trigger, so that nobody who changes a tenant can forget it.
CREATE FUNCTION tenant_note_is_old() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.note_wanted := OLD.note_wanted + 1;
    NEW.note_due_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_note BEFORE UPDATE ON tenants FOR EACH ROW
WHEN ((OLD.slug, OLD.name, OLD.plan, OLD.metadata, OLD.status, OLD.status_reason, OLD.purge_at,
       OLD.suspended_at, OLD.suspended_reason, OLD.max_connections)
      IS DISTINCT FROM
      (NEW.slug, NEW.name, NEW.plan, NEW.metadata, NEW.status, NEW.status_reason, NEW.purge_at,
       NEW.suspended_at, NEW.suspended_reason, NEW.max_connections))
EXECUTE FUNCTION tenant_note_is_old();

-- A rebuild of this catalog from its clusters: begun on an empty catalog, over when nothing is left to do. A
-- tenant of it is `provisioning` until it stands as `goal` says, which was decided before anything was changed.
CREATE TABLE rebuilds (
    one_row   boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    begun_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at  timestamptz
);
CREATE TABLE rebuilt_tenants (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    goal       jsonb NOT NULL,
    done_at    timestamptz
);
