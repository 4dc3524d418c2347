-- Who of the routers may open how many connections on a cluster. The sum of `slots` over all rows of
-- a cluster, also those of routers whose lease has ended, never rises above its budget.
--
-- Routers change the table only through the functions below, each of which first locks the rows of
-- the clusters it is about: so shares of a cluster are changed one after another.
--
-- Two of these run with their owner's rights, and all are run by those two. Whoever may create in
-- `public` (up to Postgres 14 that is everybody who can connect) could plant there a function that fits
-- a call better than the built-in one. So all of them look for names in pg_catalog alone, and write
-- `public.` out.

-- A row of `routers` belongs to the login that registered it, by the functions of 0012. One of before
-- this migration belongs to the login that renews it first.
ALTER TABLE routers ADD COLUMN login name;

CREATE SEQUENCE budget_incarnations;

-- A router's part. `slots` is what it may have open, and what counts; `goal` is what it shall have:
-- less than `slots` while it gives back, more while others do. It opens nothing beyond the lesser of
-- the two. `wanted` is what it could not do without lately, `used` also what it merely keeps ready;
-- `open` and `waiting` are for people. A share that was taken away begins anew under another
-- `incarnation`: its connections are gone. `reaped_at`: its connections were ended and seen gone, and
-- what is left of it is for those that were in the middle of a login (at most `in_flight`).
CREATE TABLE budget_shares (
    cluster_id   uuid NOT NULL REFERENCES clusters,
    router_id    uuid NOT NULL REFERENCES routers,
    incarnation  bigint NOT NULL DEFAULT nextval('budget_incarnations'),
    report       bigint NOT NULL DEFAULT 0,
    slots        integer NOT NULL DEFAULT 0 CONSTRAINT budget_shares_slots_range CHECK (slots >= 0),
    goal         integer NOT NULL DEFAULT 0 CONSTRAINT budget_shares_goal_range CHECK (goal >= 0),
    wanted       integer NOT NULL DEFAULT 0,
    used         integer NOT NULL DEFAULT 0,
    open         integer NOT NULL DEFAULT 0,
    waiting      integer NOT NULL DEFAULT 0,
    in_flight    integer NOT NULL DEFAULT 0,
    reaped_at    timestamptz,
    PRIMARY KEY (cluster_id, router_id)
);
CREATE INDEX budget_shares_router_idx ON budget_shares (router_id);

-- The budget holds whatever the functions compute. They hold the cluster's row, so that the sum is
-- of one moment. A budget that was lowered may be below the sum; then nothing is added.
CREATE FUNCTION budget_holds() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT coalesce(sum(s.slots), 0) FROM public.budget_shares s WHERE s.cluster_id = NEW.cluster_id)
       > (SELECT c.connection_budget FROM public.clusters c WHERE c.id = NEW.cluster_id) THEN
        RAISE EXCEPTION 'the shares of cluster % would exceed its budget', NEW.cluster_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER budget_shares_hold_insert AFTER INSERT ON budget_shares FOR EACH ROW
    WHEN (NEW.slots > 0) EXECUTE FUNCTION budget_holds();
CREATE TRIGGER budget_shares_hold_update AFTER UPDATE OF slots, cluster_id ON budget_shares FOR EACH ROW
    WHEN (NEW.slots > OLD.slots OR NEW.cluster_id <> OLD.cluster_id) EXECUTE FUNCTION budget_holds();

-- A row of the change log may be about a cluster instead of a tenant: its shares changed, and whoever
-- has one asks what it is now.
ALTER TABLE changes ALTER COLUMN tenant_id DROP NOT NULL;
ALTER TABLE changes ADD COLUMN cluster_id uuid;
ALTER TABLE changes DROP CONSTRAINT changes_kind_known;
ALTER TABLE changes ADD CONSTRAINT changes_kind_known CHECK (kind IN
    ('created', 'updated', 'fenced', 'restored', 'purged', 'migrated', 'disconnect', 'budget'));
ALTER TABLE changes ADD CONSTRAINT changes_about_one CHECK
    ((kind = 'budget' AND cluster_id IS NOT NULL AND tenant_id IS NULL)
     OR (kind <> 'budget' AND cluster_id IS NULL AND tenant_id IS NOT NULL));

-- Max-min fairness: nobody gets more than they want, and nobody could get more without somebody
-- who has no more than they getting less. What does not divide goes to the last of those who want most.
CREATE FUNCTION budget_fill(_available integer, _wants integer[]) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given integer[] := _wants;
    rest  integer := greatest(_available, 0);
    left_over integer := cardinality(_wants);
    i     integer;
BEGIN
    FOR i IN SELECT n FROM generate_subscripts(_wants, 1) AS n ORDER BY _wants[n], n LOOP
        given[i] := least(greatest(_wants[i], 0), rest / left_over);
        rest := rest - given[i];
        left_over := left_over - 1;
    END LOOP;
    RETURN given;
END $$;

-- Sets the goals of a cluster's live routers; says whether another than `_me` has to give back
-- something that it was not yet asked for. The caller holds the cluster's row.
--
-- First what routers cannot do without (each at least one, while there are so many), then what they
-- keep ready, then the rest in equal parts, but for a quarter of the budget, which goes only to who
-- has a use for it: so a newcomer, or the successor of one that crashed, need not wait for others.
-- What somebody holds is asked back only when another lacks what is fairly his.
CREATE FUNCTION budget_allocate(_cluster uuid, _budget integer, _me uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Wants are rounded up, so that each request more or less is not another share.
    granule integer := greatest(1, _budget / 20);
    ids uuid[]; slots_ integer[]; goals integer[]; hard integer[]; soft integer[];
    available integer; free integer; n integer; i integer; ideal integer;
    fair integer[]; kept integer[]; extra integer[];
    anew boolean := false;
    asked boolean := false;
BEGIN
    SELECT _budget - coalesce(sum(s.slots) FILTER (WHERE r.lease_until <= clock_timestamp()), 0),
           count(*) FILTER (WHERE r.lease_until > clock_timestamp())
    INTO available, n
    FROM public.budget_shares s JOIN public.routers r ON r.id = s.router_id WHERE s.cluster_id = _cluster;
    IF n = 0 THEN
        RETURN false;
    END IF;
    -- With more routers than slots, those that want one take turns.
    SELECT array_agg(x.router_id ORDER BY x.turn), array_agg(x.slots ORDER BY x.turn),
           array_agg(x.goal ORDER BY x.turn), array_agg(x.hard ORDER BY x.turn), array_agg(x.used ORDER BY x.turn)
    INTO ids, slots_, goals, hard, soft
    FROM (SELECT s.router_id, s.slots, s.goal, s.used,
                 least(_budget, CASE WHEN n > available THEN sign(s.wanted)::integer
                     ELSE greatest(1, (s.wanted + granule - 1) / granule * granule) END) AS hard,
                 CASE WHEN n > available
                      THEN md5(s.router_id::text || floor(extract(epoch FROM clock_timestamp()) / 2)::text)
                      ELSE s.router_id::text END AS turn
          FROM public.budget_shares s JOIN public.routers r ON r.id = s.router_id
          WHERE s.cluster_id = _cluster AND r.lease_until > clock_timestamp()) x;
    n := cardinality(ids);
    fair := public.budget_fill(available, hard);
    free := greatest(available, 0);
    FOR i IN 1..n LOOP
        free := free - fair[i];
        soft[i] := greatest(0, least(soft[i], _budget) - fair[i]);
    END LOOP;
    kept := public.budget_fill(free, soft);
    FOR i IN 1..n LOOP
        free := free - kept[i];
    END LOOP;
    extra := public.budget_fill(free - _budget / 4, array_fill(_budget, ARRAY[n]));
    free := available;
    FOR i IN 1..n LOOP
        anew := anew OR goals[i] < fair[i];
        free := free - goals[i];
    END LOOP;
    anew := anew OR free < 0;
    FOR i IN 1..n LOOP
        ideal := fair[i] + kept[i] + extra[i];
        IF anew THEN
            asked := asked OR (ids[i] IS DISTINCT FROM _me AND ideal < goals[i] AND ideal < slots_[i]);
        ELSIF ids[i] IS DISTINCT FROM _me
              OR (ideal <= goals[i] AND ideal > goals[i] - greatest(2, _budget / 10)) THEN
            ideal := goals[i];
        ELSE
            ideal := least(ideal, goals[i] + free);
        END IF;
        IF ideal <> goals[i] THEN
            UPDATE public.budget_shares s SET goal = ideal WHERE s.cluster_id = _cluster AND s.router_id = ids[i];
        END IF;
    END LOOP;
    RETURN asked;
END $$;

-- Tells those who lack slots, and have a use for them, that there are some.
CREATE FUNCTION budget_offer(_cluster uuid, _budget integer, _me uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_notify('tenantry_budget', s.router_id::text)
    FROM public.budget_shares s JOIN public.routers r ON r.id = s.router_id
    WHERE s.cluster_id = _cluster AND s.router_id IS DISTINCT FROM _me
      AND r.lease_until > clock_timestamp() AND s.slots < least(s.goal, s.wanted)
      AND (SELECT sum(o.slots) FROM public.budget_shares o WHERE o.cluster_id = _cluster) < _budget
$$;

-- Appends a row about a cluster to the change log. Locks the counter: the last thing a transaction does.
CREATE FUNCTION budget_changed(_cluster uuid) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH next AS (UPDATE public.change_counter SET value = value + 1 RETURNING value),
         appended AS (INSERT INTO public.changes (number, cluster_id, kind)
                      SELECT value, _cluster, 'budget' FROM next RETURNING number),
         told AS (SELECT number, pg_notify('tenantry_changes', number::text) FROM appended)
    SELECT number FROM told
$$;

-- Renews a router's lease and settles its shares of the clusters, in one go. The first row, with no
-- cluster, says that it is registered; no row at all, that it is not.
--
-- `_held[i]` is what the router can still have open on a cluster while it knows of no other share:
-- more than that is given back here. It is believed only of the incarnation that it is about, and
-- only if no later report was seen: one whose answer was lost may still be on its way.
--
-- The lease does not wait for a cluster that somebody else keeps locked: its shares stay as they are,
-- and it is missing in the answer. That holds only for a lease that did not end: with one that did the
-- shares may have gone, and it begins anew with all of them settled or not at all.
CREATE FUNCTION router_renew(
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
    c record; mine record; at integer; free integer;
    asked uuid[] := '{}';
    told uuid[] := '{}';
BEGIN
    -- Not shortened: the router would count on what it asked for.
    IF _ttl IS NULL OR NOT _ttl BETWEEN 0 AND 86400 THEN
        RAISE EXCEPTION 'a lease of % seconds is not granted', _ttl USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Clusters before routers, in the order of their ids: as everybody locks them.
    FOR c IN SELECT k.id FROM public.clusters k ORDER BY k.id LOOP
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
    IF ended AND missed THEN
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
END $$;

-- A router says goodbye: its shares are free at once, but for the connections whose end it has not
-- seen (`_kept[i]` on `_clusters[i]`); for those it stays registered, without a lease.
CREATE FUNCTION router_leave(_router uuid, _clusters uuid[], _kept integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c record;
    asked uuid[] := '{}';
BEGIN
    PERFORM 1 FROM public.clusters k ORDER BY k.id FOR NO KEY UPDATE;
    PERFORM 1 FROM public.routers r
    WHERE r.id = _router AND coalesce(r.login, session_user) = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE public.routers r SET lease_until = clock_timestamp() WHERE r.id = _router;
    UPDATE public.budget_shares s
    SET slots = least(s.slots, u.kept), goal = 0, wanted = 0, used = 0, open = u.kept, waiting = 0, in_flight = u.kept
    FROM unnest(_clusters, _kept) AS u (id, kept)
    WHERE s.router_id = _router AND s.cluster_id = u.id;
    DELETE FROM public.budget_shares s
    WHERE s.router_id = _router AND (s.slots = 0 OR s.cluster_id <> ALL (_clusters));
    DELETE FROM public.routers r
    WHERE r.id = _router AND NOT EXISTS (SELECT FROM public.budget_shares s WHERE s.router_id = _router);
    FOR c IN SELECT k.id, k.connection_budget FROM public.clusters k ORDER BY k.id LOOP
        -- Whoever lacks something gets it as soon as it asks, and it is told to.
        IF public.budget_allocate(c.id, c.connection_budget, NULL) THEN
            asked := asked || c.id;
        END IF;
        PERFORM public.budget_offer(c.id, c.connection_budget, NULL);
    END LOOP;
    PERFORM public.budget_changed(a) FROM unnest(asked) AS a;
END $$;

-- Takes a share from a router whose lease has ended, after its connections were seen gone: first what
-- is beyond logins under way, then (`_last`) the rest. Does nothing (false) when the router was back
-- meanwhile: `_lease_until` is the end of its lease as it was before anybody looked.
CREATE FUNCTION budget_reap(_cluster uuid, _router uuid, _lease_until timestamptz, _last boolean)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    total integer;
BEGIN
    SELECT k.connection_budget INTO total FROM public.clusters k WHERE k.id = _cluster FOR NO KEY UPDATE;
    -- A renewal that is under way comes before this or after it, and sees it then.
    PERFORM 1 FROM public.routers r WHERE r.id = _router FOR NO KEY UPDATE;
    UPDATE public.budget_shares s
    SET slots = CASE WHEN _last THEN 0 ELSE least(s.slots, s.in_flight) END,
        reaped_at = coalesce(s.reaped_at, clock_timestamp()), open = 0, waiting = 0
    FROM public.routers r
    WHERE s.cluster_id = _cluster AND s.router_id = _router AND r.id = _router
      AND r.lease_until = _lease_until AND r.lease_until <= clock_timestamp()
      AND (s.reaped_at IS NOT NULL OR NOT _last);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM public.budget_shares s WHERE s.cluster_id = _cluster AND s.router_id = _router AND s.slots = 0;
    IF public.budget_allocate(_cluster, total, NULL) THEN
        PERFORM public.budget_offer(_cluster, total, NULL);
        PERFORM public.budget_changed(_cluster);
    ELSE
        PERFORM public.budget_offer(_cluster, total, NULL);
    END IF;
    RETURN true;
END $$;

-- Sets a cluster's budget; every router with a share asks what it is now. Gives the number of the change.
-- Locks the counter: the last thing a transaction does.
CREATE FUNCTION budget_set(_cluster uuid, _budget integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.clusters k SET connection_budget = _budget WHERE k.id = _cluster;
    PERFORM public.budget_allocate(_cluster, _budget, NULL);
    RETURN public.budget_changed(_cluster);
END $$;

REVOKE ALL ON FUNCTION budget_holds(), budget_fill(integer, integer[]),
    budget_allocate(uuid, integer, uuid), budget_offer(uuid, integer, uuid), budget_changed(uuid),
    router_renew(uuid, bigint, double precision, bigint, integer, uuid[], bigint[], integer[], integer[],
                 integer[], integer[], integer[]),
    router_leave(uuid, uuid[], integer[]), budget_reap(uuid, uuid, timestamptz, boolean),
    budget_set(uuid, integer) FROM PUBLIC;
