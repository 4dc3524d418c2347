//! A tenant, made through the setup API and signed in to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::logs::Watch;
use crate::{Client, Dev};

/// The password of each admin that [`Dev::tenant`] makes.
pub const ADMIN_PASSWORD: &str = "correct horse battery";

/// A name that no other test of this process uses, e.g. `acme-7`.
#[must_use]
pub fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{word}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A tenant that is active.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its slug.
    pub slug: String,
    /// Its database.
    pub db_name: String,
    /// The product's own login.
    pub db_username: String,
    /// That login's password.
    pub db_password: String,
    /// The admin's mail address.
    pub email: String,
    /// The admin's id.
    pub user_id: String,
    /// A client of its host, signed in as the admin.
    pub admin: Client,
    /// The admin's refresh token.
    pub refresh_token: String,
    /// What was logged meanwhile is looked at when the tenant is done with.
    #[expect(dead_code, reason = "held for its drop")]
    watch: Watch,
}

impl Tenant {
    /// The login for migrations.
    #[must_use]
    pub fn owner(&self) -> String {
        format!("{}_owner", self.db_name)
    }

    /// The router's login.
    #[must_use]
    pub fn router(&self) -> String {
        format!("{}_router", self.db_name)
    }

    /// All its logins.
    #[must_use]
    pub fn logins(&self) -> [String; 3] {
        [self.owner(), self.router(), self.db_username.clone()]
    }
}

impl Dev {
    /// Makes a tenant with an admin and signs in.
    pub async fn tenant(&self, word: &str) -> Tenant {
        self.tenant_once_served(word, Duration::ZERO).await
    }

    /// The same, where the server may be refusing new connections for a while: after a router died,
    /// until its share of them is free again.
    pub async fn tenant_once_served(&self, word: &str, patience: Duration) -> Tenant {
        let slug = unique(word);
        let email = format!("ann@{slug}.example");
        let made = self
            .operator()
            .post(
                "/setup/tenants",
                json!({
                    "name": format!("The {slug}"), "slug": slug,
                    "admin": { "email": email, "password": ADMIN_PASSWORD },
                }),
            )
            .await
            .expect(201);
        let host = self.at(&slug);
        let until = Instant::now() + patience;
        let body = json!({ "email": email, "password": ADMIN_PASSWORD });
        while Instant::now() < until && host.post("/auth/login", body.clone()).await.status == 503 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let login = sign_in(&host, &email, ADMIN_PASSWORD).await;
        Tenant {
            id: text(&made, "tenantId"),
            db_name: text(&made, "dbName"),
            db_username: text(&made, "dbUsername"),
            db_password: text(&made, "dbPassword"),
            user_id: text(&login, "userId"),
            admin: host.bearer(&text(&login, "accessToken")),
            refresh_token: text(&login, "refreshToken"),
            watch: Watch::over(self.log_file()),
            slug,
            email,
        }
    }
}

/// Signs in at a tenant's host and gives the answer.
pub(crate) async fn sign_in(host: &Client, email: &str, password: &str) -> Value {
    host.anonymous()
        .post(
            "/auth/login",
            json!({ "email": email, "password": password }),
        )
        .await
        .expect(200)
}

impl Client {
    /// Signs in at this tenant's host; the client with the token, and the whole answer.
    pub async fn sign_in(&self, email: &str, password: &str) -> (Self, Value) {
        let answer = sign_in(self, email, password).await;
        (self.bearer(&text(&answer, "accessToken")), answer)
    }
}

fn text(value: &Value, field: &str) -> String {
    let text = value[field].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "no `{field}` in {value}");
    text.to_owned()
}
