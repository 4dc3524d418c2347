-- Names that lead to a tenant beside its subdomain: domains of its own, which it has to prove, and
-- aliases, which operators give it.

-- A domain that a tenant wants, served or not. Several may want the same; it is served (has its row in
-- `domains`) for the one that has proven it. `challenge` is what its TXT record must hold: of this claim
-- alone, so that neither another tenant's record nor an earlier one of the same tenant proves it.
CREATE TABLE domain_claims (
    tenant_id      uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name           text NOT NULL CONSTRAINT domain_claims_name_shape CHECK (name LIKE '%.%'),
    challenge      text NOT NULL CONSTRAINT domain_claims_challenge_key UNIQUE,
    wants_primary  boolean NOT NULL DEFAULT false,
    checks         integer NOT NULL DEFAULT 0,
    outcome        text CONSTRAINT domain_claims_outcome_known CHECK (outcome IN
                   ('proven', 'missing', 'wrong', 'taken', 'unanswered')),
    checked_at     timestamptz,
    next_check_at  timestamptz,
    unproven_since timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);
CREATE INDEX domain_claims_name_idx ON domain_claims (name);
CREATE INDEX domain_claims_due_idx ON domain_claims (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE UNIQUE INDEX domain_claims_primary_key ON domain_claims (tenant_id) WHERE wants_primary;

-- Custom domains that were written before there was a proof are claims like any other: not served until
-- proven. Their tenants stay reachable at their subdomains.
INSERT INTO domain_claims (tenant_id, name, challenge, wants_primary, next_check_at, created_at)
SELECT tenant_id, name,
       replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
       is_primary, now(), created_at
FROM domains WHERE kind = 'custom';

DELETE FROM domains WHERE kind = 'custom';

UPDATE domains d SET is_primary = true
FROM tenants t
WHERE t.id = d.tenant_id AND t.slug = d.name
  AND NOT EXISTS (SELECT FROM domains p WHERE p.tenant_id = d.tenant_id AND p.is_primary);

-- No custom domain is served without its tenant's claim, and none outlives it.
ALTER TABLE domains ADD COLUMN claim text GENERATED ALWAYS AS (CASE kind WHEN 'custom' THEN name END) STORED;
ALTER TABLE domains ADD CONSTRAINT domains_custom_is_claimed
    FOREIGN KEY (tenant_id, claim) REFERENCES domain_claims (tenant_id, name) ON DELETE CASCADE;
CREATE INDEX domains_claim_idx ON domains (tenant_id, claim) WHERE claim IS NOT NULL;

-- Names that a request may carry instead of a host. Of a channel token only its SHA-256 is kept (256
-- random bits need no salt), of an API key only its public id.
CREATE TABLE aliases (
    kind        text NOT NULL CONSTRAINT aliases_kind_known CHECK (kind IN
                ('appId', 'storeId', 'channelToken', 'apiKey')),
    name        text NOT NULL,
    id          uuid NOT NULL CONSTRAINT aliases_id_key UNIQUE,
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name),
    CONSTRAINT aliases_token_is_hashed CHECK (kind <> 'channelToken' OR name ~ '^[0-9a-f]{64}$')
);
CREATE INDEX aliases_tenant_idx ON aliases (tenant_id, kind);

-- All that a router may know of aliases.
CREATE VIEW alias_names AS SELECT kind, name, tenant_id FROM aliases;

-- Routers that run during the migration forget the domains that are not served any more.
WITH touched AS (SELECT DISTINCT tenant_id FROM domain_claims),
     counted AS (
       UPDATE change_counter SET value = value + (SELECT count(*) FROM touched) RETURNING value
     ),
     appended AS (
       INSERT INTO changes (number, tenant_id, kind)
       SELECT value - (SELECT count(*) FROM touched) + row_number() OVER (ORDER BY tenant_id),
              tenant_id, 'updated'
       FROM touched, counted
       RETURNING number
     )
SELECT pg_notify('tenantry_changes', max(number)::text) FROM appended HAVING count(*) > 0;
