//! `tenantry serve`: the control plane and router on a configured catalog.

use std::net::SocketAddr;

use clap::Args;

use super::Global;
use crate::compose::compose;
use crate::config::{Config, Overrides, Variables};
use crate::failure::Result;
use crate::listen::Listeners;
use crate::run;
use crate::stop::Stop;

/// Its own flags.
#[derive(Args, Debug)]
pub struct Serve {
    /// The address and port to listen on [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl Serve {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What stands in the way of a start.
    pub async fn run(self, global: &Global) -> Result<()> {
        let stop = Stop::on_signals()?;
        let flags = match self.listen {
            Some(listen) => Overrides::default().text("listen", listen.to_string()),
            None => Overrides::default(),
        };
        let variables = Variables::of_process();
        let config = Config::load(
            global.config.as_deref(),
            &variables,
            &Overrides::default(),
            &flags,
        )?;
        let listeners = Listeners::bind(config.web.listen).await?;
        let Some(composed) = stop.unless(compose(&config)).await.transpose()? else {
            return Ok(());
        };
        // Who forgot to set the base domain sees it here, before a tenant gets a URL by it.
        tracing::info!(listen = %listeners.address(), base_domains = ?config.web.base_domains, "serving");
        run::until_stopped(composed, listeners, &stop).await
    }
}
