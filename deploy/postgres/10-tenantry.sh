#!/bin/bash
# Run by the image of Postgres when its volume is empty: makes the admin login that Tenantry works
# with, which is no superuser, and the database of the catalog.
set -euo pipefail

: "${ADMIN_PASSWORD:?is the password of tenantry_admin}"

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
-- From the environment of psql, so that the password stands in no list of processes.
\getenv password ADMIN_PASSWORD
CREATE ROLE tenantry_admin LOGIN CREATEDB CREATEROLE PASSWORD :'password';
GRANT pg_signal_backend TO tenantry_admin;
-- These two are open to every login of a new server.
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO tenantry_admin;
CREATE DATABASE tenantry_catalog OWNER tenantry_admin;
SQL
