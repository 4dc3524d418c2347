-- What kinds of records the tenant has: an object is a table, a field is a column of it.
CREATE TABLE tenantry.object_definitions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    api_name     text NOT NULL CONSTRAINT object_definitions_api_name_key UNIQUE
                 CONSTRAINT object_definitions_api_name_shape CHECK (api_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
    label        text NOT NULL,
    plural_label text NOT NULL,
    description  text NOT NULL DEFAULT '',
    -- Where the records are. The names go into statements, so nothing that needs quoting gets in.
    table_schema text NOT NULL DEFAULT 'public' CONSTRAINT object_definitions_schema_known
                 CHECK (table_schema IN ('public', 'tenantry')),
    table_name   text NOT NULL
                 CONSTRAINT object_definitions_table_name_shape CHECK (table_name ~ '^[a-z_][a-z0-9_]{0,62}$'),
    is_standard  boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT object_definitions_table_key UNIQUE (table_schema, table_name)
);

CREATE TABLE tenantry.field_definitions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    object_id    uuid NOT NULL REFERENCES tenantry.object_definitions ON DELETE CASCADE,
    api_name     text NOT NULL
                 CONSTRAINT field_definitions_api_name_shape CHECK (api_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
    label        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    column_name  text NOT NULL
                 CONSTRAINT field_definitions_column_shape CHECK (column_name ~ '^[a-z_][a-z0-9_]{0,62}$'),
    field_type   text NOT NULL CONSTRAINT field_definitions_type_known CHECK (field_type IN
                 ('text', 'long-text', 'number', 'boolean', 'date', 'timestamp', 'email', 'phone', 'url',
                  'picklist', 'reference', 'json')),
    is_required  boolean NOT NULL DEFAULT false,
    is_unique    boolean NOT NULL DEFAULT false,
    is_standard  boolean NOT NULL DEFAULT false,
    refers_to    uuid REFERENCES tenantry.object_definitions,
    options      jsonb NOT NULL DEFAULT '{}',
    position     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT field_definitions_api_name_key UNIQUE (object_id, api_name),
    CONSTRAINT field_definitions_column_key UNIQUE (object_id, column_name),
    CONSTRAINT field_definitions_reference CHECK ((field_type = 'reference') = (refers_to IS NOT NULL))
);
CREATE INDEX field_definitions_refers_to_idx ON tenantry.field_definitions (refers_to);

INSERT INTO tenantry.permissions (resource, action, description) VALUES
    ('objects', 'list', 'See the object definitions'),
    ('objects', 'read', 'See one object definition'),
    ('objects', 'manage', 'Define objects and their fields'),
    ('records', 'list', 'See records'),
    ('records', 'read', 'See one record'),
    ('records', 'create', 'Add records'),
    ('records', 'update', 'Change records'),
    ('records', 'delete', 'Remove records');
