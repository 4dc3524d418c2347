-- What each router tells of itself, written with the renewal of its lease and about as often: a
-- bounded document (crates/catalog/src/routers/report.rs) that any control plane can show. Nothing
-- depends on it: a router without one is a router like any other.
ALTER TABLE routers
    ADD COLUMN report       jsonb,
    ADD COLUMN reported_at  timestamptz;
