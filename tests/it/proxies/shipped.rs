//! What the shipped configurations hold, compared with the program.

use std::collections::BTreeSet;

use tenantry_api::internal::HEADERS;

use super::shipped;

/// A header that a configuration does not name is one that a client can make up, or that the product
/// never sees.
#[test]
fn each_names_all_headers_that_the_program_sends() {
    let nginx = shipped("deploy/nginx/tenantry.conf.template").to_lowercase();
    let caddy = shipped("deploy/caddy/Caddyfile").to_lowercase();
    let copied = caddy
        .lines()
        .find_map(|line| line.trim().strip_prefix("copy_headers "))
        .expect("copy_headers");
    let copied: BTreeSet<&str> = copied.split_whitespace().collect();
    assert_eq!(copied, HEADERS.iter().copied().collect());
    for header in HEADERS {
        let variable = format!("$upstream_http_{};", header.replace('-', "_"));
        assert!(nginx.contains(&variable), "{variable}");
        assert!(
            nginx.contains(&format!("proxy_set_header {header} ")),
            "{header}"
        );
        assert!(
            header.starts_with("x-tenantry-"),
            "Traefik takes all of these"
        );
    }
    let traefik = shipped("deploy/traefik/tenantry.yaml");
    let rule = "authResponseHeadersRegex: (?i)^x[-_]tenantry[-_]\n";
    assert!(traefik.contains(rule), "{rule}");
    let docs = shipped("docs/proxies.md");
    for header in HEADERS {
        assert!(
            docs.contains(&format!("| `{header}` |")),
            "docs/proxies.md: {header}"
        );
    }
}
