//! `POST /setup/tenants/{id or slug}/logins`, with a password that is told once.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Progress, text};

/// What the login may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Define, read and write: what migrations may
    Owner,
    /// Read and write: what the product may
    User,
    /// Read
    #[default]
    Readonly,
}

/// A login that is wanted.
#[derive(Args, Debug)]
pub struct Wanted {
    /// What it may do
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// How many sessions it may have, at most 20
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    connections: u32,
    /// What for; kept in the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Wanted {
    /// One that works as the owner, for a program that needs two sessions.
    pub(in crate::cli) fn owner(reason: &str) -> Self {
        Self {
            role: Role::Owner,
            connections: 2,
            reason: Some(reason.to_owned()),
        }
    }

    /// Makes it; the answer has all that is needed to log in.
    pub(in crate::cli) async fn issue(
        &self,
        client: &Client,
        tenant: &str,
        ttl: &str,
        global: &Global,
    ) -> Result<Value> {
        let role = match self.role {
            Role::Owner => "owner",
            Role::User => "user",
            Role::Readonly => "readonly",
        };
        let mut body = json!({ "role": role, "ttl": ttl, "connections": self.connections });
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        let mut progress = Progress::of(&format!("Making a login for {tenant}"), global.output);
        let stopped = || {
            Failure::new(
                Exit::Interrupted,
                "stopped waiting; the login may be made all the same",
            )
            .next("its password is told to nobody, and it ends by itself")
        };
        let path = ["tenants", tenant, "logins"];
        let asked = client.create(&path, body, None, false);
        let answer = follow::unless_stopped(asked, stopped).await?;
        if answer.get("dbPassword").is_some() {
            return Ok(answer);
        }
        let id = text(&answer, "operationId");
        let mut operation = follow::to_its_end(client, &id, &mut progress).await?;
        match text(&operation, "status").as_str() {
            "done" => Ok(operation["result"].take()),
            status => Err(super::super::ended_as(status, &operation, &id)),
        }
    }
}
