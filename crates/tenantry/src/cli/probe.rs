//! `tenantry probe`: whether the `serve` of this machine answers, for health checks of containers,
//! whose image has no other program to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::Global;
use crate::client;
use crate::config::{Config, Overrides, Variables};
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::output;

/// Above the second that `/readyz` gives the catalog.
const PATIENCE: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Examples:
  tenantry probe
  tenantry probe --ready";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Probe {
    /// Ask whether requests can be served, catalog included, not only whether the process lives
    #[arg(long)]
    ready: bool,
}

impl Probe {
    /// Asks `/healthz` or `/readyz` at the configured listener.
    ///
    /// # Errors
    /// When there is no answer or it is not 200.
    pub async fn run(self, global: &Global) -> Result<()> {
        let none = Overrides::default();
        let config = Config::load(
            global.config.as_deref(),
            &Variables::of_process(),
            &none,
            &none,
        )?;
        let address = reachable(config.web.listen);
        let path = if self.ready { "readyz" } else { "healthz" };
        let http = client::to_this_machine(PATIENCE)?;
        let answer = http.get(format!("http://{address}/{path}")).send().await;
        let answer = answer.map_err(|error| {
            Failure::new(
                Exit::Unavailable,
                format!("no answer from {address}: {}", chain(&error.without_url())),
            )
            .next("is `tenantry serve` running, with the same `listen`?")
        })?;
        match answer.status() {
            status if status.is_success() => output::line("ok"),
            status => Err(Failure::new(
                Exit::Unavailable,
                format!("/{path} answers {}", status.as_u16()),
            )
            .next("the log of `tenantry serve` says why")),
        }
    }
}

/// A listener on all addresses is asked at the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_at_the_loopback() {
        let of = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(of("0.0.0.0:3000"), "127.0.0.1:3000");
        assert_eq!(of("[::]:80"), "[::1]:80");
        assert_eq!(of("10.0.0.7:3000"), "10.0.0.7:3000");
    }
}
