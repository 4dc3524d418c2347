//! `tenantry keys remint`: after keys were lost, every login gets another password, sealed with the keys there
//! are now. Nothing else can be done: what the lost keys have sealed opens for nobody.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tenantry_catalog::keys::Column;
use tenantry_catalog::logins::LoginRole;
use tenantry_catalog::{change_log, clusters, inventory, keys, logins, pause, routers};
use tenantry_cluster::{AdminConn, ClusterError, Mark, preflight};
use tenantry_types::{RoleName, Secret};
use tenantry_vault::{Keyring, Place, Purpose, Sealed, scram};

use super::{Ring, opened};
use crate::catalog_url::catalog_failure;
use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::cluster_url::ClusterUrl;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, note};

const EXAMPLES: &str = "\
Examples:
  tenantry keys new                                  prints keys: put them where the lost ones were
  tenantry keys remint --cluster default=admin.url  its one line: postgres://tenantry_admin:…@db.internal/postgres

Stop every program of this installation first, products with the router inside as well. It may be repeated:
what opens with the keys there are is left as it is. Passwords that your product was given stay good.";

/// How many secrets are read at a time.
const BATCH: u32 = 100;
/// How sessions of it are called on a cluster.
const SESSION: &str = "tenantry/remint";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Remint {
    /// NAME=FILE: a file with the URL of a cluster's admin login, whose password was sealed with a lost key (`-`: stdin).
    /// Repeat it for each
    #[arg(long, value_name = "NAME=FILE", value_parser = cluster)]
    cluster: Vec<(String, PathBuf)>,
    #[command(flatten)]
    confirm: Confirm,
}

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct New {}

impl New {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let keys = Keyring::generate(&tenantry_types::Entropy::system()).to_setting();
        match global.output {
            Output::Json => output::json(&json!({ "keys": keys.expose() })),
            Output::Table => {
                output::line(&format!("TENANTRY_KEYS={}", keys.expose()))?;
                note(
                    "They open nothing yet, and were kept nowhere: put them where your keys are kept, and in a backup.",
                );
                Ok(())
            }
        }
    }
}

#[derive(Default)]
struct Counts {
    clusters: usize,
    logins: usize,
    forgotten: usize,
    missing: usize,
}

impl Remint {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let ring = opened(global).await?;
        let failed = |error| catalog_failure("the logins cannot be minted anew", &error);
        let mut conn = acquire(&ring.catalog).await?;
        none_runs(&mut conn).await?;
        self.confirm.ask(
            "Give every login whose password does not open another one",
            &Proof::Word("remint"),
        )?;
        let mut counts = Counts::default();
        for cluster in clusters::list(&mut conn).await.map_err(failed)? {
            let place = Place::cluster_admin(cluster.id);
            if ring.keys.admin().open(&place, &cluster.admin).is_ok() {
                continue;
            }
            let given = self.cluster.iter().find(|(name, _)| *name == cluster.name);
            let Some((_, file)) = given else {
                return Err(Failure::usage(format!(
                    "the admin password of the cluster {} does not open",
                    cluster.name
                ))
                .next(format!(
                    "give it: --cluster {}=FILE, with postgres://… in the file",
                    cluster.name
                )));
            };
            let url = ClusterUrl::parse(&url_in(file)?)?;
            let mut server = url.admin().connect(SESSION).await.map_err(refused)?;
            let report = preflight::check(&mut server).await.map_err(refused)?;
            server.close().await;
            // Another server's admin would be given the passwords of all that is thought to be there.
            let marked = |mark: &Mark| mark.installation == ring.installation;
            if !report.own_marks.iter().any(marked) {
                let what = format!(
                    "nothing at {}:{} is marked as this installation's",
                    url.host, url.port
                );
                return Err(Failure::new(Exit::Conflict, what)
                    .next(format!("is it the server of the cluster {}?", cluster.name)));
            }
            ring.audit(
                "keys.remint_cluster",
                &json!({
                    "cluster": cluster.name,
                    "from": { "host": cluster.host, "port": cluster.port, "login": cluster.admin_login },
                    "to": { "host": url.host, "port": url.port, "login": url.login.as_str() },
                }),
            )
            .await?;
            let sealed = ring
                .keys
                .admin()
                .seal(&ring.sources.entropy, &place, &url.password);
            let sealed = sealed.map_err(|error| Failure::because("sealing failed", &error))?;
            let way = clusters::Way {
                host: &url.host,
                port: url.port,
                tls: if url.tls_is_given {
                    url.tls
                } else {
                    cluster.tls
                },
                root_ca: url.root_ca.as_ref().or(cluster.root_ca.as_ref()),
                admin_login: url.login.as_str(),
                admin: &sealed,
                system_identifier: None,
            };
            clusters::set_way(&mut conn, cluster.id, &way)
                .await
                .map_err(|error| Failure::because("the cluster cannot be written", &error))?;
            counts.clusters += 1;
        }
        ring.audit("keys.remint", &json!({})).await?;
        self.logins(&ring, &mut conn, &mut counts, global).await?;
        counts.forgotten = forget(&ring, &mut conn).await?;
        drop(conn);
        ring.catalog.close().await;
        match global.output {
            Output::Json => output::json(&json!({
                "clusters": counts.clusters,
                "logins": counts.logins,
                "forgotten": counts.forgotten,
                "missing": counts.missing,
            }))?,
            Output::Table => output::line(&format!(
                "{} logins have another password; {} secrets that open for nobody were removed.",
                counts.logins, counts.forgotten
            ))?,
        }
        if counts.missing == 0 {
            return Ok(());
        }
        let what = format!("{} logins are not on their servers", counts.missing);
        Err(Failure::new(Exit::Failed, what).next("`tenantry doctor` tells which"))
    }

    async fn logins(
        &self,
        ring: &Ring,
        conn: &mut PgConnection,
        counts: &mut Counts,
        global: &Global,
    ) -> Result<()> {
        let failed = |error| catalog_failure("the logins cannot be minted anew", &error);
        let all = inventory::read(conn, None).await.map_err(failed)?.databases;
        let mut progress = Progress::of("Minting logins anew", global.output);
        let total = all.len() as u64;
        for cluster in clusters::list(conn).await.map_err(failed)? {
            let mut admin: Option<AdminConn> = None;
            for (at, database) in all.iter().enumerate() {
                progress.reach(at as u64, total, "databases");
                if database.cluster != cluster.id {
                    continue;
                }
                let mark = Mark::new(ring.installation, database.id);
                for login in &database.logins {
                    let role: LoginRole = login
                        .role
                        .parse()
                        .map_err(|_| Failure::new(Exit::Failed, "a login's role is unknown"))?;
                    let place = Place::login(database.id, role.as_str());
                    let Some(sealed) = &login.sealed else {
                        continue;
                    };
                    if opens(ring, role, &place, sealed) {
                        continue;
                    }
                    let name = RoleName::parse(&login.name)
                        .map_err(|error| Failure::because("a login's name is odd", &error))?;
                    let server = match &mut admin {
                        Some(server) => server,
                        none => none.insert(connect(ring, &cluster).await?),
                    };
                    // On the server first: cut off between the two it does not open, and is minted again.
                    let password = ring.sources.entropy.password();
                    let salt = ring.sources.entropy.bytes::<16>();
                    let verifier = scram::verifier(&password, salt, iterations(role));
                    use tenantry_cluster::logins as on_cluster;
                    match on_cluster::set_password(server, &name, &verifier, &mark).await {
                        Ok(()) => {}
                        Err(ClusterError::NotOurs(_)) => {
                            counts.missing += 1;
                            continue;
                        }
                        Err(error) => return Err(refused(error)),
                    }
                    let entropy = &ring.sources.entropy;
                    let sealed = match is_routers(role) {
                        true => ring.keys.route().seal(entropy, &place, &password),
                        false => ring.keys.admin().seal(entropy, &place, &password),
                    };
                    let sealed =
                        sealed.map_err(|error| Failure::because("sealing failed", &error))?;
                    logins::set_secret(conn, database.id, role, &sealed)
                        .await
                        .map_err(failed)?;
                    counts.logins += 1;
                }
            }
            if let Some(server) = admin {
                server.close().await;
            }
            change_log::append_for_cluster(conn, cluster.id)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }
}

fn is_routers(role: LoginRole) -> bool {
    matches!(role, LoginRole::Router | LoginRole::RouterOld)
}

fn iterations(role: LoginRole) -> u32 {
    match role {
        LoginRole::User | LoginRole::UserOld => scram::USER_ITERATIONS,
        LoginRole::Owner | LoginRole::Router | LoginRole::RouterOld => scram::ROUTER_ITERATIONS,
    }
}

fn opens(ring: &Ring, role: LoginRole, place: &Place<'_>, sealed: &Sealed) -> bool {
    match is_routers(role) {
        true => ring.keys.route().open(place, sealed).is_ok(),
        false => ring.keys.admin().open(place, sealed).is_ok(),
    }
}

/// Who runs holds the lost keys, or is about to fail for want of them: nothing is changed under it.
async fn none_runs(conn: &mut PgConnection) -> Result<()> {
    let failed = |error| catalog_failure("it cannot be seen what runs", &error);
    let routers = routers::live(conn).await.map_err(failed)?.len();
    let workers = pause::workers(conn).await.map_err(failed)?;
    if routers == 0 && workers.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = workers.iter().map(|one| one.name.as_str()).collect();
    Err(Failure::new(
        Exit::Conflict,
        format!(
            "programs of this installation run: {routers} routers, {}",
            names.join(", ")
        ),
    )
    .next("stop them all; one that was killed counts for ten seconds more")
    .coded("PROGRAMS_RUN"))
}

/// Removes what operations and answers had sealed with lost keys. The operations then fail and say so.
async fn forget(ring: &Ring, conn: &mut PgConnection) -> Result<usize> {
    let failed = |error| catalog_failure("secrets that open for nobody cannot be removed", &error);
    let (mut after, mut forgotten) = (None, 0);
    loop {
        // No key is called by an empty name: all of them.
        let batch = keys::behind(conn, Purpose::Admin, "", after.as_ref(), BATCH)
            .await
            .map_err(failed)?;
        let Some(last) = batch.last() else {
            return Ok(forgotten);
        };
        after = Some(last.position());
        for stored in &batch {
            let passing = matches!(
                stored.column(),
                Column::OperationSecrets | Column::IdempotentAnswers
            );
            let place = stored.place(ring.installation);
            if passing && ring.keys.admin().open(&place, &stored.sealed).is_err() {
                forgotten += usize::from(keys::forget(conn, stored).await.map_err(failed)?);
            }
        }
    }
}

async fn connect(ring: &Ring, cluster: &clusters::Cluster) -> Result<AdminConn> {
    let place = Place::cluster_admin(cluster.id);
    let odd = |error: &dyn std::error::Error| Failure::because("a cluster cannot be used", error);
    let password = ring.keys.admin().open(&place, &cluster.admin);
    let password = password.map_err(|error| odd(&error))?;
    let login = RoleName::parse(&cluster.admin_login).map_err(|error| odd(&error))?;
    let maintenance =
        tenantry_types::DbName::parse(&cluster.maintenance_db).map_err(|error| odd(&error))?;
    let address = tenantry_cluster::Address::new(&cluster.host, cluster.port, cluster.tls.as_str())
        .trusting(cluster.root_ca.clone());
    tenantry_cluster::Admin::new(address, maintenance, login, password)
        .connect(SESSION)
        .await
        .map_err(refused)
}

async fn acquire(catalog: &PgPool) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>> {
    let got = catalog.acquire().await;
    got.map_err(|error| catalog_failure("the catalog cannot be used", &error.into()))
}

#[expect(clippy::needless_pass_by_value, reason = "as it is given by `map_err`")]
fn refused(error: ClusterError) -> Failure {
    Failure::of_kind(error.kind(), "a cluster cannot be used", &error)
}

fn cluster(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, file) = text
        .split_once('=')
        .ok_or("write NAME=FILE, with the URL in the file")?;
    if file.contains("://") {
        return Err(
            "the URL holds a password: write it into a file, and NAME=FILE here".to_owned(),
        );
    }
    Ok((name.to_owned(), PathBuf::from(file)))
}

fn url_in(file: &Path) -> Result<Secret> {
    let read = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    let text = read.map_err(|error| {
        Failure::because(
            format!("the URL cannot be read from {}", file.display()),
            &error,
        )
    })?;
    Ok(Secret::new(text.trim()))
}
