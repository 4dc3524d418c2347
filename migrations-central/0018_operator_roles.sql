-- What an operator may do, and until when its token is good. Those there are may do all, as before.
ALTER TABLE operators
    ADD COLUMN role               text NOT NULL DEFAULT 'owner' CONSTRAINT operators_role_known CHECK (role IN
                                  ('owner', 'operator', 'read_only', 'provisioner')),
    ADD COLUMN expires_at         timestamptz,
    -- The token before, which is still good for a while after it was replaced.
    ADD COLUMN former_token_hash  bytea CONSTRAINT operators_former_token_hash_key UNIQUE,
    ADD COLUMN former_until       timestamptz,
    -- To within some minutes.
    ADD COLUMN last_used_at       timestamptz,
    ADD CONSTRAINT operators_former_whole CHECK ((former_token_hash IS NULL) = (former_until IS NULL));
-- A program that does not say which role a new operator has makes none.
ALTER TABLE operators ALTER COLUMN role DROP DEFAULT;

-- Whose operation it is: names are given anew after a revocation, ids are not.
ALTER TABLE operations ADD COLUMN operator_id uuid;
