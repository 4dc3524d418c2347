//! The proof that a domain is a tenant's: a TXT record that only who runs the domain's zone can set.
//!
//! Asks the DNS and changes nothing. An answer is proof only when it holds the one text of this claim;
//! no answer says nothing, neither for nor against.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tenantry_catalog::domain_claims::Claim;
use tenantry_types::DomainName;

/// The label in front of the domain at which the record stands.
const LABEL: &str = "_tenantry-challenge";
/// What stands before the challenge in the record.
const WORD: &str = "tenantry-verify=";
/// How long one look may take, with all its tries.
const BOUND: Duration = Duration::from_secs(8);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);

/// The TXT record that proves a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands, without a final dot.
    pub name: String,
    /// What it holds.
    pub value: String,
}

impl Record {
    /// The record that proves this claim.
    #[must_use]
    pub fn of(claim: &Claim) -> Self {
        Self {
            name: record_name(&claim.name),
            value: format!("{WORD}{}", claim.challenge),
        }
    }
}

/// Whether there is room in a name (RFC 1035, 3.1) for the label of the record.
pub(super) fn fits(domain: &DomainName) -> bool {
    record_name(domain).len() <= 253
}

fn record_name(domain: &DomainName) -> String {
    format!("{LABEL}.{domain}")
}

/// What there is at the record's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The record.
    Record,
    /// Other records.
    Others,
    /// None, says who must know.
    Nothing,
}

/// Nobody said anything that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the resolver cannot be set up")]
    Setup(#[source] NetError),
    #[error("the DNS gave no answer")]
    Lookup(#[source] NetError),
    #[error("the DNS gave no answer in {BOUND:?}")]
    Late,
}

/// Looks for a record, by asking `at`, or whom this machine asks.
pub(super) async fn look(record: &Record, at: Option<SocketAddr>) -> Result<Seen, Unanswered> {
    let resolver = resolver(at).map_err(Unanswered::Setup)?;
    // Absolute: no search list of this machine is tried.
    let name = Name::from_ascii(format!("{}.", record.name))
        .map_err(|error| Unanswered::Setup(error.into()))?;
    let looking = resolver.lookup(name, RecordType::TXT);
    let found = match tokio::time::timeout(BOUND, looking).await {
        Err(_) => return Err(Unanswered::Late),
        Ok(Ok(found)) => found,
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NoError | ResponseCode::NXDomain,
            ..
        })))) => return Ok(Seen::Nothing),
        Ok(Err(error)) => return Err(Unanswered::Lookup(error)),
    };
    let mut seen = Seen::Nothing;
    for answer in found.answers() {
        if let RData::TXT(text) = &answer.data {
            // One record may come in pieces of 255 bytes, which are one text.
            if text.txt_data.concat().trim_ascii() == record.value.as_bytes() {
                return Ok(Seen::Record);
            }
            seen = Seen::Others;
        }
    }
    Ok(seen)
}

/// Made for each look: it follows the machine's configuration, and remembers nothing.
fn resolver(at: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = match at {
        Some(at) => {
            let mut server = NameServerConfig::udp_and_tcp(at.ip());
            for connection in &mut server.connections {
                connection.port = at.port();
            }
            let config = ResolverConfig::from_name_servers(vec![server]);
            TokioResolver::builder_with_config(config, provider)
        }
        None => TokioResolver::builder(provider)?,
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = TRY;
    options.attempts = 1;
    options.use_hosts_file = ResolveHosts::Never;
    // A forged answer has to repeat the question's mixture of case, too.
    options.case_randomization = true;
    builder.build()
}
