//! The look at a server before it becomes a cluster, or the way to one becomes another.

use std::collections::HashSet;
use std::time::Duration;

use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::{databases, templates};
use tenantry_cluster::AdminConn;
use tenantry_cluster::preflight::{self, About, Finding, Identity, Report, Room};
use tenantry_types::{ClusterId, DatabaseId};
use tokio::time::timeout;

use super::WayIn;
use crate::Lifecycle;
use crate::error::StartError;
use crate::place;

/// How long a registered cluster may take to say which server it is.
const BOUND: Duration = Duration::from_secs(3);
/// What the sessions are called.
const SESSION: &str = "tenantry/preflight";

/// What was seen of a server that is fit.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its version, as it says it.
    pub version: String,
    /// `max_connections`.
    pub max_connections: u32,
    /// What there is room for.
    pub room: Room,
    /// Whether it speaks TLS.
    pub offers_tls: bool,
    /// The version of TLS that was spoken; none: it was asked in clear.
    pub tls_version: Option<String>,
    /// What the operator should know or change.
    pub warnings: Vec<String>,
}

impl Look {
    /// The budget that was asked for, or the largest.
    pub(super) fn budget(&self, wanted: Option<u32>) -> Result<u32, StartError> {
        let largest = self.room.largest_budget();
        match wanted {
            Some(wanted) if wanted > largest => Err(StartError::BudgetTooLarge(self.room)),
            Some(wanted) => Ok(wanted),
            None => Ok(largest),
        }
    }
}

/// The look, and the session it was had in.
pub(super) struct Seen {
    pub(super) look: Look,
    pub(super) identity: Identity,
    pub(super) conn: AdminConn,
    /// The clusters that it was compared with.
    pub(super) registered: Vec<ClusterId>,
}

impl Lifecycle {
    /// Looks whether a server is fit; changes nothing on it. `now`: the cluster that the way is to lead to.
    pub(super) async fn look_at(
        &self,
        way: &WayIn,
        now: Option<&Cluster>,
    ) -> Result<Seen, StartError> {
        let mut catalog = self.deps().catalog.acquire().await?;
        let all = clusters::list(&mut catalog).await?;
        drop(catalog);
        let examined = preflight::examine(&way.admin(), SESSION).await;
        let mut findings = examined.findings;
        let Some((report, conn)) = examined.inside else {
            return Err(StartError::Unfit(findings));
        };
        let mut warnings = report.warnings.clone();
        let others = all
            .iter()
            .filter(|one| now.is_none_or(|now| now.id != one.id));
        for other in others {
            match self.is_same(other, &report.identity).await {
                Same::No => {}
                Same::Yes => {
                    conn.close().await;
                    return Err(StartError::ClusterExists(format!(
                        "This server is registered as the cluster `{}` already.",
                        other.name
                    )));
                }
                Same::Perhaps => {
                    conn.close().await;
                    return Err(StartError::ClusterExists(format!(
                        "This server has the data, or a copy of the data, of the cluster `{}`, which does not answer \
                         now. Try again when it does.",
                        other.name
                    )));
                }
                Same::Unknown => warnings.push(format!(
                    "The cluster `{}` does not answer, so whether it is this same server was not seen.",
                    other.name
                )),
            }
        }
        findings.extend(self.strangers(&report));
        findings.extend(self.own(&report, now).await?);
        if !findings.is_empty() {
            conn.close().await;
            return Err(StartError::Unfit(findings));
        }
        let look = Look {
            room: report.room(),
            version: report.version,
            max_connections: u32::try_from(report.max_connections).unwrap_or_default(),
            offers_tls: examined.offers_tls.unwrap_or_default(),
            tls_version: report.tls_version,
            warnings: warnings
                .into_iter()
                .chain(in_clear(way, examined.offers_tls))
                .collect(),
        };
        Ok(Seen {
            look,
            identity: report.identity,
            conn,
            registered: all.into_iter().map(|cluster| cluster.id).collect(),
        })
    }

    /// Whether a registered cluster is the server of this identity. Copies of one server's data have one
    /// identifier, so both are asked when they began.
    async fn is_same(&self, other: &Cluster, identity: &Identity) -> Same {
        let known = match (&other.system_identifier, &identity.system) {
            (Some(a), Some(b)) if a != b => return Same::No,
            (Some(_), Some(_)) => true,
            _ => false,
        };
        let asking = async {
            let mut conn = place::admin_of(self.deps(), other)?
                .connect(SESSION)
                .await?;
            let theirs = preflight::identity(&mut conn).await;
            conn.close().await;
            Ok::<_, StartError>(theirs?)
        };
        match timeout(BOUND, asking).await {
            Ok(Ok(theirs)) if theirs == *identity => Same::Yes,
            Ok(Ok(_)) => Same::No,
            Ok(Err(_)) | Err(_) if known => Same::Perhaps,
            Ok(Err(_)) | Err(_) => Same::Unknown,
        }
    }

    /// Other installations there: their groups would be ours, and what ours may, theirs could.
    fn strangers(&self, report: &Report) -> Vec<Finding> {
        let others = report.of_others(self.deps().installation).into_iter();
        let found = others.map(|(id, count)| {
            Finding::new(
                About::Server,
                format!(
                    "The server holds {count} databases of another installation of Tenantry ({id}): two must not \
                     share a server. Take another one, or have that installation remove it first."
                ),
            )
        });
        found.collect()
    }

    /// Databases of this installation: none are to be on a new server, and all of a cluster's on its own.
    async fn own(
        &self,
        report: &Report,
        now: Option<&Cluster>,
    ) -> Result<Vec<Finding>, StartError> {
        let ours = self.deps().installation;
        let marks = report.marks.iter().filter(|mark| mark.installation == ours);
        let there: HashSet<DatabaseId> = marks.map(|mark| mark.database).collect();
        let Some(cluster) = now else {
            let text = format!(
                "The server holds {} databases of this installation, though it is none of its clusters: a copy of one, \
                 or one that was removed while it did not answer. Drop them there, if nobody needs them.",
                there.len()
            );
            let found = (!there.is_empty()).then(|| Finding::new(About::Server, text));
            return Ok(found.into_iter().collect());
        };
        let mut conn = self.deps().catalog.acquire().await?;
        let mut known = databases::finished_on(&mut conn, cluster.id).await?;
        let templates = templates::list(&mut conn, cluster.id).await?;
        known.extend(templates.iter().filter(|one| one.ready).map(|one| one.id));
        let missing = known.iter().filter(|id| !there.contains(id)).count();
        let text = format!(
            "The server lacks {missing} of the {} databases of this cluster: it is another one, or not all was brought \
             there yet.",
            known.len()
        );
        Ok((missing > 0)
            .then(|| Finding::new(About::Host, text))
            .into_iter()
            .collect())
    }
}

enum Same {
    No,
    Yes,
    /// It has that one's identifier, and cannot be asked.
    Perhaps,
    /// It cannot be asked.
    Unknown,
}

fn in_clear(way: &WayIn, offers_tls: Option<bool>) -> Option<String> {
    use tenantry_catalog::clusters::TlsMode;
    let local = way
        .host
        .as_str()
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    if local {
        return None;
    }
    match way.tls {
        TlsMode::VerifyFull => None,
        TlsMode::Require => Some(
            "With `require` any certificate is taken: who can change traffic in between reads all of it. Use \
             `verify-full`, with the authority's certificate where it is no public one."
                .to_owned(),
        ),
        TlsMode::Prefer => Some(
            "With `prefer` who can change traffic in between reads all of it, as if there were no TLS. Use \
             `verify-full`."
                .to_owned(),
        ),
        TlsMode::Disable => Some(format!(
            "Passwords' proofs and all data go in clear{}.",
            match offers_tls {
                Some(true) => ", though the server offers TLS",
                _ => "",
            }
        )),
    }
}
