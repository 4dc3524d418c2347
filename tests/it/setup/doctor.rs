//! `POST /setup/doctor`, `GET /setup/doctor` and `GET /setup/health`, and `tenantry doctor` on and off line.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::Dev;

use crate::wait;

async fn ended(dev: &Dev, run: &Value) -> Value {
    let path = format!("/setup/doctor/{}", run["runId"].as_str().expect("an id"));
    let mut last = Value::Null;
    wait::until(Duration::from_secs(60), "the end of a run", async || {
        last = dev.operator().get(&path).await.expect(200);
        last["status"] != "running"
    })
    .await;
    last
}

fn codes(run: &Value) -> Vec<&str> {
    let findings = run["report"]["findings"].as_array().expect("findings");
    let differences = findings.iter().filter(|one| one["severity"] != "notice");
    differences
        .map(|one| one["code"].as_str().expect("a code"))
        .collect()
}

#[tokio::test]
async fn what_differs_is_found_put_right_on_request_and_shown_in_the_health() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let globex = dev.tenant("globex").await;
    let operator = dev.operator();

    let begun = operator.post("/setup/doctor", json!({})).await;
    assert!(
        begun
            .header("location")
            .is_some_and(|at| at.starts_with("/setup/doctor/"))
    );
    let run = ended(&dev, &begun.expect(202)).await;
    assert_eq!(codes(&run), Vec::<&str>::new(), "{run:#}");
    assert_eq!(run["report"]["checked"]["unseen"], 0, "{run:#}");
    let health = operator.get("/setup/health").await.expect(200);
    assert_eq!(health["status"], "healthy", "{health}");
    assert_eq!(health["doctor"]["runId"], run["runId"]);

    let pg = dev.pg();
    let named = |slug: &str| format!("tenant_{}", slug.replace('-', "_"));
    let (here, there) = (named(&acme.slug), named(&globex.slug));
    let spoil = format!(
        "GRANT CONNECT ON DATABASE {here} TO {there}_user; ALTER ROLE {here}_router NOLOGIN"
    );
    pg.run("postgres", &spoil).await;
    let begun = operator
        .post(
            "/setup/doctor",
            json!({ "fix": true, "tenant": globex.slug }),
        )
        .await;
    let run = ended(&dev, &begun.expect(202)).await;
    assert_eq!(codes(&run), Vec::<&str>::new(), "{run:#}");
    let begun = operator
        .post("/setup/doctor", json!({ "quick": true }))
        .await;
    let run = ended(&dev, &begun.expect(202)).await;
    assert_eq!(
        codes(&run),
        ["GRANT_UNEXPECTED", "ROLE_LOCKED_OUT"],
        "{run:#}"
    );
    assert_eq!(run["report"]["findings"][0]["subject"]["slug"], acme.slug);
    let health = operator.get("/setup/health").await.expect(200);
    assert_eq!(health["status"], "differences", "{health}");
    assert_eq!(health["doctor"]["counts"]["errors"], 2, "{health}");

    // By the command line: what can be put right is, what cannot is told with 1.
    let told = dev.cli(&["doctor", "--fix"]).expect(1);
    assert!(told.stdout.contains("GRANT_UNEXPECTED"), "{told}");
    assert!(told.stdout.contains("ROLE_LOCKED_OUT"), "{told}");
    pg.run("postgres", &format!("ALTER ROLE {here}_router LOGIN"))
        .await;
    let told = dev.cli(&["doctor", "--tenant", &acme.slug]).expect(0);
    assert!(told.stdout.contains("Nothing differs."), "{told}");
    // Without asking the server.
    dev.cli(&["doctor", "--offline"]).expect(0);
    let newest = operator.get("/setup/doctor").await.expect(200);
    assert_eq!(newest["askedBy"], "tenantry:doctor --offline", "{newest}");
    dev.cli(&["doctor", "--tenant", "nobody"]).expect(3);
}

#[tokio::test]
async fn what_is_asked_of_the_doctor_is_checked() {
    let dev = tenantry_testkit::shared();
    let operator = dev.operator();
    let unknown = operator
        .post("/setup/doctor", json!({ "tenant": "no-such-tenant" }))
        .await;
    unknown.problem(404, "TENANT_NOT_FOUND");
    let wrong = operator
        .post("/setup/doctor", json!({ "fix": "yes" }))
        .await;
    assert_eq!(wrong.wrong_fields(), ["fix"]);
    let absent = operator
        .get("/setup/doctor/00000000-0000-7000-8000-000000000000")
        .await;
    absent.problem(404, "DOCTOR_RUN_NOT_FOUND");
}
