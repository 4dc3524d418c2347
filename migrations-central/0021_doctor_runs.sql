-- Runs of the doctor, which compares the catalog with the clusters. At most one is on its way: the one
-- whose lease has not ended. `report` is what was found, as it is told; of each run that has ended.
CREATE TABLE doctor_runs (
    id           uuid PRIMARY KEY,
    status       text NOT NULL CONSTRAINT doctor_runs_status_known CHECK (status IN ('running', 'done', 'failed')),
    asked_by     text NOT NULL,
    -- The process that carries it.
    replica      text NOT NULL,
    options      jsonb NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until  timestamptz NOT NULL,
    finished_at  timestamptz,
    progress     jsonb NOT NULL DEFAULT '{}',
    report       jsonb,
    error        text,
    CONSTRAINT doctor_runs_ended CHECK ((status = 'running') = (finished_at IS NULL)),
    CONSTRAINT doctor_runs_told CHECK ((status = 'done') = (report IS NOT NULL))
);
CREATE INDEX doctor_runs_started_idx ON doctor_runs (started_at DESC);
