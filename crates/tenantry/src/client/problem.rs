//! From an answer of the API to a result or a failure that says what to do next.

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};

/// The document of an answer; an error becomes a failure.
pub(super) async fn answer(response: Response, base: &Url) -> Result<Value> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let text = response.text().await.map_err(|error| {
        let what = format!("the answer broke off: {}", chain(&error.without_url()));
        Failure::new(Exit::Unavailable, what).next(
            "look whether it was done before you try again: the request had reached the server",
        )
    })?;
    let document: Option<Value> = serde_json::from_str(&text).ok();
    match document {
        Some(document) if status.is_success() => Ok(document),
        None if status == StatusCode::NO_CONTENT => Ok(Value::Null),
        Some(problem) if problem.get("code").is_some_and(Value::is_string) => {
            Err(failure(status, problem, retry_after.as_deref()))
        }
        _ => Err(foreign(status, base)),
    }
}

fn failure(status: StatusCode, problem: Value, retry_after: Option<&str>) -> Failure {
    let field = |name: &str| {
        problem
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let code = field("code").to_owned();
    let mut text = field("title").to_owned();
    if !field("detail").is_empty() {
        text = format!("{text}: {}", field("detail"));
    }
    for error in problem
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        // About the whole: no field is wrong.
        match part("field") {
            "" => text.push_str(&format!("\n  {}", part("message"))),
            field => text.push_str(&format!("\n  {}: {}", flag(field), part("message"))),
        }
    }
    text = in_flags(text);
    text.push_str(&format!("\n  code: {code}"));
    if !field("requestId").is_empty() {
        text.push_str(&format!("\n  request: {}", field("requestId")));
    }
    let exit = Exit::from_status(status.as_u16());
    let failure = Failure::new(exit, text).with_problem(problem.clone());
    if is_about(&problem, "cluster") {
        return failure.next("`tenantry clusters list` shows those that there are");
    }
    match next(exit, &code, retry_after) {
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// The flag for a field whose name on the command line is another one.
fn flag(field: &str) -> &str {
    match field {
        "after" => "--head",
        "dbHost" | "dbPort" | "dbName" => "--database-url",
        "ttl" => "--ttl",
        field => field,
    }
}

/// What the API calls by its own names, as it is called on the command line.
fn in_flags(text: String) -> String {
    [
        ("`endPrevious`", "`--end-previous`"),
        ("(`shutOut`)", "(`--shut-out`)"),
        ("(`disconnect`)", "(`--disconnect`)"),
        ("(`extensions`)", "(`--accept-extension NAME`)"),
        ("an `owner` without `ttl`", "an `owner` with `--ttl never`"),
        (
            "Some fields are wrong; `errors` names each of them.",
            "what was given is wrong.",
        ),
    ]
    .iter()
    .fold(text, |text, (api, here)| text.replace(api, here))
}

/// Whether a problem is about this field.
fn is_about(problem: &Value, field: &str) -> bool {
    let errors = problem.get("errors").and_then(Value::as_array);
    let mut errors = errors.into_iter().flatten();
    errors.any(|error| error.get("field").and_then(Value::as_str) == Some(field))
}

/// What helps, by code where one has its own way out, else by kind.
fn next(exit: Exit, code: &str, retry_after: Option<&str>) -> Option<String> {
    let text = match (code, exit) {
        ("SLUG_TAKEN", _) => {
            "choose another slug; a deleted tenant keeps its slug until it is purged (`tenantry tenants list --status deleting`)"
        }
        ("DOMAIN_TAKEN", _) => "choose another domain, or take it from the tenant that has it",
        ("OPERATION_IN_PROGRESS", _) => {
            "wait for the other operation of this tenant, then try again"
        }
        ("OPERATION_NOT_FOUND", _) => {
            "operations are named by their id: `tenantry operations list` shows them"
        }
        ("LAST_OWNER", _) => {
            "make another owner first: `tenantry operators create NAME --role owner`"
        }
        ("TOKEN_EXPIRED", _) => {
            "an owner issues another: `tenantry operators rotate NAME`; where nobody can, `tenantry init --issue-token NAME` on a machine that reaches the catalog"
        }
        ("ROLE_REQUIRED", _) => {
            "ask an owner, who can change your role: `tenantry operators update NAME --role ROLE`"
        }
        ("OPERATION_PARKED", _) => "`tenantry status` shows it and what helps",
        (_, Exit::NotAllowed) => {
            "give a valid operator token: --token, TENANTRY_TOKEN, or run this where `tenantry dev` runs"
        }
        ("CLUSTER_NOT_FOUND", _) => "`tenantry clusters list` shows those that there are",
        ("CLUSTER_IN_USE", _) => {
            "`tenantry clusters drain` first; spares go by themselves then, deleted tenants with `tenantry tenants delete --purge`"
        }
        ("NO_CAPACITY", _) => {
            "`tenantry clusters list` shows who has places; raise --capacity, or add one with `tenantry clusters add`"
        }
        ("PAUSED", _) => {
            "`tenantry status` tells who has paused and why; `tenantry resume` ends the pause"
        }
        ("OVERLAP_RUNNING", _) => {
            "wait until that is over, or end that login now, with its sessions: --end-previous"
        }
        ("TENANT_ADOPTED", _) => {
            "`tenantry tenants unadopt TENANT` gives the database back; deleted without --purge, it is gone after its grace period"
        }
        ("TENANT_NOT_FOUND", _) => "`tenantry tenants list` shows those that there are",
        ("LOGIN_NOT_FOUND", _) => {
            "`tenantry tenants logins list TENANT` shows those that there are"
        }
        ("ALIAS_NOT_FOUND", _) => {
            "`tenantry tenants aliases list TENANT` shows those that there are"
        }
        ("DOMAIN_NOT_FOUND", _) => {
            "`tenantry tenants domains list TENANT` shows those that there are"
        }
        ("OPERATOR_NOT_FOUND", _) => "`tenantry operators list` shows who there is",
        (_, Exit::NotFound) => {
            "look at --url: it must be the base domain of a server that knows this command"
        }
        (_, Exit::Unavailable) => {
            return Some(retry_after.map_or_else(
                || "try again in a moment".to_owned(),
                |seconds| format!("try again in {seconds} s"),
            ));
        }
        (_, Exit::Failed) => "look for the request id in the server's log",
        _ => return None,
    };
    Some(text.to_owned())
}

/// An answer that is none of ours: another program listens there, or a proxy stands between.
fn foreign(status: StatusCode, base: &Url) -> Failure {
    let exit = match Exit::from_status(status.as_u16()) {
        Exit::Unavailable => Exit::Unavailable,
        _ => Exit::Failed,
    };
    let base = base.as_str().trim_end_matches('/');
    Failure::new(
        exit,
        format!("{base} answered {status}, and not as Tenantry does"),
    )
    .next("check --url: it must be the base domain of the control plane, not a tenant's host or another program's port")
    .coded("NOT_TENANTRY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_fields_code_and_request() {
        let problem = serde_json::json!({
            "type": "about:blank", "title": "Invalid request", "status": 422, "code": "INVALID",
            "detail": "Some fields are wrong.", "requestId": "r-1",
            "errors": [{ "field": "slug", "message": "must be a label" }],
        });
        let failure = failure(StatusCode::UNPROCESSABLE_ENTITY, problem.clone(), None);
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            failure.text(),
            "error: Invalid request: Some fields are wrong.\n  slug: must be a label\n  code: INVALID\n  request: r-1"
        );
        assert_eq!(
            failure.json(),
            serde_json::json!({ "error": {
                "code": "INVALID", "message": "Invalid request: Some fields are wrong.", "exit": 2,
                "status": 422, "requestId": "r-1",
                "fields": [{ "field": "slug", "message": "must be a label" }],
            } })
        );
    }

    #[test]
    fn an_unavailable_server_says_when_to_try_again() {
        let problem = serde_json::json!({ "title": "Busy", "code": "CATALOG_UNAVAILABLE" });
        let failure = failure(StatusCode::SERVICE_UNAVAILABLE, problem, Some("2"));
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert!(failure.text().contains("next: try again in 2 s"));
    }
}
