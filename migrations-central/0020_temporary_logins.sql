-- Logins of people and tools, by their names on the cluster. Postgres lets nobody in by one after
-- `expires_at` (VALID UNTIL); the sweeper ends its sessions and the login, and with that its row.
CREATE TABLE temporary_logins (
    name        text PRIMARY KEY,
    database_id uuid NOT NULL REFERENCES databases ON DELETE CASCADE,
    role        text NOT NULL CONSTRAINT temporary_logins_role_known CHECK (role IN ('owner', 'user', 'readonly')),
    -- How many sessions it may have, taken from what the cluster's budget leaves over.
    connections integer NOT NULL CONSTRAINT temporary_logins_connections_range CHECK (connections BETWEEN 1 AND 20),
    asked_by    text NOT NULL,
    reason      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);
CREATE INDEX temporary_logins_database_idx ON temporary_logins (database_id);
CREATE INDEX temporary_logins_expiry_idx ON temporary_logins (expires_at);
