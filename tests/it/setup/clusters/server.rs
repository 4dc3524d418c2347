//! A private server beside that of a `tenantry dev`, and certificates for it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use serde_json::{Value, json};
use tenantry_devpg::{Server, Settings};
use tenantry_testkit::{Pg, logs};
use tenantry_types::{Entropy, Secret};

use crate::wait;

/// It ends when this is dropped.
pub(crate) struct Second {
    server: Server,
    superuser: Secret,
    admin: Secret,
    _folder: tempfile::TempDir,
}

impl Second {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("tenantry-second-")
            .tempdir()
            .expect("a folder");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).expect("Postgres's user can enter it");
        let entropy = Entropy::system();
        let (superuser, admin) = (entropy.password(), entropy.password());
        for secret in [&superuser, &admin] {
            logs::learn(secret.expose());
        }
        let data = folder.path().join("pg");
        let mut settings = Settings::new(data, superuser.clone(), admin.clone());
        settings.durable = false;
        Self {
            server: Server::start(settings).await.expect("a server"),
            superuser,
            admin,
            _folder: folder,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    pub(super) fn admin_password(&self) -> &str {
        self.admin.expose()
    }

    /// As the command line takes it, in clear.
    pub(crate) fn url(&self) -> String {
        let (password, port) = (self.admin_password(), self.port());
        format!("postgres://tenantry_admin:{password}@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// The way in as its superuser; it has no catalog.
    pub(crate) fn pg(&self) -> Pg {
        Pg {
            host: self.server.host().to_owned(),
            port: self.server.port(),
            superuser: "postgres".to_owned(),
            password: self.superuser.expose().to_owned(),
            catalog: "postgres".to_owned(),
        }
    }

    /// What registers it in clear, with `more` on top.
    pub(super) fn body(&self, name: &str, more: Value) -> Value {
        let mut body = json!({
            "name": name, "host": "127.0.0.1", "port": self.port(), "tls": "disable",
            "adminLogin": "tenantry_admin", "adminPassword": self.admin_password(),
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        body
    }

    /// The tenants' databases that are there.
    pub(super) async fn tenants(&self) -> Vec<String> {
        let sql =
            "SELECT datname::text FROM pg_database WHERE datname LIKE 'tenant\\_%' ORDER BY 1";
        self.pg().texts("postgres", sql).await
    }

    /// All that is there beyond what a new server has.
    pub(super) async fn ours(&self) -> Vec<String> {
        let sql = "SELECT datname::text FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')
                   UNION ALL SELECT rolname::text FROM pg_roles
                   WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'tenantry_admin') ORDER BY 1";
        self.pg().texts("postgres", sql).await
    }

    /// From now on it speaks TLS with this certificate.
    pub(super) async fn serve_tls(&self, certificate: &Certificate) {
        let pg = self.pg();
        let loaded = "SELECT pg_conf_load_time()::text";
        let before = pg.texts("postgres", loaded).await;
        for (file, text) in [
            ("test.crt", &certificate.chain),
            ("test.key", &certificate.key),
        ] {
            // By the server itself, so that they belong to its user. PEM has nothing that COPY would escape.
            let sql = format!(
                "COPY (SELECT unnest(string_to_array('{}', chr(10)))) TO PROGRAM 'umask 077; cat > {file}'",
                text.trim_end()
            );
            pg.run("postgres", &sql).await;
        }
        for sql in [
            "ALTER SYSTEM SET ssl_cert_file = 'test.crt'",
            "ALTER SYSTEM SET ssl_key_file = 'test.key'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            pg.run("postgres", sql).await;
        }
        wait::until(Duration::from_secs(20), "it is in force", async || {
            pg.texts("postgres", loaded).await != before
        })
        .await;
    }
}

/// An authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) pem: String,
}

/// A server's certificate and its key.
pub(super) struct Certificate {
    chain: String,
    key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        params.distinguished_name = subject;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a host.
    pub(super) fn certify(&self, host: &str) -> Certificate {
        self.until(host, 2999)
    }

    /// One that was good until the first day of 2020.
    pub(super) fn expired(&self, host: &str) -> Certificate {
        self.until(host, 2020)
    }

    fn until(&self, host: &str, year: i32) -> Certificate {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
