//! Where the cases are played: a catalog, its Postgres and the survivor, and a victim.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Options, Serve, Tenant};
use tokio::task::JoinHandle;

use super::begun::{self, ANN, How};
use super::cases::{Case, Fault};
use crate::wait;

/// The longest that anything may take.
const BOUND: Duration = Duration::from_secs(90);

/// What a router that stands still is waited for; by default longer than a case takes otherwise.
const LEASE: (&str, &str) = ("TENANTRY_ROUTER_LEASE", "2s");

/// The drives that ended, whichever way.
const DRIVES: &str = "tenantry_operations_total";

/// All that is needed.
pub struct Stage {
    dev: Dev,
    victim: Serve,
    /// Asks the survivor. Kept, and the next one as well: to make one takes longer than a request.
    operator: Client,
    /// Asks the victim.
    asker: Client,
    /// How many spares the victim keeps.
    spares: usize,
    victims: u32,
    played: u32,
}

/// What a case has to do with.
#[derive(Default)]
pub struct Subject {
    pub slug: String,
    /// None: it is yet to be created, or was by the case.
    tenant: Option<Tenant>,
    /// Of a login that is to be ended.
    pub login: Option<String>,
    /// The product's way in, where it is known.
    product: Option<(String, String)>,
    /// A way in that is to be none.
    former: Option<(String, String)>,
}

/// What there is of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Suspended,
    Deleting,
    Gone,
}

impl Stage {
    pub async fn set() -> Self {
        let dev = Dev::start_with(Options::default().env(LEASE.0, LEASE.1));
        let mut victim = spawned(&dev, 0, 0);
        victim.wait_until_ready();
        let stage = Self {
            operator: dev.operator(),
            asker: victim.base().bearer(&dev.operator_token()),
            dev,
            victim,
            spares: 0,
            victims: 1,
            played: 0,
        };
        wait::until(BOUND, "the template is made", async || {
            let ready = "SELECT count(*)::text FROM templates WHERE ready_at IS NOT NULL";
            stage.asked(ready).await == ["1"]
        })
        .await;
        stage.settled("at first").await;
        stage
    }

    /// Plays a case to its end.
    pub async fn play(&mut self, case: &Case) {
        self.played += 1;
        let mut subject = self.prepared(case).await;
        for ending in [".fired", ".go"] {
            let _ = std::fs::remove_file(self.file(ending));
        }
        let last = self.last_operation().await;
        let driven = match case.fault {
            // One that begins it as it starts has driven nothing before.
            Fault::TwoWorkers(_) if begun::how(case.kind) != Some(How::AtStart) => {
                self.drives(case).await
            }
            _ => 0.0,
        };
        std::fs::write(self.file(""), case.file()).expect("the fault is set");
        let asking = self.begin(case, &subject).await;
        wait::until(BOUND, &format!("{case}: it strikes"), async || {
            self.file(".fired").exists()
        })
        .await;
        self.dev.process().signal(Signal::CONT);
        self.after_it_struck(case).await;
        let frozen = matches!(case.fault, Fault::TwoWorkers(_));
        if let (Some(asking), false) = (asking, frozen) {
            // Whatever it answers: most often it cannot know.
            let _: Option<Answer> = asking.await.expect("asked");
        }
        self.settled(&case.to_string()).await;
        assert!(
            !self.file("").exists(),
            "{case}: a fault is left that has not struck"
        );
        self.ended_as_it_should(case, &last).await;
        let state = self.after(case, &subject).await;
        self.is(case, &subject, state).await;
        if frozen {
            self.wakes_too_late(case, &mut subject, driven).await;
        }
        no_difference(&self.operator, &case.to_string()).await;
        self.victim.wait_until_ready();
        if subject.slug.is_empty() {
            return;
        }
        let path = format!("/setup/tenants/{}", subject.slug);
        let adopted = ["adopt", "unadopt"].contains(&case.kind.name);
        let gone = match adopted {
            // Nobody drops at once what was there before us.
            true => {
                self.operator
                    .post(&format!("{path}/unadopt"), json!({}))
                    .await
            }
            false => self.operator.delete(&format!("{path}?purge=true")).await,
        };
        assert!([200, 202, 404].contains(&gone.status), "{case}: {gone}");
        self.settled(&format!("{case}: purged")).await;
        if adopted {
            let (pg, name) = (self.dev.pg(), begun::database_of(&subject.slug));
            pg.run("postgres", &format!("DROP DATABASE {name}")).await;
            pg.run("postgres", &format!("DROP ROLE {name}_team")).await;
        }
    }

    /// No row, database or role is left of all that was played.
    pub async fn leaves_nothing(&mut self) {
        assert!(self.played > 0);
        self.no_spares().await;
        self.settled("at the end").await;
        let tenants = "SELECT slug FROM tenants WHERE status <> 'purged'";
        assert_eq!(self.asked(tenants).await, [""; 0]);
        let roles = "SELECT rolname::text FROM pg_roles
                     WHERE rolname LIKE 'tenant\\_%' OR rolname LIKE 'tnt\\_jit\\_%'";
        assert_eq!(self.dev.pg().texts("postgres", roles).await, [""; 0]);
        no_difference(&self.operator, "at the end").await;
        assert_eq!(self.dev.stop(), 0);
    }

    async fn begin(
        &mut self,
        case: &Case,
        subject: &Subject,
    ) -> Option<JoinHandle<Option<Answer>>> {
        let how = begun::how(case.kind).expect("it is known how it begins");
        match how {
            How::Asked => {}
            // What both would do at their next look the victim does.
            How::Due => self.dev.process().signal(Signal::STOP),
            How::AtStart => {
                let spares = self.stock().await + 1;
                self.another_victim(spares).await;
                return None;
            }
        }
        if case.kind.name == "retire-credentials" {
            let due = "UPDATE logins SET disable_at = now() WHERE role = 'user_old'";
            self.catalog(due).await;
            return None;
        }
        let request = begun::request(&self.asker, case.kind, subject);
        Some(tokio::spawn(request.try_send()))
    }

    async fn after_it_struck(&mut self, case: &Case) {
        match case.fault {
            Fault::Kill(_) | Fault::KilledUndoing(_) => {
                let ended = self.victim.process().wait(BOUND);
                assert!(!ended.success(), "{case}");
                self.lease_ends().await;
                self.another_victim(self.spares).await;
            }
            Fault::TwoWorkers(_) => self.lease_ends().await,
            Fault::Lost => self.connections_end(case).await,
            Fault::Twice => self.lease_ends().await,
            Fault::Error(_) | Fault::UndoFails(_) => {}
        }
    }

    /// Ends what the victim has open on the cluster, lets it go on, and goes on ending it for a while.
    async fn connections_end(&self, case: &Case) {
        let pg = self.dev.pg();
        // Looked at first: whoever asks is no connection of the victim's.
        let end = "WITH open AS MATERIALIZED (
                     SELECT pid, application_name FROM pg_stat_activity
                     WHERE application_name LIKE 'tenantry/op/%' OR datname LIKE 'tenant\\_%'
                        OR datname LIKE 'tnt\\_%')
                   SELECT application_name FROM open WHERE pg_terminate_backend(pid)";
        let of_operations = async || {
            let ended = pg.texts("postgres", end).await;
            let of = |name: &String| name.starts_with("tenantry/op/");
            ended.into_iter().filter(of).count()
        };
        let mut lost = of_operations().await;
        std::fs::write(self.file(".go"), "").expect("it goes on");
        let until = Instant::now() + Duration::from_secs(20);
        // Some of them in the middle, as far as that is to be hit; one at the least.
        let mut looks = 0;
        while looks < 10 || lost == 0 {
            lost += of_operations().await;
            looks += 1;
            assert!(Instant::now() < until, "{case}: no connection was lost");
        }
    }

    /// The frozen one wakes up in a world that has gone on without it, and changes nothing in it.
    async fn wakes_too_late(&self, case: &Case, subject: &mut Subject, driven: f64) {
        let state = self.turned(case, subject).await;
        self.settled(&format!("{case}: meanwhile")).await;
        self.victim.signal(Signal::CONT);
        wait::until(BOUND, &format!("{case}: it gives up"), async || {
            self.drives(case).await > driven
        })
        .await;
        self.settled(&format!("{case}: afterwards")).await;
        self.is(case, subject, state).await;
    }

    /// The survivor makes of what the operation did something else, by other operations.
    async fn turned(&self, case: &Case, subject: &mut Subject) -> State {
        let operator = &self.operator;
        let path = format!("/setup/tenants/{}", subject.slug);
        let post = async |tail: &str, body: Value| {
            let answer = operator.post(&format!("{path}/{tail}"), body).await;
            assert_eq!(answer.status / 100, 2, "{case}: {answer}");
            answer.json()
        };
        // What is going on yet is waited for by whoever asked for this.
        let delete = async |path: &str| {
            let answer = operator.delete(path).await;
            assert_eq!(answer.status / 100, 2, "{case}: {answer}");
        };
        match case.kind.name {
            "create" => {
                delete(&format!("{path}?purge=true")).await;
                return State::Gone;
            }
            "adopt" => {
                post("unadopt", json!({})).await;
                return State::Gone;
            }
            "unadopt" => self.adopt(case, &subject.slug).await,
            // Another one of that name, whose database and logins have the names of the former.
            "purge" => {
                let customer = begun::customer(&subject.slug);
                let made = operator.post("/setup/tenants", customer).await;
                assert_eq!(made.status / 100, 2, "{case}: {made}");
                subject.tenant = None;
                subject.product = None;
            }
            "delete" => drop(post("undelete", json!({})).await),
            "undelete" => {
                delete(&path).await;
                return State::Deleting;
            }
            "suspend" => drop(post("resume", json!({})).await),
            "resume" => {
                post("suspend", json!({ "reason": "a test" })).await;
                return State::Suspended;
            }
            "rotate" | "rotate-all" => drop(post("rotate-credentials", json!({})).await),
            // The names of logins alternate: that of the former is the new one's.
            "credentials" | "retire-credentials" => {
                let issued = post("credentials", json!({ "overlap": "0s" })).await;
                let text = |field: &str| issued[field].as_str().map(str::to_owned);
                subject.product = text("dbUsername").zip(text("dbPassword"));
                subject.former = None;
            }
            "issue-login" => {
                let logins = operator.get(&format!("{path}/logins")).await.expect(200);
                for login in logins["items"].as_array().expect("a list") {
                    let name = login["dbUsername"].as_str().expect("a name");
                    delete(&format!("{path}/logins/{name}")).await;
                }
            }
            _ => {}
        }
        State::Active
    }

    /// How many drives of the kind have ended in the victim.
    async fn drives(&self, case: &Case) -> f64 {
        let metrics = self.victim.metrics().await;
        metrics.sum(DRIVES, &[("kind", case.kind.name)])
    }

    /// Ends the victim there is and begins the next; waits until that is ready only where nothing is to
    /// become of it before.
    async fn another_victim(&mut self, spares: usize) {
        self.victim.process().kill9();
        let name = format!("{}@{}", self.victim.process().pid(), self.victim.address());
        let dead = format!("UPDATE routers SET lease_until = now() WHERE name = '{name}'");
        self.catalog(&dead).await;
        self.victim = spawned(&self.dev, self.victims, spares);
        self.asker = self.victim.base().bearer(self.operator.token());
        self.spares = spares;
        self.victims += 1;
        if !self.file("").exists() {
            self.victim.wait_until_ready();
        }
    }

    /// What the victim works on is nobody's now and not in some seconds. (Its router's own lease, where it
    /// only stands still, has to end by itself: it would serve by it when it goes on.)
    async fn lease_ends(&self) {
        self.catalog("UPDATE operations SET lease_until = now() WHERE lease_until > now()")
            .await;
    }

    async fn ended_as_it_should(&self, case: &Case, last: &str) {
        let sql = format!(
            "SELECT status FROM operations WHERE kind = '{}' AND id > '{last}' ORDER BY id LIMIT 1",
            case.kind.name
        );
        let ended = self.asked(&sql).await;
        match case.ends() {
            Some(wanted) => assert_eq!(ended, [wanted], "{case}"),
            None => assert_eq!(ended.len(), 1, "{case}"),
        }
    }

    /// Waits until no operation is under way.
    async fn settled(&self, what: &str) {
        let open = "SELECT kind || ' ' || status FROM operations
                    WHERE status NOT IN ('done', 'failed')";
        let what = format!("{what}: nothing is under way");
        wait::until(BOUND, &what, async || self.asked(open).await.is_empty()).await;
    }

    /// Makes what the case begins with.
    async fn prepared(&mut self, case: &Case) -> Subject {
        let stocked = case.kind.from_spare || case.kind.name == "unspare";
        if stocked && (self.spares, self.stock().await) != (1, 1) {
            self.no_spares().await;
            self.another_victim(1).await;
        } else if !stocked && case.kind.name != "spare" && self.spares > 0 {
            self.no_spares().await;
        }
        if stocked {
            wait::until(BOUND, &format!("{case}: a spare"), async || {
                self.stock().await == 1
            })
            .await;
            self.settled(&format!("{case}: before")).await;
        }
        let operator = &self.operator;
        let mut subject = Subject::default();
        match case.kind.name {
            "spare" | "unspare" => return subject,
            "create" => {
                subject.slug = tenantry_testkit::unique("fault");
                return subject;
            }
            "adopt" | "unadopt" => {
                subject.slug = tenantry_testkit::unique("fault");
                self.somebodys_database(&subject.slug).await;
                if case.kind.name == "unadopt" {
                    self.adopt(case, &subject.slug).await;
                }
                return subject;
            }
            _ => {}
        }
        let tenant = self.dev.tenant_once_served("fault", BOUND).await;
        subject.slug.clone_from(&tenant.slug);
        let product = (tenant.db_username.clone(), tenant.db_password.clone());
        subject.product = Some(product.clone());
        let path = format!("/setup/tenants/{}", tenant.id);
        let post = async |tail: &str, body: Value| {
            let answer = operator.post(&format!("{path}/{tail}"), body).await;
            assert!([200, 201].contains(&answer.status), "{case}: {answer}");
            answer.json()
        };
        match case.kind.name {
            "undelete" => drop(operator.delete(&path).await.expect(200)),
            "resume" => drop(post("suspend", json!({ "reason": "a test" })).await),
            "credentials" => subject.product = None,
            "retire-credentials" => {
                post("credentials", json!({ "overlap": "1h" })).await;
                subject.former = subject.product.take();
            }
            "end-login" => {
                let made = post("logins", json!({ "role": "readonly", "ttl": "1h" })).await;
                let text = |field: &str| made[field].as_str().map(str::to_owned);
                subject.former = text("dbUsername").zip(text("dbPassword"));
                subject.login = text("dbUsername");
            }
            _ => {}
        }
        subject.tenant = Some(tenant);
        subject
    }

    /// Makes a database as a team has one that never heard of us.
    async fn somebodys_database(&self, slug: &str) {
        let (pg, name) = (self.dev.pg(), begun::database_of(slug));
        pg.run("postgres", &format!("CREATE ROLE {name}_team LOGIN"))
            .await;
        pg.run(
            "postgres",
            &format!("CREATE DATABASE {name} OWNER {name}_team"),
        )
        .await;
        let table = format!("SET SESSION AUTHORIZATION {name}_team; CREATE TABLE orders (id int)");
        pg.run(&name, &table).await;
    }

    async fn adopt(&self, case: &Case, slug: &str) {
        let adopted = self
            .operator
            .post("/setup/adoptions", begun::adoption(slug));
        let adopted = adopted.await;
        assert_eq!(adopted.status / 100, 2, "{case}: {adopted}");
    }

    /// Ends all spares, and the victim that would make more of them.
    async fn no_spares(&mut self) {
        if self.spares == 0 {
            return;
        }
        self.another_victim(0).await;
        let operator = &self.operator;
        let to = |tail: &str| format!("/setup/clusters/default/{tail}");
        operator.post(&to("drain"), json!({})).await.expect(200);
        wait::until(BOUND, "no spares", async || self.stock().await == 0).await;
        self.settled("without spares").await;
        operator.post(&to("accept"), json!({})).await.expect(200);
    }

    async fn stock(&self) -> usize {
        let spares = "SELECT name FROM databases WHERE tenant_id IS NULL";
        self.asked(spares).await.len()
    }

    /// What there is to be of the subject after the operation.
    async fn after(&self, case: &Case, subject: &Subject) -> State {
        match (case.kind.name, case.ends()) {
            ("create" | "adopt", Some("failed")) | ("purge" | "unadopt", _) => State::Gone,
            ("create" | "adopt", None) => {
                let path = format!("/setup/tenants/{}", subject.slug);
                match self.operator.get(&path).await.status {
                    404 => State::Gone,
                    _ => State::Active,
                }
            }
            ("delete", _) => State::Deleting,
            ("suspend", _) => State::Suspended,
            ("spare" | "unspare", _) => {
                let wanted = match (case.kind.name, case.ends()) {
                    ("unspare", _) => Some(0),
                    (_, Some("done")) => Some(self.spares),
                    _ => None,
                };
                let stock = self.stock().await;
                assert!(
                    wanted.is_none_or(|wanted| wanted == stock),
                    "{case}: {stock}"
                );
                if case.kind.name == "unspare" {
                    let accept = "/setup/clusters/default/accept";
                    let accepted = self.operator.post(accept, json!({})).await;
                    accepted.expect(200);
                }
                State::Gone
            }
            _ => State::Active,
        }
    }

    /// The tenant is all there, in this state, or not at all.
    async fn is(&self, case: &Case, subject: &Subject, state: State) {
        if subject.slug.is_empty() {
            return;
        }
        let pg = self.dev.pg();
        let path = format!("/setup/tenants/{}", subject.slug);
        let shown = self.operator.get(&path).await;
        if state == State::Gone {
            shown.problem(404, "TENANT_NOT_FOUND");
            return;
        }
        let shown = shown.expect(200);
        let wanted = match state {
            State::Suspended => "suspended",
            State::Deleting => "deleting",
            _ => "active",
        };
        assert_eq!(shown["status"], wanted, "{case}");
        let database = shown["dbName"].as_str().unwrap_or_default();
        assert!(!database.is_empty(), "{case}: {shown}");
        let active = state == State::Active;
        let host = &self.dev.host(Some(&subject.slug));
        let host = self.operator.anonymous().host(host);
        match &subject.tenant {
            Some(tenant) if active => {
                self.served(case, async || tenant.admin.get("/users").await)
                    .await;
            }
            Some(tenant) => {
                let answer = tenant.admin.get("/users").await;
                assert!([403, 404].contains(&answer.status), "{case}: {answer}");
            }
            None => {
                let login = json!({ "email": ANN, "password": ADMIN_PASSWORD });
                self.served(case, async || host.post("/auth/login", login.clone()).await)
                    .await;
                let (admin, _) = host.sign_in(ANN, ADMIN_PASSWORD).await;
                self.served(case, async || admin.get("/users").await).await;
            }
        }
        if let Some((login, password)) = &subject.product {
            let entered = pg.connect(login, password, database).await;
            assert_eq!(entered.is_ok(), active, "{case}: the product's login");
        }
        if let Some((login, password)) = &subject.former {
            let entered = pg.connect(login, password, database).await;
            assert!(entered.is_err(), "{case}: a login that was ended gets in");
        }
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

    async fn last_operation(&self) -> String {
        let sql = "SELECT coalesce((SELECT id FROM operations ORDER BY id DESC LIMIT 1)::text,
                          '00000000-0000-0000-0000-000000000000')";
        self.asked(sql).await.remove(0)
    }

    async fn asked(&self, sql: &str) -> Vec<String> {
        let pg = self.dev.pg();
        pg.texts(&pg.catalog, sql).await
    }

    async fn catalog(&self, sql: &str) {
        let pg = self.dev.pg();
        pg.run(&pg.catalog, sql).await;
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.dev.folder().join(format!("fault{ending}"))
    }
}

fn spawned(dev: &Dev, number: u32, spares: usize) -> Serve {
    let fault = format!("@{}", dev.folder().join("fault").display());
    let spares = spares.to_string();
    let env = [
        ("TENANTRY_FAULT", fault.as_str()),
        ("TENANTRY_SPARES", &spares),
        // No more of them by demand.
        ("TENANTRY_SPARES_MAX", &spares),
        LEASE,
    ];
    Serve::spawn(dev, &format!("victim{number}"), &env)
}

/// The doctor finds nothing.
pub async fn no_difference(operator: &Client, what: &str) {
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
