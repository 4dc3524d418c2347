"""Helps schemathesis to mean something with its calls, and keeps it from sawing off its branch.

Ids that it makes up are mostly nobody's, so that changes would only ever be answered 404: some calls
with right data get the id of somebody who is there. And it takes ids out of answers: a call that would
end the very user or operator whose token it sends gets an id that nobody has. The route is called and
its answer checked in any case.
"""

import json
import os
import uuid

import requests
import schemathesis
from schemathesis import GenerationMode

# Ids whose end would make every later call a 401.
OWN = {text.lower() for text in os.environ.get("TENANTRY_OWN", "").split(",") if text}
# Tenants that later calls need.
KEPT = {text.lower() for text in os.environ.get("TENANTRY_KEPT", "").split(",") if text}
# By operation: path parameters that lead to something, and a body or a query that is right.
REAL = json.loads(os.environ.get("TENANTRY_REAL", "{}"))
NOBODY = "00000000-0000-7000-8000-000000000000"
ENDING = {
    "DELETE /setup/operators/{operator}",
    "PATCH /setup/operators/{operator}",
    "POST /setup/operators/{operator}/rotate",
    "DELETE /users/{user}",
    "PATCH /users/{user}",
}
calls = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    name = f"{case.method.upper()} {case.operation.path}"
    for header in list(case.headers or {}):
        # One key for everything would only ever be answered 409.
        if header.lower() == "idempotency-key" and is_right(case):
            case.headers[header] = str(uuid.uuid4())
    if name in REAL and is_right(case):
        calls[name] = calls.get(name, 0) + 1
        if calls[name] % 3 == 1:
            case.path_parameters = {**(case.path_parameters or {}), **REAL[name].get("path", {})}
            if calls[name] == 1 and "body" in REAL[name]:
                case.body = REAL[name]["body"]
            if calls[name] == 1 and "query" in REAL[name]:
                case.query = REAL[name]["query"]
    if name == "DELETE /setup/tenants/{tenant}":
        for parameter, value in (case.path_parameters or {}).items():
            if str(value).strip().lower() in KEPT:
                case.path_parameters[parameter] = NOBODY
    if name in ENDING:
        for parameter, value in (case.path_parameters or {}).items():
            if str(value).strip().lower() in OWN:
                case.path_parameters[parameter] = NOBODY


@schemathesis.hook
def after_call(context, case, response):
    # A pause that were left in force would have most of what comes later refused.
    if case.operation.path == "/setup/pause" and case.method.upper() == "POST" and response.status_code == 200:
        asked = response.request
        headers = {name: asked.headers[name] for name in ("Host", "Authorization")}
        requests.delete(asked.url, headers=headers, timeout=20).raise_for_status()


def is_right(case):
    """Whether all of it was made to be accepted; what was made to be refused must stay as it is."""
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
