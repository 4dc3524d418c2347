//! What a client reads: a title and a sentence for each code.

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
    TEXTS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or_else(|| of_status(status), |(_, text)| text)
}

const TEXTS: &[(&str, &str)] = &[
    (
        "BAD_HOST",
        "The request must name one host, in one valid Host header.",
    ),
    (
        "BODY_TIMEOUT",
        "The body did not come in time. Send the request again.",
    ),
    ("BODY_TOO_LARGE", "The body is larger than this API takes."),
    (
        "CATALOG_UNAVAILABLE",
        "The catalog cannot be reached right now. Try again shortly.",
    ),
    (
        "CLUSTER_UNAVAILABLE",
        "The database server for this tenant cannot be reached right now. Nothing was kept; try again shortly.",
    ),
    (
        "CROSS_SITE",
        "A request that is signed in by cookie must come from the same site. Send a Bearer token instead, or call from the tenant's own pages.",
    ),
    (
        "DATABASE_UNAVAILABLE",
        "The tenant's database cannot be reached right now. Try again shortly.",
    ),
    ("DOMAIN_TAKEN", "This domain already leads to a tenant."),
    (
        "EMAIL_TAKEN",
        "Somebody with this mail address is already in the tenant.",
    ),
    (
        "IDEMPOTENCY_KEY_REUSED",
        "This Idempotency-Key was used with another request. Use a new key for a new request.",
    ),
    (
        "INVALID_CREDENTIALS",
        "The mail address or the password is wrong, or the account is not active.",
    ),
    (
        "INVALID_REFRESH_TOKEN",
        "The refresh token is unknown, used or expired. Sign in again.",
    ),
    (
        "LAST_ADMIN",
        "The tenant would be left without an active administrator.",
    ),
    (
        "LAST_OPERATOR",
        "This is the last operator token. Create another before revoking it.",
    ),
    ("MALFORMED_JSON", "The body is not valid JSON."),
    (
        "METHOD_NOT_ALLOWED",
        "This method is not allowed here; the Allow header names those that are.",
    ),
    ("NOT_FOUND", "There is nothing at this address."),
    (
        "NO_CLUSTER",
        "No database server is registered yet; register one with `tenantry init`.",
    ),
    ("OPERATION_FAILED", "The operation failed and was undone."),
    (
        "OPERATION_IN_PROGRESS",
        "Another operation is running for this tenant. Wait until it is done.",
    ),
    ("OPERATION_NOT_FOUND", "There is no such operation."),
    (
        "OPERATION_PARKED",
        "The operation could not be finished or undone and waits for a person.",
    ),
    (
        "OPERATOR_NAME_TAKEN",
        "There is already an operator with this name.",
    ),
    ("OPERATOR_NOT_FOUND", "There is no such operator."),
    (
        "OVERLOADED",
        "Too many requests are being worked on. Try again shortly.",
    ),
    (
        "PERMISSION_DENIED",
        "You are signed in, but lack the permission that is named.",
    ),
    (
        "REQUEST_TIMEOUT",
        "The request took too long and was given up.",
    ),
    (
        "ROLE_ESCALATION",
        "You cannot grant a role that holds a permission you do not have.",
    ),
    (
        "SLUG_TAKEN",
        "This slug already belongs to a tenant; choose another.",
    ),
    (
        "TENANT_BUSY",
        "All connections of this tenant are in use. Try again shortly.",
    ),
    ("TENANT_NOT_FOUND", "There is no such tenant."),
    (
        "TENANT_NOT_NAMED",
        "The request must name a tenant: call it at the tenant's own host.",
    ),
    (
        "TENANT_NOT_READY",
        "The tenant is not ready yet. Try again shortly.",
    ),
    ("TENANT_SUSPENDED", "The tenant is suspended."),
    (
        "TOO_MANY_ATTEMPTS",
        "Too many failed attempts. Wait before trying again.",
    ),
    (
        "UNAUTHENTICATED",
        "Send a valid token: Authorization: Bearer …",
    ),
    (
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as application/json.",
    ),
    ("USER_NOT_FOUND", "There is no such user."),
    (
        "VALIDATION_FAILED",
        "Some fields are wrong; `errors` names each of them.",
    ),
    (
        "WRONG_TENANT",
        "The token, the host and x-tenant-id must name the same tenant.",
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
        assert!(TEXTS.is_sorted_by_key(|(code, _)| code));
    }

    #[test]
    fn a_title_is_the_code_in_words() {
        assert_eq!(title("SLUG_TAKEN"), "Slug taken");
        assert_eq!(title("MALFORMED_JSON"), "Malformed JSON");
    }
}
