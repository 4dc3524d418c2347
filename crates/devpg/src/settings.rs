//! What a caller decides about its private server.

use std::path::PathBuf;

use tenantry_types::Secret;

/// How to run one private server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of this server, made where it is missing: `pgdata/`, `postgres.log`, `port` and
    /// `lock` in it. Where the program runs as root, Postgres's own user must be able to reach it,
    /// so that no folder above it may be closed to others.
    pub data: PathBuf,
    /// The folder with `postgres` and `initdb`; `None` looks for it, see [`crate::find_binaries`].
    pub bin_dir: Option<PathBuf>,
    /// Name of the superuser, `postgres` by default. It is fixed when the data folder is made.
    pub superuser: String,
    /// Password of the superuser, fixed when the data folder is made.
    pub superuser_password: Secret,
    /// Name of the admin login that the product works with, `tenantry_admin` by default.
    pub admin: String,
    /// Password of the admin login, set anew on each start.
    pub admin_password: Secret,
    /// The port to listen on; `None` takes the port of the last run if it is free, else a free one.
    pub port: Option<u16>,
    /// Connections that the server accepts at once, 300 by default.
    pub max_connections: u32,
    /// Whether data must survive a crash of the machine, `true` by default. A crash of the program
    /// or of Postgres alone loses nothing either way.
    pub durable: bool,
}

impl Settings {
    /// Settings with the default names and limits.
    #[must_use]
    pub fn new(
        data: impl Into<PathBuf>,
        superuser_password: Secret,
        admin_password: Secret,
    ) -> Self {
        Self {
            data: data.into(),
            bin_dir: None,
            superuser: "postgres".to_owned(),
            superuser_password,
            admin: "tenantry_admin".to_owned(),
            admin_password,
            port: None,
            max_connections: 300,
            durable: true,
        }
    }
}
