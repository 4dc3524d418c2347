//! Where the cases are played: a catalog, its Postgres and the survivor, and a victim.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Serve, Tenant};

use super::cases::{Case, Fault};
use crate::wait;

/// The longest that anything may take.
const BOUND: Duration = Duration::from_secs(90);

/// All that is needed.
pub struct Stage {
    dev: Dev,
    victim: Serve,
    victims: u32,
    played: u32,
}

/// What a case has to do with.
struct Subject {
    slug: String,
    /// None: it is yet to be created.
    tenant: Option<Tenant>,
    /// Of a login that is to be ended.
    login: Option<String>,
}

impl Stage {
    pub async fn set() -> Self {
        let dev = Dev::start();
        let victim = Self::a_victim(&dev, 0);
        let stage = Self {
            dev,
            victim,
            victims: 1,
            played: 0,
        };
        let pg = stage.dev.pg();
        wait::until(BOUND, "the template is made", async || {
            let ready = "SELECT count(*)::text FROM templates WHERE ready_at IS NOT NULL";
            pg.texts(&pg.catalog, ready).await == ["1"]
        })
        .await;
        stage.settled("at first").await;
        stage
    }

    fn a_victim(dev: &Dev, number: u32) -> Serve {
        let name = format!("victim{number}");
        let fault = format!("@{}", dev.folder().join("fault").display());
        Serve::join(dev, &name, &[("TENANTRY_FAULT", &fault)])
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.dev.folder().join(format!("fault{ending}"))
    }

    fn operator_at_victim(&self) -> Client {
        self.victim.base().bearer(&self.dev.operator_token())
    }

    /// Plays a case to its end.
    pub async fn play(&mut self, case: &Case) {
        self.played += 1;
        let subject = self.prepared(case).await;
        for ending in [".fired", ".go"] {
            let _ = std::fs::remove_file(self.file(ending));
        }
        let last = self.last_operation().await;
        std::fs::write(self.file(""), case.file()).expect("the fault is set");
        let asking = {
            let (operator, case) = (self.operator_at_victim(), case.clone());
            let request = request(&operator, &case, &subject);
            tokio::spawn(async move { request.try_send().await })
        };
        wait::until(BOUND, &format!("{case}: it strikes"), async || {
            self.file(".fired").exists()
        })
        .await;
        self.after_it_struck(case).await;
        // Whatever it answers: most often it cannot know.
        let _: Option<Answer> = asking.await.expect("asked");
        self.settled(&case.to_string()).await;
        assert!(
            !self.file("").exists(),
            "{case}: a fault is left that has not struck"
        );
        if let Some(wanted) = case.ends() {
            let sql = format!(
                "SELECT status FROM operations WHERE kind = '{}' AND id > '{last}' ORDER BY id LIMIT 1",
                case.kind.name
            );
            let pg = self.dev.pg();
            assert_eq!(pg.texts(&pg.catalog, &sql).await, [wanted], "{case}");
        }
        self.whole_or_gone(case, &subject).await;
        no_difference(&self.dev, &case.to_string()).await;
        let purge = format!("/setup/tenants/{}?purge=true", subject.slug);
        let purged = self.dev.operator().delete(&purge).await;
        assert!([200, 404].contains(&purged.status), "{case}: {purged}");
    }

    /// No row, database or role is left of all that was played.
    pub async fn leaves_nothing(&mut self) {
        assert!(self.played > 0);
        self.settled("at the end").await;
        let pg = self.dev.pg();
        let tenants = "SELECT slug FROM tenants WHERE status <> 'purged'";
        assert_eq!(pg.texts(&pg.catalog, tenants).await, [""; 0]);
        let roles = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tenant\\_%' OR rolname LIKE 'tnt\\_jit\\_%'";
        assert_eq!(pg.texts("postgres", roles).await, [""; 0]);
        no_difference(&self.dev, "at the end").await;
        assert_eq!(self.dev.stop(), 0);
    }

    async fn last_operation(&self) -> String {
        let pg = self.dev.pg();
        let sql = "SELECT coalesce((SELECT id FROM operations ORDER BY id DESC LIMIT 1)::text,
                          '00000000-0000-0000-0000-000000000000')";
        pg.texts(&pg.catalog, sql).await.remove(0)
    }

    async fn after_it_struck(&mut self, case: &Case) {
        match case.fault {
            Fault::Kill(_) => {
                let ended = self.victim.process().wait(BOUND);
                assert!(!ended.success(), "{case}");
                self.lease_ends().await;
                let name = format!("{}@{}", self.victim.process().pid(), self.victim.address());
                let pg = self.dev.pg();
                let sql = format!("UPDATE routers SET lease_until = now() WHERE name = '{name}'");
                pg.run(&pg.catalog, &sql).await;
                self.victim = Self::a_victim(&self.dev, self.victims);
                self.victims += 1;
            }
            Fault::TwoWorkers(_) => {
                self.lease_ends().await;
                self.settled(&format!("{case}: by the other one")).await;
                self.victim.process().signal(Signal::CONT);
            }
            Fault::Lost => {
                let pg = self.dev.pg();
                let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                           WHERE application_name LIKE 'tenantry/op/%'";
                pg.texts("postgres", end).await;
                std::fs::write(self.file(".go"), "").expect("it goes on");
                // And in the middle, as far as that is to be hit.
                for _ in 0..5 {
                    pg.texts("postgres", end).await;
                }
            }
            Fault::Twice => self.lease_ends().await,
            Fault::Error(_) | Fault::UndoFails(_) => {}
        }
    }

    /// What the victim works on is nobody's now and not in some seconds. (Its router's own lease, where it
    /// only stands still, has to end by itself: it would serve by it when it goes on.)
    async fn lease_ends(&self) {
        let pg = self.dev.pg();
        let sql = "UPDATE operations SET lease_until = now() WHERE lease_until > now()";
        pg.run(&pg.catalog, sql).await;
    }

    /// Waits until no operation is under way.
    async fn settled(&self, what: &str) {
        let pg = self.dev.pg();
        let open =
            "SELECT kind || ' ' || status FROM operations WHERE status NOT IN ('done', 'failed')";
        wait::until(
            BOUND,
            &format!("{what}: nothing is under way"),
            async || pg.texts(&pg.catalog, open).await.is_empty(),
        )
        .await;
    }

    /// Makes what the case begins with.
    async fn prepared(&self, case: &Case) -> Subject {
        let operator = self.dev.operator();
        let mut subject = Subject {
            slug: tenantry_testkit::unique("fault"),
            tenant: None,
            login: None,
        };
        if case.kind.name == "create" {
            return subject;
        }
        let tenant = self.dev.tenant("fault").await;
        subject.slug.clone_from(&tenant.slug);
        let path = format!("/setup/tenants/{}", tenant.id);
        match case.kind.name {
            "undelete" => drop(operator.delete(&path).await.expect(200)),
            "resume" => {
                let reason = json!({ "reason": "a test" });
                let asked = operator.post(&format!("{path}/suspend"), reason).await;
                asked.expect(200);
            }
            "end-login" => {
                let wanted = json!({ "role": "readonly", "ttl": "1h" });
                let made = operator.post(&format!("{path}/logins"), wanted).await;
                let made = made.expect(201);
                subject.login = made["dbUsername"].as_str().map(str::to_owned);
            }
            _ => {}
        }
        subject.tenant = Some(tenant);
        subject
    }

    /// Asks until it is served: a dead router's share of the budget is free again only when that is
    /// certainly dead.
    async fn served(&self, case: &Case, ask: impl AsyncFn() -> Answer) {
        wait::until(BOUND, &format!("{case}: it is served"), async || {
            let answer = ask().await;
            assert!([200, 503].contains(&answer.status), "{case}: {answer}");
            answer.status == 200
        })
        .await;
    }

    /// The tenant is all there, in the state that its operation ended in, or not at all.
    async fn whole_or_gone(&self, case: &Case, subject: &Subject) {
        let operator = self.dev.operator();
        let path = format!("/setup/tenants/{}", subject.slug);
        let shown = operator.get(&path).await;
        let ended = case.ends();
        match (case.kind.name, ended) {
            ("create", Some("failed")) | ("purge", _) => {
                shown.problem(404, "TENANT_NOT_FOUND");
                return;
            }
            ("create", None) if shown.status == 404 => return,
            _ => {}
        }
        let shown = shown.expect(200);
        let status = shown["status"].as_str().unwrap_or_default();
        let wanted = match case.kind.name {
            "delete" => "deleting",
            "suspend" => "suspended",
            _ => "active",
        };
        assert_eq!(status, wanted, "{case}");
        match (&subject.tenant, status) {
            (None, _) => {
                let host = self.dev.at(&subject.slug);
                let login = json!({ "email": "ann@fault.example", "password": ADMIN_PASSWORD });
                self.served(case, async || host.post("/auth/login", login.clone()).await)
                    .await;
                let (admin, _) = host.sign_in("ann@fault.example", ADMIN_PASSWORD).await;
                admin.get("/users").await.expect(200);
            }
            (Some(tenant), "active") => {
                self.served(case, async || tenant.admin.get("/users").await)
                    .await;
            }
            (Some(tenant), _) => {
                let answer = tenant.admin.get("/users").await;
                assert!([403, 404].contains(&answer.status), "{case}: {answer}");
                let product = (&tenant.db_username, &tenant.db_password);
                let pg = self.dev.pg();
                let entered = pg.connect(product.0, product.1, &tenant.db_name);
                assert!(entered.await.is_err(), "{case}: the product gets in");
            }
        }
    }
}

/// What begins the operation, sent to the victim.
fn request(operator: &Client, case: &Case, subject: &Subject) -> tenantry_testkit::Request {
    let path = format!("/setup/tenants/{}", subject.slug);
    let post = |tail: &str, body: Value| {
        operator
            .request(Method::POST, &format!("{path}/{tail}"))
            .json(&body)
    };
    match case.kind.name {
        "create" => operator
            .request(Method::POST, "/setup/tenants")
            .json(&json!({
                "name": "Fault", "slug": subject.slug,
                "admin": { "email": "ann@fault.example", "password": ADMIN_PASSWORD },
            })),
        "delete" => operator.request(Method::DELETE, &path),
        "purge" => operator.request(Method::DELETE, &format!("{path}?purge=true")),
        "undelete" => post("undelete", json!({})),
        "suspend" => post("suspend", json!({ "reason": "a test" })),
        "resume" => post("resume", json!({})),
        "rotate" => post("rotate-credentials", json!({})),
        "credentials" => post("credentials", json!({ "overlap": "0s" })),
        "issue-login" => post("logins", json!({ "role": "user", "ttl": "1h" })),
        "end-login" => {
            let login = subject.login.as_deref().unwrap_or_default();
            operator.request(Method::DELETE, &format!("{path}/logins/{login}"))
        }
        other => panic!("nothing begins a {other}"),
    }
}

/// The doctor finds nothing.
async fn no_difference(dev: &Dev, what: &str) {
    let operator = dev.operator();
    let mut run = operator.post("/setup/doctor", json!({})).await.expect(202);
    let path = format!("/setup/doctor/{}", run["runId"].as_str().expect("a run"));
    wait::until(
        BOUND,
        &format!("{what}: the doctor has looked"),
        async || {
            let asked = operator.get(&path).await.expect(200);
            asked["status"] != "running"
        },
    )
    .await;
    run = operator.get(&path).await.expect(200);
    assert_eq!(run["status"], "done", "{what}: {run:#}");
    let counts = &run["report"]["counts"];
    assert_eq!(
        (&counts["errors"], &counts["warnings"]),
        (&json!(0), &json!(0)),
        "{what}: {run:#}"
    );
}
