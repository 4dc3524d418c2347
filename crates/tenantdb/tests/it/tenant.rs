//! A seeded tenant and its people.

use sqlx::{Connection, PgConnection};
use tenantry_tenantdb::passwords::PasswordHash;
use tenantry_tenantdb::permission::UsersCreate;
use tenantry_tenantdb::principals::{self, Principal};
use tenantry_tenantdb::sessions::{self, Issued};
use tenantry_tenantdb::users::{self, New};
use tenantry_tenantdb::{roles, seed};
use tenantry_types::{Clock, Email, Entropy, UserId};

use crate::server::{Database, Databases, execute};

/// A hash that only has to have the form of one.
pub const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub struct Tenant {
    pub db: Database,
    pub conn: PgConnection,
    pub clock: Clock,
    pub entropy: Entropy,
    pub admin: Principal,
}

impl Tenant {
    pub async fn new(databases: &Databases) -> Self {
        let db = databases.migrated().await;
        let mut conn = db.app().await;
        let (clock, entropy) = (Clock::adjustable(), Entropy::system());
        let user_id = UserId::generate(&clock, &entropy);
        let first = seed::Admin {
            user_id,
            email: email("ann@acme.example"),
            password_hash: Some(hash()),
        };
        seed::seed(&mut conn, Some(&first), &clock, &entropy)
            .await
            .unwrap();
        let admin = sign_in(&mut conn, user_id, &clock, &entropy).await.0;
        Self {
            db,
            conn,
            clock,
            entropy,
            admin,
        }
    }

    /// Adds a person with these roles.
    pub async fn person(&mut self, address: &str, roles: &[&str]) -> UserId {
        let new = new(address, roles);
        let mut tx = self.conn.begin().await.unwrap();
        let granted = self.admin.grants.require::<UsersCreate>().unwrap();
        let user = users::insert(&mut tx, &granted, new, &self.clock, &self.entropy)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        user.id
    }

    /// Adds a role with these permissions, `resource:action`.
    pub async fn role(&mut self, name: &str, permissions: &[&str]) {
        let list = permissions.join("','");
        execute(
            &mut self.conn,
            format!(
                "WITH role AS (INSERT INTO tenantry.roles (id, name)
                               VALUES (gen_random_uuid(), '{name}') RETURNING id)
                 INSERT INTO tenantry.role_permissions
                 SELECT role.id, p.resource, p.action FROM role, tenantry.permissions p
                 WHERE p.resource || ':' || p.action IN ('{list}')"
            ),
        )
        .await;
    }

    pub async fn sign_in(&mut self, user: UserId) -> (Principal, Issued) {
        sign_in(&mut self.conn, user, &self.clock, &self.entropy).await
    }

    /// A person with these roles who is signed in.
    pub async fn principal(&mut self, address: &str, roles: &[&str]) -> Principal {
        let id = self.person(address, roles).await;
        self.sign_in(id).await.0
    }

    pub async fn load(&mut self, who: &Principal) -> Option<Principal> {
        principals::load(&mut self.conn, who.user_id, who.session_id, &self.clock)
            .await
            .unwrap()
    }
}

pub fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub fn hash() -> PasswordHash {
    PasswordHash::parse(HASH).unwrap()
}

pub fn new(address: &str, roles: &[&str]) -> New {
    New {
        email: email(address),
        name: String::new(),
        is_active: true,
        roles: owned(roles),
        password_hash: None,
    }
}

pub fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub fn lifetime() -> chrono::Duration {
    chrono::Duration::days(30)
}

/// The names of the built-in roles, sorted.
pub const BUILTIN: [&str; 3] = [roles::ADMIN, roles::EDITOR, roles::VIEWER];

async fn sign_in(
    conn: &mut PgConnection,
    user: UserId,
    clock: &Clock,
    entropy: &Entropy,
) -> (Principal, Issued) {
    let issued = sessions::begin(conn, user, clock, entropy, lifetime())
        .await
        .unwrap();
    let principal = principals::load(conn, user, issued.session, clock)
        .await
        .unwrap()
        .unwrap();
    (principal, issued)
}
