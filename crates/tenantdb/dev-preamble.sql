-- What the cluster's admin makes before the tenant migrations run (crates/cluster makes it for real),
-- so that `sqlx`'s macros can check the queries of this crate against a scratch database.
DO $$ BEGIN
    IF to_regrole('tenantry_owner') IS NULL THEN CREATE ROLE tenantry_owner NOLOGIN; END IF;
    IF to_regrole('tenantry_app') IS NULL THEN CREATE ROLE tenantry_app NOLOGIN; END IF;
    IF to_regrole('tenantry_readonly') IS NULL THEN CREATE ROLE tenantry_readonly NOLOGIN; END IF;
END $$;
CREATE SCHEMA tenantry;
CREATE SCHEMA tenantry_self;
CREATE TABLE tenantry_self.identity (
    is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    installation  uuid NOT NULL,
    database_id   uuid NOT NULL,
    epoch         bigint NOT NULL
);
