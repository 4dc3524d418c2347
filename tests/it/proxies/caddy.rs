//! `deploy/caddy/Caddyfile` in Caddy, with certificates on demand from its own authority.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use tenantry_testkit::{Dev, Process};

use super::{Product, Proxy, free_address, internal, keeps_its_promises};

fn caddy(dev: &Dev, product: &Product) -> Proxy {
    let folder = dev.folder().join("caddy");
    std::fs::create_dir_all(&folder).expect("a folder");
    let (http, https) = (free_address(), free_address());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let options = format!(
        "admin off
         http_port {}
         https_port {}
         auto_https disable_redirects
         local_certs
         skip_install_trust
         default_bind 127.0.0.1
         storage file_system {}",
        http.port(),
        https.port(),
        folder.display()
    );
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(root.join("deploy/caddy/Caddyfile"))
        .env("HOME", &folder)
        .env("XDG_CONFIG_HOME", &folder)
        .env("XDG_DATA_HOME", &folder)
        .env("BASE_DOMAIN", "localhost")
        .env("TENANTRY", dev.address().to_string())
        .env("INTERNAL", internal(dev))
        .env("PRODUCT", product.address.to_string())
        .env("GLOBAL_OPTIONS", options);
    Proxy {
        process: Process::spawn(command, dev.folder(), "caddy"),
        https,
        port: https.port(),
    }
}

#[tokio::test]
async fn the_shipped_configuration_keeps_its_promises() {
    let mut dev = Dev::start();
    let product = Product::start().await;
    let proxy = caddy(&dev, &product).ready().await;
    keeps_its_promises(&mut dev, &product, &proxy).await;
}

/// Tried without `ask` in the configuration: there is a certificate for anybody, and an answer.
#[tokio::test]
async fn a_certificate_is_made_for_tenants_names_only() {
    let dev = Dev::start();
    let product = Product::start().await;
    let proxy = caddy(&dev, &product).ready().await;
    let acme = dev.tenant("acme").await;
    let custom = format!("shop.{}.example", acme.slug);
    let slug = format!("{}-c", acme.slug);
    let body = serde_json::json!({ "name": "C", "slug": slug, "primaryDomain": custom });
    dev.operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    dev.prove(&slug, &custom).await;
    for known in [&proxy.host(&acme.slug), &custom] {
        assert_eq!(
            proxy.ask(known, "/", &[]).await.expect(200)["product"],
            true
        );
    }
    let before = product.asked();
    for unknown in [
        proxy.host("nobody"),
        format!("a.{}", proxy.host(&acme.slug)),
        format!("www.{}.example", acme.slug),
        "example.com".to_owned(),
    ] {
        let answer = proxy.try_ask(&unknown, Method::GET, "/", &[], None).await;
        assert!(answer.is_none(), "{unknown}: no handshake");
    }
    assert_eq!(product.asked(), before);
    let made = certificates(&dev.folder().join("caddy"));
    assert_eq!(
        made.len(),
        3,
        "two tenants' and the base domain's: {made:?}"
    );
}

fn certificates(folder: &Path) -> Vec<String> {
    let local = folder.join("certificates").join("local");
    let entries = std::fs::read_dir(local).expect("certificates");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}
