-- The audit trail: who did what from where, how it ended, and seals by which a missing or changed row
-- shows. What was before and after is in `detail`, as `from` and `to`.
ALTER TABLE audit
    ADD COLUMN operator_id   uuid,
    -- As the API determines it, and what the client says that it is.
    ADD COLUMN address       text CONSTRAINT audit_address_short CHECK (length(address) <= 64),
    ADD COLUMN agent         text CONSTRAINT audit_agent_short CHECK (length(agent) <= 200),
    -- The operation that the act began or decides about.
    ADD COLUMN operation_id  uuid,
    -- Whether the act goes on after its row: its end is a row of `audit_outcomes`. The others are done
    -- with their row, in one transaction.
    ADD COLUMN awaits        boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT audit_awaits_what CHECK (operation_id IS NOT NULL OR NOT awaits);
CREATE INDEX audit_operation_idx ON audit (operation_id) WHERE awaits;
CREATE INDEX audit_at_idx ON audit (at);
CREATE INDEX audit_request_idx ON audit (request_id) WHERE request_id IS NOT NULL;

-- How an act ended that goes on after its row.
CREATE TABLE audit_outcomes (
    audit_id  uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome   text NOT NULL CONSTRAINT audit_outcomes_known CHECK (outcome IN ('done', 'failed')),
    code      text
);

-- The rows that no seal holds yet: each comes here in its own transaction, and leaves with its seal. So a
-- transaction that commits late is in a later seal, whatever its row's id and time say.
-- `part`: 0 a row of `audit`, 1 one of `audit_outcomes`.
CREATE TABLE audit_unsealed (
    part      smallint NOT NULL CHECK (part IN (0, 1)),
    audit_id  uuid NOT NULL,
    PRIMARY KEY (part, audit_id)
);
INSERT INTO audit_unsealed (part, audit_id) SELECT 0, id FROM audit;

-- A batch of rows, and the hash over them and the batch before.
CREATE TABLE audit_seals (
    number     bigint PRIMARY KEY,
    sealed_at  timestamptz NOT NULL,
    rows       integer NOT NULL,
    previous   bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
);

-- Which row is in which seal, at which place, with its own hash. No foreign keys: their checks need the
-- right to lock rows of the trail, which is the right to change them.
CREATE TABLE audit_sealed (
    seal      bigint NOT NULL,
    position  integer NOT NULL,
    part      smallint NOT NULL,
    audit_id  uuid NOT NULL,
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (seal, position),
    CONSTRAINT audit_sealed_once UNIQUE (part, audit_id)
);

CREATE FUNCTION audit_enqueue() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'audit' THEN
        INSERT INTO public.audit_unsealed (part, audit_id) VALUES (0, NEW.id);
    ELSE
        INSERT INTO public.audit_unsealed (part, audit_id) VALUES (1, NEW.audit_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_enqueue AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_enqueue();
CREATE TRIGGER audit_enqueue AFTER INSERT ON audit_outcomes FOR EACH ROW EXECUTE FUNCTION audit_enqueue();

-- Whatever ends an operation completes the row that it was begun with.
CREATE FUNCTION audit_complete() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_outcomes (audit_id, outcome, code)
    SELECT a.id, NEW.status, CASE WHEN NEW.status = 'failed' THEN NEW.error->>'code' END
    FROM public.audit a WHERE a.operation_id = NEW.id AND a.awaits
    ON CONFLICT (audit_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER operations_complete_audit AFTER UPDATE ON operations
    FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION audit_complete();

-- The trail is only ever appended to: by privilege, which a superuser does not need, and by trigger, which
-- stops that one too. Who owns the tables can undo both; then the seals show it.
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on %: the audit trail is only ever appended to', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
DO $$
DECLARE
    trail text;
BEGIN
    FOREACH trail IN ARRAY ARRAY['audit', 'audit_outcomes', 'audit_seals', 'audit_sealed'] LOOP
        EXECUTE format('CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()', trail);
        -- Also for a session that says it is a replica's.
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_only_grows', trail);
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %I FROM PUBLIC, CURRENT_USER', trail);
    END LOOP;
END $$;
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_enqueue;
ALTER TABLE audit_outcomes ENABLE ALWAYS TRIGGER audit_enqueue;

-- Calls of the setup API that were refused for who asked, counted by address and minute. `address` is a
-- network of /64 for IPv6, and `others` where there were too many of them to tell apart.
CREATE TABLE audit_denied (
    minute   timestamptz NOT NULL,
    address  text NOT NULL,
    code     text NOT NULL,
    calls    bigint NOT NULL,
    PRIMARY KEY (minute, address, code)
);

REVOKE ALL ON FUNCTION audit_enqueue(), audit_complete(), audit_refuse() FROM PUBLIC;
