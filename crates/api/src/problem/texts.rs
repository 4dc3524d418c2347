//! What a client reads: a status, a title and a sentence for each code.

use http::StatusCode;

/// `SLUG_TAKEN` → "Slug taken". RFC 9457, 3.1.3: the same for each occurrence of a type.
pub(super) fn title(code: &str) -> String {
    let mut title = code.to_ascii_lowercase().replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title.replace("json", "JSON")
}

/// What happened and what would help, for a code; for one that is not in the table, for its status.
pub(super) fn detail(code: &str, status: StatusCode) -> &'static str {
    find(code).map_or_else(|| of_status(status), |(_, _, text)| text)
}

/// The one status of a code: a client that knows the code knows the status.
pub(super) fn status(code: &str) -> Option<StatusCode> {
    find(code).and_then(|(_, status, _)| StatusCode::from_u16(*status).ok())
}

/// All of them.
pub(crate) fn codes() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(code, _, _)| *code)
}

fn find(code: &str) -> Option<&'static (&'static str, u16, &'static str)> {
    TEXTS.iter().find(|(known, _, _)| *known == code)
}

/// Every code that can be answered, with its status and its sentence. A page of `docs/errors` says
/// more of each.
const TEXTS: &[(&str, u16, &str)] = &[
    (
        "ADOPTION_HELD",
        409,
        "The adopted database cannot be given back as it was.",
    ),
    (
        "ADOPT_ENCODING",
        409,
        "The database's encoding is not UTF8.",
    ),
    (
        "ADOPT_EXTENSIONS",
        409,
        "The database has extensions that Postgres does not trust.",
    ),
    (
        "ADOPT_LOGINS_TAKEN",
        409,
        "Other roles have the names that the database's logins would get.",
    ),
    (
        "ADOPT_NAME",
        409,
        "The database's name cannot be kept; rename it first.",
    ),
    (
        "ADOPT_NO_DATABASE",
        409,
        "The cluster has no such database.",
    ),
    (
        "ADOPT_OTHERS_OWN",
        409,
        "Other roles than the owner own something in the database.",
    ),
    (
        "ADOPT_OTHER_LOGINS",
        409,
        "Other roles have rights on the database; agree that they are shut out.",
    ),
    (
        "ADOPT_OWNER",
        409,
        "The database cannot be taken over from its owner.",
    ),
    (
        "ADOPT_PREPARED",
        409,
        "Prepared transactions are open in the database.",
    ),
    (
        "ADOPT_REPLICATION",
        409,
        "The database takes part in logical replication.",
    ),
    (
        "ADOPT_RIGHTS_PASSED_ON",
        409,
        "Rights on the database were passed on by others than its owner.",
    ),
    (
        "ADOPT_SESSIONS",
        409,
        "Sessions are open in the database; agree that they are ended.",
    ),
    (
        "ADOPT_SYSTEM_DATABASE",
        409,
        "This is no customer's database.",
    ),
    ("ADOPT_TAKEN", 409, "The database is a tenant's already."),
    (
        "ADOPT_TOO_LARGE",
        409,
        "The database has more tables than the server can lock at once.",
    ),
    (
        "ADOPT_TRACES",
        409,
        "The database holds what only a tenant's database may.",
    ),
    (
        "ADOPT_UNSAFE",
        409,
        "The database holds what a tenant's database must not.",
    ),
    ("ALIAS_NOT_FOUND", 404, "The tenant has no such alias."),
    (
        "ALIAS_TAKEN",
        409,
        "This name already leads to another tenant.",
    ),
    (
        "BAD_HOST",
        400,
        "The request must name one host, in one valid Host header, or in one that a trusted proxy sets.",
    ),
    ("BAD_REQUEST", 400, "The request cannot be understood."),
    (
        "BODY_TIMEOUT",
        408,
        "The body did not come in time. Send the request again.",
    ),
    (
        "BODY_TOO_LARGE",
        413,
        "The body is larger than this API takes.",
    ),
    (
        "BUDGET_TOO_LARGE",
        422,
        "The database server has not that many connections for tenants.",
    ),
    (
        "CATALOG_UNAVAILABLE",
        503,
        "The catalog cannot be reached right now. Try again shortly.",
    ),
    (
        "CLUSTER_DRAINING",
        409,
        "This cluster takes no new tenants. Name another one, or none.",
    ),
    (
        "CLUSTER_EXISTS",
        409,
        "A cluster of this name, at this address or on this server is registered.",
    ),
    (
        "CLUSTER_IN_USE",
        409,
        "The cluster takes new tenants, or holds something of one.",
    ),
    (
        "CLUSTER_NAME_TAKEN",
        500,
        "The database server has another database or login of this name. Nothing was kept.",
    ),
    ("CLUSTER_NOT_FOUND", 404, "There is no such cluster."),
    (
        "CLUSTER_NOT_OURS",
        500,
        "The database server has something else under a name of this tenant. It was not touched.",
    ),
    (
        "CLUSTER_REFUSED",
        500,
        "The database server refused a step.",
    ),
    (
        "CLUSTER_STILL_CONNECTED",
        503,
        "Sessions of the tenant have not ended yet. Try again shortly.",
    ),
    (
        "CLUSTER_UNAVAILABLE",
        503,
        "The database server for this tenant cannot be reached right now. Nothing was kept; try again shortly.",
    ),
    (
        "CLUSTER_UNFIT",
        422,
        "The server cannot be used as a cluster, for the reasons in `errors`. Nothing was written.",
    ),
    (
        "CLUSTER_UNSUITABLE",
        500,
        "The database server is not set up as it must be.",
    ),
    (
        "CROSS_SITE",
        403,
        "A request that is signed in by cookie must come from the same site. Send a Bearer token instead, or call from the tenant's own pages.",
    ),
    (
        "DATABASE_NAME_TAKEN",
        500,
        "The catalog has another database of this name. Nothing was kept.",
    ),
    (
        "DATABASE_UNAVAILABLE",
        503,
        "The tenant's database cannot be reached right now. Try again shortly.",
    ),
    (
        "DNS_UNAVAILABLE",
        503,
        "The DNS gave no answer about this domain. Try again shortly.",
    ),
    (
        "DOCTOR_RUNNING",
        409,
        "The doctor is looking already. Ask `GET /setup/doctor` until that run has ended.",
    ),
    (
        "DOCTOR_RUN_NOT_FOUND",
        404,
        "There is no such run of the doctor.",
    ),
    ("DOMAIN_NOT_FOUND", 404, "The tenant has no such domain."),
    (
        "DOMAIN_NOT_VERIFIED",
        409,
        "The record that proves this domain was not found. It may take a while until a new one is seen everywhere.",
    ),
    (
        "DOMAIN_TAKEN",
        409,
        "This domain already leads to a tenant.",
    ),
    (
        "DUMP_FAILED",
        500,
        "The final dump could not be taken, and nothing was dropped.",
    ),
    (
        "EMAIL_TAKEN",
        409,
        "Somebody with this mail address is already in the tenant.",
    ),
    (
        "IDEMPOTENCY_KEY_IN_USE",
        409,
        "A request with this Idempotency-Key is being worked on. Wait for its answer, or send it again shortly.",
    ),
    (
        "IDEMPOTENCY_KEY_REUSED",
        409,
        "This Idempotency-Key was used with another request. Use a new key for a new request.",
    ),
    (
        "INTERNAL",
        500,
        "Something went wrong on our side. The request id finds it in our logs.",
    ),
    (
        "INVALID_CODE",
        401,
        "The code is unknown, used or expired. Sign in again.",
    ),
    (
        "INVALID_CREDENTIALS",
        401,
        "The mail address or the password is wrong, or the account is not active.",
    ),
    (
        "INVALID_REFRESH_TOKEN",
        401,
        "The refresh token is unknown, used or expired. Sign in again.",
    ),
    (
        "LAST_ADMIN",
        409,
        "The tenant would be left without an active administrator.",
    ),
    (
        "LAST_OWNER",
        409,
        "No owner whose token never ends would be left. Make another operator one first: an `owner` without `ttl`.",
    ),
    (
        "LOGINS_FULL",
        409,
        "Temporary logins hold as many connections of this cluster as they may. End one, wait until one ends, or ask for fewer.",
    ),
    (
        "LOGIN_NOT_FOUND",
        404,
        "The tenant has no temporary login of this name.",
    ),
    (
        "LOGIN_REFUSED",
        500,
        "The new database did not let the tenant in. Nothing was kept.",
    ),
    ("MALFORMED_JSON", 400, "The body is not valid JSON."),
    (
        "METHOD_NOT_ALLOWED",
        405,
        "This method is not allowed here; the Allow header names those that are.",
    ),
    (
        "MIGRATION_FAILED",
        500,
        "A database could not be migrated; its result says why.",
    ),
    (
        "NOT_ADOPTED",
        409,
        "The tenant's database was not adopted; delete the tenant instead.",
    ),
    ("NOT_FOUND", 404, "There is nothing at this address."),
    (
        "NO_CAPACITY",
        503,
        "No database server that may take this tenant has a place for it. Nothing was begun.",
    ),
    (
        "NO_CLUSTER",
        503,
        "No database server is registered yet; register one with `tenantry clusters add`.",
    ),
    (
        "OPERATION_ABANDONED",
        500,
        "The operation was given up by an operator.",
    ),
    (
        "OPERATION_CANCELLED",
        409,
        "The operation was cancelled; what it had done is undone.",
    ),
    ("OPERATION_ENDED", 409, "The operation has ended already."),
    (
        "OPERATION_IN_PROGRESS",
        409,
        "Another operation is running for this tenant. Wait until it is done.",
    ),
    (
        "OPERATION_NOT_CANCELLABLE",
        409,
        "An operation of this kind goes to its end: what it promises has no way back.",
    ),
    ("OPERATION_NOT_FOUND", 404, "There is no such operation."),
    (
        "OPERATION_PARKED",
        500,
        "The operation could not be finished or undone and waits for a person.",
    ),
    (
        "OPERATOR_NAME_TAKEN",
        409,
        "There is already an operator with this name.",
    ),
    ("OPERATOR_NOT_FOUND", 404, "There is no such operator."),
    (
        "OVERLAP_RUNNING",
        409,
        "The login before the present one is still good, as its overlap promised. Wait until that is over, or end it with `endPrevious`.",
    ),
    (
        "OVERLOADED",
        503,
        "Too many requests are being worked on. Try again shortly.",
    ),
    (
        "PAUSED",
        503,
        "Background work is paused by a person, and this would begin some. Try again when it goes on.",
    ),
    (
        "PERMISSION_DENIED",
        403,
        "You are signed in, but lack the permission that is named.",
    ),
    (
        "POOL_EXHAUSTED",
        503,
        "All connections to this database server are in use. Try again shortly.",
    ),
    (
        "REQUEST_TIMEOUT",
        503,
        "The request took too long and was given up.",
    ),
    (
        "ROLE_REQUIRED",
        403,
        "Your operator token is good, but its role may not do this. The roles that may are named.",
    ),
    (
        "ROUTERS_BEHIND",
        503,
        "Some routers have not applied the change yet; it is done, and they follow.",
    ),
    (
        "SIGN_IN_UNAVAILABLE",
        503,
        "The password is right, but signing in this way is not possible right now. Sign in at the tenant's own host, or try again shortly.",
    ),
    (
        "SLUG_TAKEN",
        409,
        "This slug already belongs to a tenant; choose another.",
    ),
    (
        "TEMPLATE_FAILED",
        500,
        "The template for new databases could not be made. Nothing was kept.",
    ),
    (
        "TENANT_ADOPTED",
        409,
        "The tenant's database was adopted: un-adopt it, or delete the tenant and let the grace period end.",
    ),
    (
        "TENANT_BUSY",
        503,
        "All connections of this tenant are in use. Try again shortly.",
    ),
    (
        "TENANT_MOVED",
        308,
        "The tenant has another host now; send the same request there.",
    ),
    ("TENANT_NOT_FOUND", 404, "There is no such tenant."),
    (
        "TENANT_NOT_NAMED",
        400,
        "The request must name a tenant: call it at the tenant's own host.",
    ),
    (
        "TENANT_NOT_READY",
        503,
        "The tenant is not ready yet. Try again shortly.",
    ),
    ("TENANT_SUSPENDED", 403, "The tenant is suspended."),
    (
        "TOKEN_EXPIRED",
        401,
        "This operator token was good until its time was over. An owner can issue another: tenantry operators rotate.",
    ),
    (
        "TOO_MANY_ATTEMPTS",
        429,
        "Too many failed attempts. Wait before trying again.",
    ),
    (
        "UNAUTHENTICATED",
        401,
        "Send a valid token: Authorization: Bearer …",
    ),
    (
        "UNSUPPORTED_MEDIA_TYPE",
        415,
        "Send the body as application/json.",
    ),
    ("USER_NOT_FOUND", 404, "There is no such user."),
    (
        "VALIDATION_FAILED",
        422,
        "Some fields are wrong; `errors` names each of them.",
    ),
    (
        "WRONG_DATABASE",
        500,
        "Another database answered than the new one. Nothing was kept.",
    ),
    (
        "WRONG_STATE",
        409,
        "This cannot be done in the state that the tenant is in.",
    ),
    (
        "WRONG_TENANT",
        403,
        "All that names a tenant in a request must name the same one: host, token, API key and headers.",
    ),
];

fn of_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "It does not exist.",
        StatusCode::CONFLICT => "It clashes with what is there or with what is going on.",
        StatusCode::FORBIDDEN => "You may not do this.",
        StatusCode::UNAUTHORIZED => "Send a valid token: Authorization: Bearer …",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            "This cannot be done right now. Try again shortly."
        }
        status if status.is_client_error() => "The request cannot be understood.",
        _ => "Something went wrong on our side. The request id finds it in our logs.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_a_reader_finds_a_code() {
        assert!(TEXTS.is_sorted_by_key(|(code, _, _)| code));
    }

    #[test]
    fn each_status_is_one_of_an_error_or_of_a_redirect() {
        for (code, known, _) in TEXTS {
            let status = status(code).expect("a status");
            let told = status.is_client_error() || status.is_server_error();
            let moved = *code == "TENANT_MOVED" && status == StatusCode::PERMANENT_REDIRECT;
            assert!(status.as_u16() == *known && (told || moved), "{code}");
        }
    }

    #[test]
    fn a_title_is_the_code_in_words() {
        assert_eq!(title("SLUG_TAKEN"), "Slug taken");
        assert_eq!(title("MALFORMED_JSON"), "Malformed JSON");
    }
}
