-- A router writes its own row of `routers`, by functions, and no other: before, whoever had a router's
-- login could acknowledge changes for others, take them out, or keep them registered for ever.
-- A router's id is random, and its login may not list the table.

-- Registers a router, or registers it anew after its row was removed or its lease had ended.
CREATE FUNCTION router_register(_router uuid, _name text, _applied bigint, _ttl double precision)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.routers AS r (id, name, applied, lease_until, login)
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
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(_report::text) > 1048576 THEN
        RAISE EXCEPTION 'the report of router % is too long', _router
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    UPDATE public.routers r SET report = _report, reported_at = clock_timestamp()
    WHERE r.id = _router AND r.login = session_user;
    RETURN FOUND;
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
