-- Codes that finish here a sign-in which began at the base domain: each is good once, for about a
-- minute. Hashed (SHA-256 of 256 random bits).
CREATE TABLE tenantry.sign_in_codes (
    code_hash   bytea PRIMARY KEY CONSTRAINT sign_in_codes_hash_length CHECK (octet_length(code_hash) = 32),
    user_id     uuid NOT NULL REFERENCES tenantry.users ON DELETE CASCADE,
    -- SHA-256 of the password's hash as it was when the password was proven: a code does not outlive
    -- a change of the password, whoever made it.
    proven      bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX sign_in_codes_user_idx ON tenantry.sign_in_codes (user_id, created_at);
CREATE INDEX sign_in_codes_expires_idx ON tenantry.sign_in_codes (expires_at);
REVOKE ALL ON tenantry.sign_in_codes FROM tenantry_readonly;
