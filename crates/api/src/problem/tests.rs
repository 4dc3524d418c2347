use super::*;

async fn body_of(response: Response) -> Value {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 16)
        .await
        .expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn id() -> RequestId {
    RequestId::parse("req-1").expect("a request id")
}

#[tokio::test]
async fn a_problem_names_its_code_its_fields_and_the_request() {
    let problem = Problem::validation(vec![
        FieldError::new("slug", "must be short"),
        FieldError::new("admin.email", "is no mail address"),
    ]);
    let response = render(problem.into_response(), &id(), Audience::Program).0;
    assert_eq!(response.status(), 422);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let body = body_of(response).await;
    assert_eq!(body["type"], "urn:tenantry:error:VALIDATION_FAILED");
    assert_eq!(body["title"], "Validation failed");
    assert_eq!(body["status"], 422);
    assert_eq!(body["requestId"], "req-1");
    assert_eq!(body["errors"][1]["field"], "admin.email");
    assert!(body.get("retryAfter").is_none());
}

#[tokio::test]
async fn a_cause_never_reaches_the_client() {
    let cause = std::io::Error::other("/var/lib/secret: password=hunter2");
    let response = render(
        Problem::internal(cause).into_response(),
        &id(),
        Audience::Program,
    )
    .0;
    assert_eq!(response.status(), 500);
    let text = body_of(response).await.to_string();
    assert!(
        !text.contains("hunter2") && !text.contains("/var"),
        "{text}"
    );
}

#[tokio::test]
async fn what_can_be_tried_again_says_when() {
    let problem = Problem::new(ErrorKind::Unavailable, "TENANT_NOT_READY").retry_after(3);
    let response = render(problem.into_response(), &id(), Audience::Program).0;
    assert_eq!(response.headers()[RETRY_AFTER], "3");
    assert_eq!(body_of(response).await["retryAfter"], 3);
}

#[tokio::test]
async fn bare_errors_of_axum_become_problems_and_keep_their_headers() {
    let bare = (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET,HEAD")]).into_response();
    let response = render(bare, &id(), Audience::Program).0;
    assert_eq!(response.headers()[ALLOW], "GET,HEAD");
    assert_eq!(body_of(response).await["code"], "METHOD_NOT_ALLOWED");

    let text = (StatusCode::BAD_REQUEST, "Invalid URL: internal words").into_response();
    let body = body_of(render(text, &id(), Audience::Program).0).await;
    assert_eq!(body["code"], "BAD_REQUEST");
    assert!(!body.to_string().contains("internal words"));

    let elsewhere = (StatusCode::NOT_FOUND, [(ALLOW, "GET,HEAD")]).into_response();
    assert!(
        !render(elsewhere, &id(), Audience::Program)
            .0
            .headers()
            .contains_key(ALLOW)
    );

    let unauthenticated = render(
        Problem::unauthenticated().into_response(),
        &id(),
        Audience::Program,
    )
    .0;
    assert_eq!(unauthenticated.headers()[WWW_AUTHENTICATE], "Bearer");
}

#[tokio::test]
async fn answers_pass_untouched() {
    let response = render(
        (StatusCode::CREATED, "made").into_response(),
        &id(),
        Audience::Program,
    )
    .0;
    assert_eq!(response.status(), 201);
    let bytes = axum::body::to_bytes(response.into_body(), 100)
        .await
        .expect("a body");
    assert_eq!(&bytes[..], b"made");
}
