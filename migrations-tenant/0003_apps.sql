-- Apps: a named set of pages over the tenant's objects.
CREATE TABLE tenantry.apps (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    api_name     text NOT NULL CONSTRAINT apps_api_name_key UNIQUE
                 CONSTRAINT apps_api_name_shape CHECK (api_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
    label        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    is_active    boolean NOT NULL DEFAULT true,
    position     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenantry.app_pages (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    app_id      uuid NOT NULL REFERENCES tenantry.apps ON DELETE CASCADE,
    api_name    text NOT NULL
                CONSTRAINT app_pages_api_name_shape CHECK (api_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
    label       text NOT NULL,
    -- A list or a record shows one object and goes with it; a page of its own kind shows what its layout says.
    page_type   text NOT NULL CONSTRAINT app_pages_type_known CHECK (page_type IN ('list', 'record', 'custom')),
    object_id   uuid REFERENCES tenantry.object_definitions ON DELETE CASCADE,
    layout      jsonb NOT NULL DEFAULT '{}',
    position    integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT app_pages_api_name_key UNIQUE (app_id, api_name),
    CONSTRAINT app_pages_object CHECK (page_type = 'custom' OR object_id IS NOT NULL)
);
CREATE INDEX app_pages_object_idx ON tenantry.app_pages (object_id);

INSERT INTO tenantry.permissions (resource, action, description) VALUES
    ('apps', 'list', 'See the apps'),
    ('apps', 'read', 'Open an app'),
    ('apps', 'manage', 'Define apps and their pages');
