-- Databases that somebody else made and that were taken over where they stand. `former` is how one was before, as
-- `tenantry_cluster::adoption::Former` writes it: all that is needed to give it back. It is written before anything is
-- changed, and stays as long as the database is ours.
CREATE TABLE adoptions (
    database_id  uuid PRIMARY KEY REFERENCES databases ON DELETE CASCADE,
    -- taking: not a tenant's yet; held: a tenant's; returning: on its way back.
    state        text NOT NULL CONSTRAINT adoptions_state_known CHECK (state IN ('taking', 'held', 'returning')),
    former       jsonb,
    adopted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT adoptions_known CHECK (state <> 'held' OR former IS NOT NULL)
);
