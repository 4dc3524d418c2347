//! A soak: operations, traffic, faults, kills of real processes and restarts of the Postgres server, all at
//! random, for some minutes. At the end the doctor finds no difference, and no request was answered with what
//! is another tenant's, or was the former tenant's of the same name.
//!
//! `make soak MINUTES=10 SEED=1`: the seed decides what is done and in which order; when it happens the
//! machine decides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::Row;
use tenantry_lifecycle::shapes;
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Pg, Serve};

use super::stage::no_difference;
use super::{seconds, tell};
use crate::wait;

/// So many tenants come and go.
const SLOTS: usize = 6;
/// The longest that what is left at the end may take to be recovered.
const BOUND: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes as long as it is told: make soak MINUTES=10"]
async fn a_soak_leaves_nothing_behind_and_shows_nobody_what_is_anothers() {
    let minutes = number("TENANTRY_TEST_SOAK_MINUTES").unwrap_or(2);
    let seed = number("TENANTRY_TEST_SOAK_SEED").unwrap_or_else(seconds);
    tell(&format!("soak: {minutes} minutes with SEED={seed}"));

    let mut chaos = Chaos::begin(Lottery(seed));
    let soak = chaos.soak.clone();
    let mut tasks = Vec::new();
    for slot in 0..SLOTS {
        let place = u64::try_from(slot).expect("a small number");
        let lottery = |of: u64| Lottery(seed ^ (place + 1).wrapping_mul(of));
        let emails = Arc::new(Mutex::default());
        let customer = Customer {
            soak: soak.clone(),
            slot,
            lottery: lottery(0x0ddb_a110),
            emails: Arc::clone(&emails),
        };
        let reader = Reader {
            soak: soak.clone(),
            slot,
            lottery: lottery(0xca11_ab1e),
            emails,
        };
        tasks.push(tokio::spawn(customer.run()));
        tasks.push(tokio::spawn(reader.run()));
    }
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    while Instant::now() < until && !tasks.iter().any(tokio::task::JoinHandle::is_finished) {
        chaos.next().await;
    }
    chaos.calm().await;
    soak.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no panic");
    }
    chaos.verdict(seed).await;
}

/// What all have in common.
#[derive(Clone)]
struct Soak {
    /// A client of each; to make one takes longer than a request.
    servers: Arc<Mutex<Vec<Client>>>,
    token: String,
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    answers: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Soak {
    fn any(&self, lottery: &mut Lottery, host: &str) -> Client {
        lottery.of(&locked(&self.servers)).host(host)
    }

    fn operator(&self, lottery: &mut Lottery) -> Client {
        self.any(lottery, "localhost").bearer(&self.token)
    }

    fn note(&self, what: &str) {
        *locked(&self.answers).entry(what.to_owned()).or_default() += 1;
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Asks for operations on one tenant, without an end.
struct Customer {
    soak: Soak,
    slot: usize,
    lottery: Lottery,
    emails: Arc<Mutex<Vec<String>>>,
}

impl Customer {
    async fn run(mut self) {
        let mut births = 0;
        while !self.soak.is_over() {
            let slug = slug(self.slot);
            let path = format!("/setup/tenants/{slug}");
            let to = |tail: &str| format!("{path}/{tail}");
            // Most often it is there, and is to be changed.
            let what = *self.lottery.of(&[
                "create",
                "create",
                "rotate",
                "rotate",
                "suspend",
                "resume",
                "resume",
                "delete",
                "undelete",
                "undelete",
                "purge",
                "credentials",
                "login",
                "rollout",
                "rotations",
            ]);
            let (method, path, body) = match what {
                "create" => {
                    births += 1;
                    let email = format!("ann@{}.example", born(self.slot, births));
                    // Known before it is sent: perhaps nobody says that it was done.
                    locked(&self.emails).push(email.clone());
                    let admin = json!({ "email": email, "password": ADMIN_PASSWORD });
                    let body = json!({ "name": slug, "slug": slug, "admin": admin });
                    (Method::POST, "/setup/tenants".to_owned(), body)
                }
                "rotate" => (Method::POST, to("rotate-credentials"), json!({})),
                "suspend" => (Method::POST, to("suspend"), json!({ "reason": "a soak" })),
                "resume" | "undelete" => (Method::POST, to(what), json!({})),
                "delete" => (Method::DELETE, path, Value::Null),
                "purge" => (Method::DELETE, format!("{path}?purge=true"), Value::Null),
                "credentials" => {
                    let body = json!({ "overlap": "0s", "endPrevious": true });
                    (Method::POST, to("credentials"), body)
                }
                "login" => (
                    Method::POST,
                    to("logins"),
                    json!({ "role": "user", "ttl": "1m" }),
                ),
                "rollout" => (Method::POST, "/setup/rollouts".to_owned(), json!({})),
                _ => (Method::POST, "/setup/rotations".to_owned(), json!({})),
            };
            let operator = self.soak.operator(&mut self.lottery);
            let mut request = operator.request(method, &path);
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = request.try_send().await;
            self.soak.note(&said(what, answer.as_ref()));
            self.lottery.pause(20, 400).await;
        }
    }
}

/// Reads a tenant's people as one of them, without an end.
struct Reader {
    soak: Soak,
    slot: usize,
    lottery: Lottery,
    emails: Arc<Mutex<Vec<String>>>,
}

impl Reader {
    async fn run(mut self) {
        let mut signed_in: Option<(String, String)> = None;
        while !self.soak.is_over() {
            self.lottery.pause(1, 40).await;
            let Some((email, token)) = signed_in.take() else {
                signed_in = self.sign_in().await;
                continue;
            };
            let foreign = self.lottery.below(4) == 0;
            let at = match foreign {
                true => (self.slot + 1 + self.lottery.below(SLOTS - 1)) % SLOTS,
                false => self.slot,
            };
            let client = self.soak.any(&mut self.lottery, &host(at)).bearer(&token);
            let Some(answer) = client.request(Method::GET, "/users").try_send().await else {
                signed_in = Some((email, token));
                continue;
            };
            if answer.status == 200 {
                assert!(!foreign, "served with another tenant's token: {answer}");
                Self::own(&email, &answer);
                self.soak.served.fetch_add(1, Ordering::Relaxed);
            } else if foreign {
                self.soak.refused.fetch_add(1, Ordering::Relaxed);
            } else if answer.status == 401 {
                // Of the tenant that had the name before.
                continue;
            }
            signed_in = Some((email, token));
        }
    }

    /// What is shown is of the tenant that the token is of, and nothing else is.
    fn own(email: &str, answer: &Answer) {
        let domain = email.split_once('@').expect("a mail address").1;
        let others = answer.text.matches('@').count() - answer.text.matches(domain).count();
        assert!(
            answer.text.contains(email) && others == 0,
            "not what is {email}'s: {answer}"
        );
    }

    /// As whoever of the tenants that had this name lately lets itself be.
    async fn sign_in(&mut self) -> Option<(String, String)> {
        let last: Vec<_> = locked(&self.emails).iter().rev().take(4).cloned().collect();
        for email in last {
            let body = json!({ "email": email, "password": ADMIN_PASSWORD });
            let host = self.soak.any(&mut self.lottery, &host(self.slot));
            let request = host.request(Method::POST, "/auth/login").json(&body);
            let answer = request.try_send().await?;
            if answer.status == 200 {
                let token = answer.json()["accessToken"].as_str()?.to_owned();
                return Some((email, token));
            }
            if answer.status != 401 {
                break;
            }
        }
        self.lottery.pause(100, 300).await;
        None
    }
}

/// Whatever goes wrong.
struct Chaos {
    dev: Dev,
    pg: Pg,
    victims: Vec<(Serve, Client)>,
    names: usize,
    lottery: Lottery,
    soak: Soak,
    done: BTreeMap<&'static str, u32>,
}

impl Chaos {
    fn begin(lottery: Lottery) -> Self {
        let dev = Dev::start();
        let soak = Soak {
            servers: Arc::default(),
            token: dev.operator_token(),
            over: Arc::default(),
            served: Arc::default(),
            refused: Arc::default(),
            answers: Arc::default(),
        };
        let mut chaos = Self {
            pg: dev.pg(),
            dev,
            victims: Vec::new(),
            names: 0,
            lottery,
            soak,
            done: BTreeMap::new(),
        };
        for _ in 0..2 {
            let victim = chaos.another();
            chaos.victims.push(victim);
        }
        chaos.all_are_there();
        chaos
    }

    /// One thing that goes wrong, and a pause.
    async fn next(&mut self) {
        self.lottery.pause(500, 3_000).await;
        let at = self.lottery.below(self.victims.len());
        let what = *self.lottery.of(&[
            "fault",
            "fault",
            "fault",
            "fault",
            "kill",
            "kill",
            "freeze",
            "crash of Postgres",
            "restart of all",
        ]);
        match what {
            "fault" => self.fault(at),
            "kill" => self.victims[at].0.signal(Signal::KILL),
            "freeze" => {
                self.victims[at].0.signal(Signal::STOP);
                // Longer than its leases.
                self.lottery.pause(4_000, 9_000).await;
                self.victims[at].0.signal(Signal::CONT);
            }
            "crash of Postgres" => {
                if !self.crash().await {
                    return;
                }
            }
            _ => tokio::task::block_in_place(|| {
                // Its Postgres ends with the next start and is started anew.
                self.dev.kill9();
                self.dev.run();
            }),
        }
        *self.done.entry(what).or_default() += 1;
        tokio::task::block_in_place(|| self.all_are_there());
    }

    /// A fault at any point of any operation that this victim carries next.
    fn fault(&mut self, at: usize) {
        let shapes = shapes();
        let shape = self.lottery.of(&shapes);
        let (step, _) = self.lottery.of(&shape.steps);
        let point = self.lottery.of(&[
            "before-effect",
            "after-effect",
            "after-record",
            "before-undo",
            "after-undo",
        ]);
        let act = self.lottery.of(&["fail", "kill", "leave"]);
        let line = format!("{}/{step}:{point}={act}", shape.name);
        let _ = std::fs::write(self.fault_file(self.victims[at].0.name()), line);
    }

    /// Kills one of the server's processes: it ends all of them, recovers from its log and goes on.
    async fn crash(&self) -> bool {
        let (login, password) = (&self.pg.superuser, &self.pg.password);
        let Ok(mut conn) = self.pg.connect(login, password, "postgres").await else {
            return false;
        };
        let any = "SELECT pid FROM pg_stat_activity
                   WHERE backend_type = 'client backend' ORDER BY random() LIMIT 1";
        let Ok(row) = sqlx::query(any).fetch_one(&mut conn).await else {
            return false;
        };
        let pid = Pid::from_raw(row.get(0)).expect("a process id");
        kill_process(pid, Signal::KILL).is_ok()
    }

    /// Whoever died is started again.
    fn all_are_there(&mut self) {
        for at in 0..self.victims.len() {
            if self.victims[at].0.process().ended().is_some() {
                *self.done.entry("a server started anew").or_default() += 1;
                self.victims[at] = self.another();
            }
        }
        let mut servers = locked(&self.soak.servers);
        let dev = servers.first().cloned().unwrap_or_else(|| self.dev.base());
        let victims = self.victims.iter().map(|(_, client)| client.clone());
        *servers = std::iter::once(dev).chain(victims).collect();
    }

    fn another(&mut self) -> (Serve, Client) {
        self.names += 1;
        let name = format!("soaked{}", self.names);
        let fault = format!("@{}", self.fault_file(&name).display());
        // Of spares too few, so that creations both find one and find none.
        let env = [("TENANTRY_FAULT", fault.as_str()), ("TENANTRY_SPARES", "1")];
        let serve = Serve::spawn(&self.dev, &name, &env);
        let client = serve.base();
        (serve, client)
    }

    fn fault_file(&self, name: &str) -> PathBuf {
        self.dev.folder().join(format!("fault-of-{name}"))
    }

    /// Nothing goes wrong from here on.
    async fn calm(&mut self) {
        for (victim, _) in &self.victims {
            let _ = std::fs::remove_file(self.fault_file(victim.name()));
        }
        tokio::task::block_in_place(|| {
            self.all_are_there();
            for (victim, _) in &mut self.victims {
                victim.wait_until_ready();
            }
        });
        let (pg, operator) = (&self.pg, self.dev.operator());
        wait::until(BOUND, "all answers again", async || {
            let (login, password) = (&pg.superuser, &pg.password);
            pg.connect(login, password, "postgres").await.is_ok()
                && operator.get("/readyz").await.status == 200
        })
        .await;
    }

    async fn verdict(mut self, seed: u64) {
        self.settled("after it all").await;
        let operator = self.dev.operator();
        no_difference(&operator, "after it all").await;
        let mut whole = 0;
        for slot in 0..SLOTS {
            let path = format!("/setup/tenants/{}", slug(slot));
            let shown = operator.get(&path).await;
            if shown.status == 404 {
                continue;
            }
            whole += 1;
            if shown.expect(200)["status"] == "active" {
                let at = self.dev.at(&slug(slot));
                let users = || at.request(Method::GET, "/users").try_send();
                wait::until(BOUND, "it is reached", async || {
                    users().await.is_some_and(|answer| answer.status == 401)
                })
                .await;
            }
            let purged = operator.delete(&format!("{path}?purge=true")).await;
            purged.expect(200);
        }
        // Those who would make more spares go, and then the spares.
        self.victims.clear();
        let drain = "/setup/clusters/default/drain";
        operator.post(drain, json!({})).await.expect(200);
        let databases = "SELECT name FROM databases";
        wait::until(BOUND, "no database is left", async || {
            self.pg.texts(&self.pg.catalog, databases).await.is_empty()
        })
        .await;
        self.settled("at the end").await;
        no_difference(&operator, "at the end").await;
        let served = self.soak.served.load(Ordering::Relaxed);
        let refused = self.soak.refused.load(Ordering::Relaxed);
        tell(&format!(
            "soak: SEED={seed}, {served} requests served with what is the tenant's own, {refused} \
             with another's token refused, {whole} tenants there at the end\nsoak: {:?}\nsoak: {:#?}",
            self.done,
            locked(&self.soak.answers)
        ));
        assert!(served > 0, "nothing was served");
        assert!(self.done.len() > 1, "little went wrong: {:?}", self.done);
        assert_eq!(self.dev.stop(), 0);
    }

    /// Waits until no operation is under way; one that waits for a person is not to be.
    async fn settled(&self, what: &str) {
        let open =
            "SELECT kind || ' ' || status || ' ' || coalesce(error::text, '') FROM operations
                    WHERE status NOT IN ('done', 'failed')";
        let until = Instant::now() + BOUND;
        loop {
            let open = self.pg.texts(&self.pg.catalog, open).await;
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{what}: {open:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn said(what: &str, answer: Option<&Answer>) -> String {
    let Some(answer) = answer else {
        return format!("{what}: no answer");
    };
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    format!("{what}: {} {code}", answer.status)
}

fn slug(slot: usize) -> String {
    format!("soak{slot}")
}

fn host(slot: usize) -> String {
    format!("{}.localhost", slug(slot))
}

/// Of several tenants with one name, one after another.
fn born(slot: usize, births: u32) -> String {
    format!("born-{births}-of-{}", slug(slot))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers that are the same for the same seed (SplitMix64).
struct Lottery(u64);

impl Lottery {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a small number");
        usize::try_from(self.next() % bound).expect("a small number")
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Of so many milliseconds: what is between two requests is not waited for, it is the load.
    async fn pause(&mut self, least: u64, most: u64) {
        let millis = least + self.next() % (most - least);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}
