//! Whether a server can be reached and lets its admin in, each failing point told apart.
//!
//! What a server says itself is never repeated: whoever may have a cluster looked at would else read what
//! any machine of the network answers. Nor is anything but a Postgres server told more of than that it is
//! none.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::CertificateError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{About, Finding};
use crate::{Address, Admin, AdminConn, ClusterError, TlsMode};

/// How long a server may take to accept a connection and to say whether it speaks TLS.
const BOUND: Duration = Duration::from_secs(5);
/// `SSLRequest` (Postgres manual, 55.7).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Asks whether somebody is there who speaks Postgres's protocol, and gives whether they speak TLS.
///
/// # Errors
/// What stands in the way.
pub async fn knock(address: &Address) -> Result<bool, Finding> {
    let (host, port) = (address.host(), address.port());
    let found = timeout(BOUND, lookup_host((host, port))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    if found.is_empty() {
        return Err(Finding::new(
            About::Host,
            format!(
                "The name {host} leads to no address: check its spelling and the DNS of this machine."
            ),
        ));
    }
    if let Some(odd) = found
        .iter()
        .map(SocketAddr::ip)
        .find(|ip| is_no_servers(*ip))
    {
        return Err(Finding::new(
            About::Host,
            format!(
                "{odd} is an address of this link, of many or of nobody, where no database server is to be."
            ),
        ));
    }
    let mut stream = match timeout(BOUND, TcpStream::connect(&found[..])).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(Finding::new(
                About::Host,
                format!(
                    "Nothing listens at {host} on port {port}: check both, and listen_addresses of the server."
                ),
            ));
        }
        Ok(Err(_)) | Err(_) => {
            return Err(Finding::new(
                About::Host,
                format!(
                    "{host} does not answer on port {port}: check both, and the firewalls between here and there."
                ),
            ));
        }
    };
    let mut answer = [0_u8];
    let asking = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    let asked = timeout(BOUND, asking).await;
    match (asked, answer[0]) {
        (Ok(Ok(_)), b'S') => Ok(true),
        (Ok(Ok(_)), b'N') => Ok(false),
        _ => Err(Finding::new(
            About::Host,
            format!(
                "What listens at {host} on port {port} does not answer as a Postgres server does."
            ),
        )),
    }
}

/// Addresses of the link only, where clouds tell their machines' secrets, and such as are no machine's.
fn is_no_servers(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => is_no_servers(IpAddr::V4(mapped)),
            None => {
                // Where AWS tells its machines' secrets by IPv6.
                let metadata = ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254];
                metadata || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast()
            }
        },
    }
}

/// Lets the admin in, as every later session does.
///
/// # Errors
/// What stands in the way.
pub async fn enter(admin: &Admin, offers_tls: bool, name: &str) -> Result<AdminConn, Finding> {
    let address = admin.address();
    if !offers_tls && matches!(address.tls(), TlsMode::Require | TlsMode::VerifyFull) {
        return Err(Finding::new(
            About::Tls,
            "The server offers no TLS: set ssl = on there; or choose `disable`, where the network in between \
             is yours alone.",
        ));
    }
    admin
        .connect(name)
        .await
        .map_err(|error| why_not(admin, &error))
}

fn why_not(admin: &Admin, error: &ClusterError) -> Finding {
    let login = admin.login();
    match error {
        ClusterError::Refused { sqlstate, .. } => refused(login, sqlstate),
        ClusterError::Unavailable {
            source: Some(source),
            ..
        } => unavailable(admin, source),
        ClusterError::Unavailable { source: None, .. } => Finding::new(
            About::Host,
            "The server did not let the login in within ten seconds; try again when it is less busy.",
        ),
        _ => Finding::new(
            About::Server,
            "The server broke off while the login was let in; its log says why.",
        ),
    }
}

fn refused(login: &tenantry_types::RoleName, sqlstate: &str) -> Finding {
    match sqlstate {
        "28P01" => Finding::new(
            About::Password,
            "The server knows no login with this name and password.",
        ),
        "28000" => Finding::new(
            About::Login,
            format!(
                "The server does not let the login {login} in from here, or not in this way: see its pg_hba.conf, \
                 and that the role may log in."
            ),
        ),
        "3D000" => Finding::new(
            About::Login,
            "The database that the admin is to work from does not exist there.",
        ),
        "42501" => Finding::new(
            About::Login,
            format!(
                "The login {login} may not connect to the database that it is to work from: GRANT CONNECT ON DATABASE \
                 … TO {login}."
            ),
        ),
        other => Finding::new(
            About::Login,
            format!("The server refuses the login {login} (code {other}); its log says why."),
        ),
    }
}

fn unavailable(admin: &Admin, source: &sqlx::Error) -> Finding {
    match source {
        sqlx::Error::Database(report) => match report.code().as_deref() {
            Some("53300") => Finding::new(
                About::Server,
                "The server has no connection left, for the admin neither: see max_connections, and who has them.",
            ),
            Some("57P03") => Finding::new(
                About::Server,
                "The server starts, stops or recovers just now; try again when it is ready.",
            ),
            code => Finding::new(
                About::Server,
                format!(
                    "The server lets nobody in right now (code {}); its log says why.",
                    code.unwrap_or("unknown")
                ),
            ),
        },
        sqlx::Error::Io(error) => {
            let inner = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(error) => tls(admin, error),
                None => Finding::new(
                    About::Host,
                    "The connection broke off while the login was let in; something in between may end it.",
                ),
            }
        }
        sqlx::Error::Tls(_) => Finding::new(
            About::RootCa,
            "The authority is no certificate that can be used, or the host is no name that a certificate can \
             be for.",
        ),
        _ => Finding::new(About::Server, "The server cannot be used right now."),
    }
}

fn tls(admin: &Admin, error: &rustls::Error) -> Finding {
    use CertificateError as E;
    let host = admin.address().host();
    let own = admin.address().has_root_ca();
    match error {
        rustls::Error::InvalidCertificate(E::UnknownIssuer) if own => Finding::new(
            About::RootCa,
            "The server's certificate is not from the authority that was given, nor from a public one.",
        ),
        rustls::Error::InvalidCertificate(E::UnknownIssuer) => Finding::new(
            About::Tls,
            "The server's certificate is not from a public authority: give the certificate of its own one.",
        ),
        rustls::Error::InvalidCertificate(
            E::NotValidForName | E::NotValidForNameContext { .. },
        ) => Finding::new(
            About::Host,
            format!(
                "The server's certificate is not for {host}: use the name that it is for, or have one made \
                     with {host} among its subjectAltNames."
            ),
        ),
        rustls::Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => Finding::new(
            About::Tls,
            "The server's certificate, or its authority's, has expired: have a new one made.",
        ),
        rustls::Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => {
            Finding::new(
                About::Tls,
                "The server's certificate is not valid yet: compare the clocks of the two machines.",
            )
        }
        rustls::Error::InvalidCertificate(_) => Finding::new(
            About::Tls,
            "The server's certificate is not one for a server, or cannot be read. An authority's own certificate \
             cannot serve, and one of version 1 neither.",
        ),
        _ => Finding::new(
            About::Tls,
            "Server and client found no common way of TLS: 1.2 is the least, with an ECDHE cipher.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_no_database_servers() {
        for no in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(is_no_servers(no.parse().expect("an address")), "{no}");
        }
        for yes in [
            "127.0.0.1",
            "::1",
            "10.0.0.5",
            "192.168.1.9",
            "fd12::5",
            "203.0.113.7",
        ] {
            assert!(!is_no_servers(yes.parse().expect("an address")), "{yes}");
        }
    }
}
