-- Logins that take one another's place. `router` and `user` are what is used; while another has just
-- taken over, the one before is `router_old` until no router holds a session of it, and `user_old` until
-- the overlap that the product was promised is over (`disable_at`). Their names alternate.
ALTER TABLE logins DROP CONSTRAINT logins_role_known;
ALTER TABLE logins ADD CONSTRAINT logins_role_known
    CHECK (role IN ('owner', 'router', 'user', 'router_old', 'user_old'));

-- `rotation_begun_at`: when somebody last began to put another in its place, whatever came of it.
ALTER TABLE logins
    ADD COLUMN disable_at timestamptz,
    ADD COLUMN rotation_begun_at timestamptz,
    ADD CONSTRAINT logins_disabled_when_old CHECK ((role = 'user_old') = (disable_at IS NOT NULL));
CREATE INDEX logins_disable_idx ON logins (disable_at) WHERE disable_at IS NOT NULL;
-- Which rotation is due is asked often, and most of the time none is.
CREATE INDEX logins_rotation_idx ON logins (created_at) WHERE role = 'router';

-- A key is retired only when nothing was sealed with it, and how much was is asked while it is being
-- sealed anew.
CREATE INDEX logins_key_idx ON logins (key_id) WHERE key_id IS NOT NULL;

-- The tenant's router login is another one: connections of the former end when they are given back.
ALTER TABLE changes DROP CONSTRAINT changes_kind_known;
ALTER TABLE changes ADD CONSTRAINT changes_kind_known CHECK (kind IN
    ('created', 'updated', 'fenced', 'restored', 'purged', 'migrated', 'disconnect', 'budget', 'rotated'));
