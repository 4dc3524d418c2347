-- How the fleet stands is asked by people who wait for the answer, at any number of tenants: who is
-- not at the current migrations and whose last migration failed is found without reading every row.
CREATE INDEX databases_schema_idx ON databases (schema) WHERE state <> 'making';
CREATE INDEX databases_migration_error_idx ON databases (id) WHERE migration_error IS NOT NULL;
