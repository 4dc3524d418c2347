//! Requests that go on while logins are replaced: signed in, each of which reads the tenant's database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::Tenant;
use crate::bench::http::{Connection, request};
use crate::bench::world::{World, no_answer};
use crate::failure::{Failure, Result};

/// Connections that ask without a pause.
pub struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    /// Begins; each tenant is asked by as many as the others, or one less.
    ///
    /// # Errors
    /// When the product does not answer.
    pub async fn begin(world: &World, tenants: &[Tenant], clients: u32) -> Result<Self> {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let mut all = JoinSet::new();
        for tenant in tenants.iter().cycle().take(clients as usize) {
            let asked = request("GET", "/me", &tenant.host, Some(&tenant.token), None);
            let http = world.http().await?;
            all.spawn(ask(http, asked, Arc::clone(&stop), Arc::clone(&served)));
        }
        Ok(Self {
            stop,
            served,
            clients: all,
        })
    }

    /// Ends; gives how many were served, and what the others were answered.
    ///
    /// # Errors
    /// When a client broke.
    pub async fn end(mut self) -> Result<(u64, Vec<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            let of_one = client.map_err(|error| Failure::because("a client broke", &error))?;
            failed.extend(of_one);
        }
        Ok((self.served.load(Ordering::Relaxed), failed))
    }
}

async fn ask(
    mut http: Connection,
    asked: Vec<u8>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match http.send(&asked).await {
            Ok(answer) if answer.status == 200 => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => failed.push(format!("status {}", answer.status)),
            Err(error) => {
                failed.push(no_answer(&error).text());
                return failed;
            }
        }
    }
    failed
}
