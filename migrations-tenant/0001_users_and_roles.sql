-- People, what they may do, and their sessions. Runs as `tenantry_owner`, in schema `tenantry`.
-- Texts that every request reads have a length here: the tenant's own login writes these tables, and
-- one process reads them for all tenants.
CREATE TABLE tenantry.users (
    id             uuid PRIMARY KEY,
    email          text NOT NULL CONSTRAINT users_email_key UNIQUE
                   CONSTRAINT users_email_lower CHECK (email = lower(email))
                   CONSTRAINT users_email_length CHECK (length(email) <= 254),
    name           text NOT NULL DEFAULT '' CONSTRAINT users_name_length CHECK (length(name) <= 200),
    -- Argon2id in PHC form; none until a password is set. It exists here and nowhere else.
    password_hash  text CONSTRAINT users_password_hash_length CHECK (length(password_hash) <= 512),
    is_active      boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenantry.roles (
    id           uuid PRIMARY KEY,
    name         text NOT NULL CONSTRAINT roles_name_key UNIQUE
                 CONSTRAINT roles_name_length CHECK (length(name) <= 100),
    description  text NOT NULL DEFAULT '' CONSTRAINT roles_description_length CHECK (length(description) <= 1000),
    is_builtin   boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- The registry of what can be allowed, `resource:action`.
CREATE TABLE tenantry.permissions (
    resource     text NOT NULL CONSTRAINT permissions_resource_shape CHECK (resource ~ '^[a-z][a-z0-9-]{0,99}$'),
    action       text NOT NULL CONSTRAINT permissions_action_known CHECK (action IN
                 ('list', 'read', 'create', 'update', 'delete', 'execute', 'manage')),
    description  text NOT NULL DEFAULT '' CONSTRAINT permissions_description_length CHECK (length(description) <= 1000),
    PRIMARY KEY (resource, action)
);

CREATE TABLE tenantry.role_permissions (
    role_id   uuid NOT NULL REFERENCES tenantry.roles ON DELETE CASCADE,
    resource  text NOT NULL,
    action    text NOT NULL,
    PRIMARY KEY (role_id, resource, action),
    FOREIGN KEY (resource, action) REFERENCES tenantry.permissions ON DELETE CASCADE
);

CREATE TABLE tenantry.user_roles (
    user_id  uuid NOT NULL REFERENCES tenantry.users ON DELETE CASCADE,
    role_id  uuid NOT NULL REFERENCES tenantry.roles ON DELETE RESTRICT,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_role_idx ON tenantry.user_roles (role_id);

-- A sign-in: the family of the refresh tokens that followed from it. Ended by logout, by a token
-- that was used twice, or by age.
CREATE TABLE tenantry.sessions (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES tenantry.users ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    end_reason  text CONSTRAINT sessions_end_reason_known CHECK (end_reason IN
                ('signed-out', 'reused', 'password-changed', 'deactivated')),
    CONSTRAINT sessions_end_whole CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sessions_user_idx ON tenantry.sessions (user_id);

-- Refresh tokens, hashed (SHA-256 of 256 random bits). A used one is kept: seeing it again means theft.
CREATE TABLE tenantry.refresh_tokens (
    token_hash  bytea PRIMARY KEY CONSTRAINT refresh_tokens_hash_length CHECK (octet_length(token_hash) = 32),
    session_id  uuid NOT NULL REFERENCES tenantry.sessions ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX refresh_tokens_session_idx ON tenantry.refresh_tokens (session_id);

-- Who may only read, reads no hash: a stolen report login must not be able to try passwords.
REVOKE ALL ON tenantry.users, tenantry.refresh_tokens FROM tenantry_readonly;
GRANT SELECT (id, email, name, is_active, created_at, updated_at) ON tenantry.users TO tenantry_readonly;

INSERT INTO tenantry.permissions (resource, action, description) VALUES
    ('users', 'list', 'See who is in the tenant'),
    ('users', 'read', 'See one person'),
    ('users', 'create', 'Add people'),
    ('users', 'update', 'Change people and their roles'),
    ('users', 'delete', 'Remove people'),
    ('roles', 'list', 'See the roles'),
    ('roles', 'read', 'See one role and what it allows'),
    ('roles', 'create', 'Add roles'),
    ('roles', 'update', 'Change roles'),
    ('roles', 'delete', 'Remove roles'),
    ('permissions', 'list', 'See what can be allowed');
