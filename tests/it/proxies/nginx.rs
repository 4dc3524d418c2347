//! `deploy/nginx/tenantry.conf.template` in nginx.

use std::path::{Path, PathBuf};
use std::process::Command;

use tenantry_testkit::{Dev, Process};

use super::{Product, Proxy, free_address, internal, keeps_its_promises, shipped};

const TEMPLATE: &str = "deploy/nginx/tenantry.conf.template";

/// Around the shipped file, what a machine has in `nginx.conf`; all that is written lies in the folder.
fn nginx(dev: &Dev, product: &Product) -> Proxy {
    let folder = dev.folder().join("nginx");
    std::fs::create_dir_all(&folder).expect("a folder");
    let (certificate, key) = certificate(&folder);
    let https = free_address();
    let conf = filled(&[
        ("LISTEN", https.to_string()),
        ("BASE_DOMAIN", "localhost".to_owned()),
        ("CERTIFICATE", certificate.display().to_string()),
        ("CERTIFICATE_KEY", key.display().to_string()),
        ("TENANTRY", dev.address().to_string()),
        ("INTERNAL", internal(dev)),
        ("PRODUCT", product.address.to_string()),
        ("USERS", "optional".to_owned()),
    ]);
    let shipped = folder.join("tenantry.conf");
    std::fs::write(&shipped, conf).expect("written");
    let at = |name: &str| folder.join(name).display().to_string();
    let user = if rustix::process::getuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let main = format!(
        "{user} daemon off; worker_processes 1; pid {}; error_log stderr warn;
         events {{ worker_connections 256; }}
         http {{
             access_log off;
             client_body_temp_path {}; proxy_temp_path {}; fastcgi_temp_path {};
             uwsgi_temp_path {}; scgi_temp_path {};
             include {};
         }}",
        at("pid"),
        at("body"),
        at("proxy"),
        at("fastcgi"),
        at("uwsgi"),
        at("scgi"),
        shipped.display(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, main).expect("written");
    let mut command = Command::new(program());
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    command.args(["-e", "stderr"]);
    Proxy {
        process: Process::spawn(command, dev.folder(), "nginx"),
        https,
        port: https.port(),
    }
}

/// What `envsubst` with the list of the file's head does.
fn filled(values: &[(&str, String)]) -> String {
    let mut conf = shipped(TEMPLATE);
    let head = conf.lines().take_while(|line| line.starts_with('#'));
    let head = head.collect::<Vec<_>>().join("\n");
    for (name, value) in values {
        assert!(
            head.contains(&format!("${name}")),
            "{name} is in envsubst's list"
        );
        conf = conf.replace(&format!("${{{name}}}"), value);
    }
    let rest = conf.lines().filter(|line| !line.starts_with('#'));
    assert!(
        !rest.into_iter().any(|line| line.contains("${")),
        "all is filled in: {conf}"
    );
    conf
}

/// One for all names, as nobody checks it here.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,DNS:*.localhost"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    (certificate, key)
}

fn program() -> PathBuf {
    let sbin = Path::new("/usr/sbin/nginx");
    match sbin.exists() {
        true => sbin.to_owned(),
        false => "nginx".into(),
    }
}

#[tokio::test]
async fn the_shipped_configuration_keeps_its_promises() {
    let mut dev = Dev::start();
    let product = Product::start().await;
    let proxy = nginx(&dev, &product).ready().await;
    let before = product.asked();
    let nobody = proxy.ask(&proxy.host("nobody"), "/", &[]).await;
    nobody.problem(404, "TENANT_NOT_FOUND");
    assert_eq!(product.asked(), before);
    keeps_its_promises(&mut dev, &product, &proxy).await;
}
