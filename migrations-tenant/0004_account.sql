-- The standard object `Account`: a company or person that the tenant does business with.
CREATE TABLE tenantry.accounts (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL CONSTRAINT accounts_name_given CHECK (name <> ''),
    website      text,
    phone        text,
    industry     text,
    description  text NOT NULL DEFAULT '',
    owner_id     uuid REFERENCES tenantry.users ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX accounts_owner_idx ON tenantry.accounts (owner_id);

WITH account AS (
    INSERT INTO tenantry.object_definitions
        (api_name, label, plural_label, description, table_schema, table_name, is_standard)
    VALUES ('Account', 'Account', 'Accounts', 'A company or person that you do business with', 'tenantry', 'accounts', true)
    RETURNING id
)
INSERT INTO tenantry.field_definitions
    (object_id, api_name, label, column_name, field_type, is_required, is_standard, position)
SELECT account.id, f.api_name, f.label, f.column_name, f.field_type, f.is_required, true, f.position
FROM account, (VALUES
    ('name', 'Name', 'name', 'text', true, 1),
    ('website', 'Website', 'website', 'url', false, 2),
    ('phone', 'Phone', 'phone', 'phone', false, 3),
    ('industry', 'Industry', 'industry', 'text', false, 4),
    ('description', 'Description', 'description', 'long-text', false, 5)
) AS f (api_name, label, column_name, field_type, is_required, position);
