//! The bare side: two logins per database by hand, of which one takes over from the other.
//!
//! The admin's session is open, and verifiers are worked out before the clock runs. It switches nobody over,
//! waits for nobody, keeps no journal, and knows by itself which login is whose.

use std::time::Instant;

use sqlx::{ConnectOptions, PgConnection};
use tenantry_types::{Entropy, Secret};
use tenantry_vault::scram;

use super::Tenant;
use crate::bench::report::Turn;
use crate::bench::world::{World, bare_failed, close, connect, run};
use crate::failure::Result;

/// An admin's session, and which login each database is at.
pub struct ByHand<'a> {
    world: &'a World,
    admin: PgConnection,
    databases: Vec<Database>,
    next: usize,
    entropy: Entropy,
}

struct Database {
    name: String,
    /// The logins, the one in use first.
    logins: [String; 2],
}

/// One rotation, written down.
struct Rotation {
    make: String,
    name: String,
    login: String,
    password: Secret,
    retire: [String; 3],
}

impl<'a> ByHand<'a> {
    /// Makes both logins of each database, of which the first is used.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn new(world: &'a World, tenants: &[Tenant]) -> Result<Self> {
        let mut admin = connect(&world.admin()).await?;
        let mut databases = Vec::new();
        for tenant in tenants {
            let name = tenant.database.clone();
            let logins = [format!("{name}_hand"), format!("{name}_hand_2")];
            for login in &logins {
                let sql = format!("CREATE ROLE {login} NOLOGIN INHERIT IN ROLE tenantry_app");
                run(&mut admin, sql).await?;
            }
            databases.push(Database { name, logins });
        }
        Ok(Self {
            world,
            admin,
            databases,
            next: 0,
            entropy: Entropy::system(),
        })
    }

    /// Rotates some, one after another.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn turn(&mut self, rotations: u32) -> Result<Turn> {
        let all: Vec<_> = (0..rotations).map(|_| self.written()).collect();
        let mut durations = Vec::new();
        for rotation in all {
            let began = Instant::now();
            self.rotate(rotation).await?;
            durations.push(began.elapsed());
        }
        Ok(Turn::of_requests(durations, None))
    }

    /// The clock runs here and nowhere else.
    async fn rotate(&mut self, rotation: Rotation) -> Result<()> {
        run(&mut self.admin, rotation.make).await?;
        let options = self
            .world
            .login(&rotation.login, &rotation.password, &rotation.name);
        let mut proven = options
            .connect()
            .await
            .map_err(|error| bare_failed(&error))?;
        run(
            &mut proven,
            "SELECT database_id, epoch FROM tenantry_self.identity".to_owned(),
        )
        .await?;
        close(proven).await;
        for sql in rotation.retire {
            run(&mut self.admin, sql).await?;
        }
        Ok(())
    }

    fn written(&mut self) -> Rotation {
        let at = self.next % self.databases.len();
        self.next += 1;
        let password = self.entropy.password();
        let verifier = scram::verifier(
            &password,
            self.entropy.bytes::<16>(),
            scram::ROUTER_ITERATIONS,
        );
        let Database { name, logins } = &mut self.databases[at];
        logins.swap(0, 1);
        let [new, old] = logins;
        Rotation {
            make: format!(
                "ALTER ROLE {new} LOGIN INHERIT CONNECTION LIMIT -1 PASSWORD '{verifier}'; GRANT tenantry_app TO {new};
                 GRANT CONNECT ON DATABASE {name} TO {new}"
            ),
            name: name.clone(),
            login: new.clone(),
            password,
            retire: [
                format!("ALTER ROLE {old} NOLOGIN"),
                format!(
                    "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
                     JOIN pg_roles r ON r.oid = a.usesysid WHERE r.rolname = '{old}'"
                ),
                format!(
                    "ALTER ROLE {old} PASSWORD NULL CONNECTION LIMIT 0; REVOKE CONNECT ON DATABASE {name} FROM {old}"
                ),
            ],
        }
    }
}
