-- Apps: a named set of pages over the tenant's objects.
CREATE TABLE tenantry.apps (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    api_name     text NOT NULL CONSTRAINT apps_api_name_key UNIQUE
                 CONSTRAINT apps_api_name_shape CHECK (api_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
    label        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenantry.app_pages (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    app_id      uuid NOT NULL REFERENCES tenantry.apps ON DELETE CASCADE,
    api_name    text NOT NULL
                CONSTRAINT app_pages_api_name_shape CHECK (api_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
    label       text NOT NULL,
    object_id   uuid REFERENCES tenantry.object_definitions ON DELETE SET NULL,
    layout      jsonb NOT NULL DEFAULT '{}',
    position    integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT app_pages_api_name_key UNIQUE (app_id, api_name)
);

INSERT INTO tenantry.permissions (resource, action, description) VALUES
    ('apps', 'list', 'See the apps'),
    ('apps', 'read', 'Open an app'),
    ('apps', 'manage', 'Define apps and their pages');
