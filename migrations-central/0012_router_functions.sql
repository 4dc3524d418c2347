-- A router writes its own row of `routers`, by functions, and no other: before, whoever had a router's
-- login could acknowledge changes for others, take them out, or keep them registered for ever.
--
-- A row belongs to the login that registered it. One of before this migration belongs to the login
-- that renews it first. A router's id is random, and its login may not list the table.
ALTER TABLE routers ADD COLUMN login name;

-- Registers a router, or registers it anew after its row was removed or its lease had ended.
CREATE FUNCTION router_register(_router uuid, _name text, _applied bigint, _ttl double precision)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO routers AS r (id, name, applied, lease_until, login)
    VALUES (_router, _name, _applied, clock_timestamp() + make_interval(secs => _ttl), session_user)
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name, applied = excluded.applied, lease_until = excluded.lease_until,
        login = excluded.login
    WHERE coalesce(r.login, session_user) = session_user;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'router % was registered by another login', _router
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Replaces what a router tells of itself. `false`: it is not registered, or not by this login. The
-- longest that a router makes is a twentieth of what is taken.
CREATE FUNCTION router_report(_router uuid, _report jsonb)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF octet_length(_report::text) > 1048576 THEN
        RAISE EXCEPTION 'the report of router % is too long', _router
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    UPDATE routers r SET report = _report, reported_at = clock_timestamp()
    WHERE r.id = _router AND r.login = session_user;
    RETURN FOUND;
END $$;

-- As in 0010, but for its own row only. To somebody else's login a router is one that is not
-- registered.
CREATE OR REPLACE FUNCTION router_renew(
    _router uuid, _applied bigint, _ttl double precision, _report bigint, _in_flight integer,
    _clusters uuid[], _incarnations bigint[], _held integer[], _wanted integer[], _used integer[],
    _open integer[], _waiting integer[])
RETURNS TABLE (cluster_id uuid, incarnation bigint, slots integer, goal integer, budget integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    locked boolean := true;
    c record; mine record; at integer; free integer;
    asked uuid[] := '{}';
BEGIN
    BEGIN
        PERFORM 1 FROM clusters k ORDER BY k.id FOR NO KEY UPDATE;
    EXCEPTION WHEN lock_not_available THEN
        locked := false;
    END;
    UPDATE routers r SET applied = greatest(r.applied, _applied), login = session_user,
                         lease_until = clock_timestamp() + make_interval(secs => _ttl)
    WHERE r.id = _router AND coalesce(r.login, session_user) = session_user;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT NULL::uuid, NULL::bigint, NULL::integer, NULL::integer, NULL::integer;
    IF NOT locked THEN
        RETURN;
    END IF;
    INSERT INTO budget_shares (cluster_id, router_id)
    SELECT k.id, _router FROM clusters k
    WHERE NOT EXISTS (SELECT FROM budget_shares s WHERE s.cluster_id = k.id AND s.router_id = _router);
    FOR c IN SELECT k.id, k.connection_budget FROM clusters k ORDER BY k.id LOOP
        SELECT * INTO mine FROM budget_shares s WHERE s.cluster_id = c.id AND s.router_id = _router;
        IF mine.report >= _report THEN
            CONTINUE;
        END IF;
        at := array_position(_clusters, c.id);
        IF mine.reaped_at IS NOT NULL THEN
            mine.incarnation := nextval('budget_incarnations');
        ELSIF at IS NOT NULL AND _incarnations[at] = mine.incarnation THEN
            mine.slots := least(mine.slots, _held[at]);
        END IF;
        UPDATE budget_shares s
        SET incarnation = mine.incarnation, report = _report, reaped_at = NULL, slots = mine.slots,
            wanted = coalesce(_wanted[at], 0), used = coalesce(_used[at], 0), open = coalesce(_open[at], 0),
            waiting = coalesce(_waiting[at], 0), in_flight = _in_flight
        WHERE s.cluster_id = c.id AND s.router_id = _router;
        IF budget_allocate(c.id, c.connection_budget, _router) THEN
            asked := asked || c.id;
        END IF;
        SELECT c.connection_budget - sum(s.slots) INTO free FROM budget_shares s WHERE s.cluster_id = c.id;
        UPDATE budget_shares s
        SET slots = s.slots + greatest(0, least(s.goal - s.slots, free))
        WHERE s.cluster_id = c.id AND s.router_id = _router;
        PERFORM budget_offer(c.id, c.connection_budget, _router);
        RETURN QUERY SELECT s.cluster_id, s.incarnation, s.slots, s.goal, c.connection_budget
                     FROM budget_shares s WHERE s.cluster_id = c.id AND s.router_id = _router;
    END LOOP;
    PERFORM budget_changed(a) FROM unnest(asked) AS a;
END $$;

-- As in 0010, but for its own row only.
CREATE OR REPLACE FUNCTION router_leave(_router uuid, _clusters uuid[], _kept integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c record;
    asked uuid[] := '{}';
BEGIN
    PERFORM 1 FROM clusters k ORDER BY k.id FOR NO KEY UPDATE;
    PERFORM 1 FROM routers r
    WHERE r.id = _router AND coalesce(r.login, session_user) = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE routers r SET lease_until = clock_timestamp() WHERE r.id = _router;
    UPDATE budget_shares s
    SET slots = least(s.slots, u.kept), goal = 0, wanted = 0, used = 0, open = u.kept, waiting = 0, in_flight = u.kept
    FROM unnest(_clusters, _kept) AS u (id, kept)
    WHERE s.router_id = _router AND s.cluster_id = u.id;
    DELETE FROM budget_shares s
    WHERE s.router_id = _router AND (s.slots = 0 OR s.cluster_id <> ALL (_clusters));
    DELETE FROM routers r
    WHERE r.id = _router AND NOT EXISTS (SELECT FROM budget_shares s WHERE s.router_id = _router);
    FOR c IN SELECT k.id, k.connection_budget FROM clusters k ORDER BY k.id LOOP
        -- Whoever lacks something gets it as soon as it asks, and it is told to.
        IF budget_allocate(c.id, c.connection_budget, NULL) THEN
            asked := asked || c.id;
        END IF;
        PERFORM budget_offer(c.id, c.connection_budget, NULL);
    END LOOP;
    PERFORM budget_changed(a) FROM unnest(asked) AS a;
END $$;

REVOKE ALL ON FUNCTION router_register(uuid, text, bigint, double precision), router_report(uuid, jsonb)
    FROM PUBLIC;

-- Logins that could write the table until now, made here or by hand, get the functions instead. A program
-- of the version before goes on with the two that it calls, until it has to register anew.
DO $$
DECLARE
    holder record;
BEGIN
    FOR holder IN
        SELECT DISTINCT a.grantee::regrole AS login
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'public.routers'::regclass AND a.grantee NOT IN (0, c.relowner)
    LOOP
        IF has_table_privilege(holder.login::oid, 'public.routers', 'INSERT') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION router_register, router_report, router_renew, router_leave TO %s',
                           holder.login);
        END IF;
        EXECUTE format('REVOKE ALL ON routers FROM %s', holder.login);
    END LOOP;
    REVOKE ALL ON routers FROM PUBLIC;
END $$;
