-- Spares are counted and taken by these columns, among however many databases there are.
CREATE INDEX databases_spare_idx ON databases (cluster_id, schema, id) WHERE state = 'spare';
CREATE INDEX operations_spare_idx ON operations ((params ->> 'clusterId'))
    WHERE kind = 'spare' AND status = 'running';
