//! `tenantry serve`: the control plane and router on a configured catalog.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::Global;
use crate::compose::compose;
use crate::config::{Config, Overrides, Variables};
use crate::failure::Result;
use crate::internal::Internal;
use crate::listen::Listeners;
use crate::run;
use crate::stop::Stop;

const EXAMPLES: &str = "\
Examples:
  tenantry serve
  TENANTRY_BASE_DOMAINS=example.com tenantry serve --listen 0.0.0.0:3000";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// The address and port to listen on [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// The address and port for `/metrics`, or `off` [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR")]
    internal_listen: Option<String>,
}

impl Serve {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What stands in the way of a start.
    pub async fn run(self, global: &Global) -> Result<()> {
        let stop = Stop::on_signals()?;
        let mut flags = Overrides::default();
        if let Some(listen) = self.listen {
            flags = flags.text("listen", listen.to_string());
        }
        if let Some(internal) = self.internal_listen {
            flags = flags.text("internal_listen", internal);
        }
        let variables = Variables::of_process();
        let config = Config::load(
            global.config.as_deref(),
            &variables,
            &Overrides::default(),
            &flags,
        )?;
        let listeners = Listeners::bind(config.web.listen, "--listen or `listen`").await?;
        let internal = Internal::bind(&config.internal).await?;
        let Some(composed) = stop.unless(compose(&config)).await.transpose()? else {
            return Ok(());
        };
        // Who forgot to set the base domain sees it here, before a tenant gets a URL by it.
        tracing::info!(listen = %listeners.address(), internal = internal.as_ref().map(Internal::url), base_domains = ?config.web.base_domains, "serving");
        run::until_stopped(composed, listeners, internal, &stop).await
    }
}

/// An address with its port; what people write instead is told how to be written.
pub(super) fn address(text: &str) -> std::result::Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let meant = if let Ok(host) = text.parse::<IpAddr>() {
            SocketAddr::new(host, 3000).to_string()
        } else {
            let port = text.strip_prefix("localhost:").or(text.strip_prefix(':'));
            match port.unwrap_or(text).parse::<u16>() {
                Ok(port) => format!("127.0.0.1:{port}"),
                Err(_) => "127.0.0.1:3000".to_owned(),
            }
        };
        format!("an address and a port are needed; write it like {meant}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_lacks_something_is_told_whole() {
        for (text, meant) in [
            ("3100", "127.0.0.1:3100"),
            (":3100", "127.0.0.1:3100"),
            ("localhost:3100", "127.0.0.1:3100"),
            ("0.0.0.0", "0.0.0.0:3000"),
            ("::1", "[::1]:3000"),
            ("here", "127.0.0.1:3000"),
        ] {
            let told = address(text).expect_err(text);
            assert!(told.ends_with(&format!(" {meant}")), "{text}: {told}");
        }
        assert!(address("[::]:80").is_ok());
    }
}
