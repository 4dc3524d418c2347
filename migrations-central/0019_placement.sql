-- Where new tenants are put: which clusters take some, how many, and in which proportion; and the authority
-- of a cluster's certificate, where that is no public one.

-- `accepts`: whether new tenants are put there; one that does not is being drained. `weight` 0: only those
-- that ask for it by name. `capacity`: how many tenants it may hold, those in their grace period included;
-- none: as many as come. `system_identifier`: what the server calls itself, to tell whether two names lead
-- to one; copies of a server share it.
ALTER TABLE clusters
    ADD COLUMN accepts boolean NOT NULL DEFAULT true,
    ADD COLUMN weight integer NOT NULL DEFAULT 100
        CONSTRAINT clusters_weight_range CHECK (weight BETWEEN 0 AND 1000),
    ADD COLUMN capacity integer CONSTRAINT clusters_capacity_positive CHECK (capacity > 0),
    ADD COLUMN region text CONSTRAINT clusters_region_shape CHECK (region ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    ADD COLUMN root_ca text,
    ADD COLUMN system_identifier text,
    -- With any other mode nothing would be compared with it, and who set it would think that it was.
    ADD CONSTRAINT clusters_root_ca_verifies CHECK (root_ca IS NULL OR tls = 'verify-full');

-- Tenants are counted by cluster at each placement.
CREATE INDEX tenants_cluster_idx ON tenants (cluster_id);

-- As in 0013, with the authority.
CREATE OR REPLACE VIEW routes AS
SELECT t.id AS tenant_id, t.slug, t.name AS tenant_name, t.plan, t.status, t.status_reason, t.epoch,
       c.id AS cluster_id, c.host, c.port, c.tls, c.connection_budget,
       d.id AS database_id, d.name AS db_name,
       l.name AS login, l.key_id, l.sealed,
       t.max_connections, c.root_ca
FROM tenants t
JOIN clusters c ON c.id = t.cluster_id
LEFT JOIN databases d ON d.tenant_id = t.id
LEFT JOIN logins l ON l.database_id = d.id AND l.role = 'router';

-- Held until the transaction ends, by whoever places a tenant (shared, or alone where places are counted)
-- and by whoever changes what placements go by (alone). Not the cluster's row: routers lock that with
-- each renewal of their leases.
CREATE FUNCTION cluster_lock(_cluster uuid, _alone boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    clusters CONSTANT integer := 1953394796; -- "tnpl"
BEGIN
    IF _alone THEN
        PERFORM pg_advisory_xact_lock(clusters, hashtext(_cluster::text));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(clusters, hashtext(_cluster::text));
    END IF;
END $$;

-- Takes a place for a tenant whose row the transaction writes next: `held`; or says why there is none.
-- `changed`: the cluster has got a capacity meanwhile; ask again in a transaction of its own.
CREATE FUNCTION cluster_place(_cluster uuid) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counted boolean;
    k record;
BEGIN
    SELECT c.capacity IS NOT NULL INTO counted FROM public.clusters c WHERE c.id = _cluster;
    PERFORM public.cluster_lock(_cluster, coalesce(counted, false));
    -- A statement of its own has a snapshot of its own: it sees all that was committed before the lock was got.
    SELECT c.accepts, c.capacity INTO k FROM public.clusters c WHERE c.id = _cluster;
    IF NOT FOUND THEN
        RETURN 'gone';
    ELSIF NOT k.accepts THEN
        RETURN 'draining';
    ELSIF k.capacity IS NULL THEN
        RETURN 'held';
    ELSIF NOT counted THEN
        RETURN 'changed';
    ELSIF (SELECT count(*) FROM public.tenants t WHERE t.cluster_id = _cluster) >= k.capacity THEN
        RETURN 'full';
    END IF;
    RETURN 'held';
END $$;

REVOKE ALL ON FUNCTION cluster_lock(uuid, boolean), cluster_place(uuid) FROM PUBLIC;

-- As in 0016, and it tells of clusters that were removed: who was not told would ask for ever.
CREATE OR REPLACE FUNCTION router_renew(
    _router uuid, _applied bigint, _ttl double precision, _report bigint, _in_flight integer,
    _clusters uuid[], _incarnations bigint[], _held integer[], _wanted integer[], _used integer[],
    _open integer[], _waiting integer[])
RETURNS TABLE (cluster_id uuid, incarnation bigint, slots integer, goal integer, budget integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    -- No router says more than this, whatever it says: others' shares are computed of it.
    most CONSTANT integer := 1000000;
    locked uuid[] := '{}';
    missed boolean := false;
    ended boolean;
    whole boolean;
    c record; mine record; at integer; free integer;
    asked uuid[] := '{}';
    told uuid[] := '{}';
BEGIN
    -- Not shortened: the router would count on what it asked for.
    IF _ttl IS NULL OR NOT _ttl BETWEEN 0 AND 86400 THEN
        RAISE EXCEPTION 'a lease of % seconds is not granted', _ttl USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Clusters before routers, in the order of their ids: as everybody locks them.
    SELECT r.lease_until <= clock_timestamp() INTO ended FROM public.routers r WHERE r.id = _router;
    whole := coalesce(cardinality(_clusters) = 0, false) OR coalesce(ended, false);
    FOR c IN SELECT k.id FROM public.clusters k WHERE whole OR k.id = ANY (_clusters) ORDER BY k.id LOOP
        BEGIN
            -- Where one is locked others may be, and the caller has no time for them all.
            IF missed THEN
                PERFORM 1 FROM public.clusters k WHERE k.id = c.id FOR NO KEY UPDATE NOWAIT;
            ELSE
                PERFORM 1 FROM public.clusters k WHERE k.id = c.id FOR NO KEY UPDATE;
            END IF;
            locked := locked || c.id;
        EXCEPTION WHEN lock_not_available THEN
            missed := true;
        END;
    END LOOP;
    SELECT r.lease_until <= clock_timestamp() INTO ended FROM public.routers r
    WHERE r.id = _router AND coalesce(r.login, session_user) = session_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- It may have ended just now.
    IF ended AND (missed OR NOT whole) THEN
        RAISE EXCEPTION 'the lease has ended and the shares cannot be settled now' USING ERRCODE = 'lock_not_available';
    END IF;
    UPDATE public.routers r SET applied = greatest(r.applied, _applied), login = session_user,
                                lease_until = clock_timestamp() + make_interval(secs => _ttl)
    WHERE r.id = _router;
    -- Whatever keeps the shares from being settled, the lease is renewed: what is returned is not taken
    -- back with the rest, and so returned last.
    BEGIN
        INSERT INTO public.budget_shares (cluster_id, router_id)
        SELECT k, _router FROM unnest(locked) AS k
        WHERE NOT EXISTS (SELECT FROM public.budget_shares s WHERE s.cluster_id = k AND s.router_id = _router);
        FOR c IN SELECT k.id, k.connection_budget FROM public.clusters k WHERE k.id = ANY (locked) ORDER BY k.id LOOP
            SELECT * INTO mine FROM public.budget_shares s WHERE s.cluster_id = c.id AND s.router_id = _router;
            IF mine.report >= _report THEN
                CONTINUE;
            END IF;
            at := array_position(_clusters, c.id);
            IF mine.reaped_at IS NOT NULL THEN
                mine.incarnation := nextval('public.budget_incarnations');
            ELSIF at IS NOT NULL AND _incarnations[at] = mine.incarnation THEN
                mine.slots := least(mine.slots, greatest(_held[at], 0));
            END IF;
            UPDATE public.budget_shares s
            SET incarnation = mine.incarnation, report = _report, reaped_at = NULL, slots = mine.slots,
                wanted = least(greatest(coalesce(_wanted[at], 0), 0), most),
                used = least(greatest(coalesce(_used[at], 0), 0), most),
                open = least(greatest(coalesce(_open[at], 0), 0), most),
                waiting = least(greatest(coalesce(_waiting[at], 0), 0), most),
                in_flight = least(greatest(_in_flight, 0), most)
            WHERE s.cluster_id = c.id AND s.router_id = _router;
            IF public.budget_allocate(c.id, c.connection_budget, _router) THEN
                asked := asked || c.id;
            END IF;
            SELECT c.connection_budget - sum(s.slots) INTO free FROM public.budget_shares s WHERE s.cluster_id = c.id;
            -- While others hold some, the last quarter is for who has a use for it. Else the successor of one
            -- that crashed would take what its own successor needs, should it crash as well before the
            -- first one's lease has ended.
            UPDATE public.budget_shares s
            SET slots = s.slots + greatest(0, least(s.goal - s.slots, CASE
                WHEN free + s.slots = c.connection_budget THEN free
                ELSE greatest(free - c.connection_budget / 4, least(free, greatest(s.used, 1) - s.slots)) END))
            WHERE s.cluster_id = c.id AND s.router_id = _router;
            PERFORM public.budget_offer(c.id, c.connection_budget, _router);
            told := told || c.id;
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        IF ended THEN
            RAISE;
        END IF;
        told := '{}';
        asked := '{}';
    END;
    -- Who holds the counter may be stuck. Those that are asked to give back learn it with their next
    -- renewal as well, and nobody waits here with all the clusters in his hands.
    BEGIN
        PERFORM set_config('lock_timeout', '200ms', true);
        PERFORM public.budget_changed(a) FROM unnest(asked) AS a;
    EXCEPTION WHEN lock_not_available THEN
        NULL;
    END;
    RETURN QUERY SELECT NULL::uuid, NULL::bigint, NULL::integer, NULL::integer, NULL::integer;
    RETURN QUERY SELECT s.cluster_id, s.incarnation, s.slots, s.goal, k.connection_budget
                 FROM public.budget_shares s JOIN public.clusters k ON k.id = s.cluster_id
                 WHERE s.router_id = _router AND s.cluster_id = ANY (told);
    -- One without a budget is there no more: whoever asks for it is to forget it.
    RETURN QUERY SELECT u.id, 0::bigint, 0, 0, 0 FROM unnest(_clusters) AS u (id)
                 WHERE NOT EXISTS (SELECT FROM public.clusters k WHERE k.id = u.id);
END $$;
