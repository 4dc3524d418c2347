//! What a person sees once `tenantry dev` is ready.

use std::path::Path;

use tenantry_types::Secret;

/// The URLs, the token and something to try.
#[must_use]
pub fn banner(url: &str, internal: Option<&str>, data: &Path, token: &Secret) -> String {
    let metrics = internal.map_or_else(|| "off".to_owned(), |url| format!("{url}/metrics"));
    let port = url.rsplit_once(':').map_or("", |(_, port)| port);
    let env = data.join(super::folder::ENV);
    let token_file = data.join(super::folder::OPERATOR_TOKEN);
    let (env, token_file, token) = (env.display(), token_file.display(), token.expose());
    format!(
        r#"
Tenantry is ready.

  Setup API       {url}/setup/tenants
  Sign in         {url}/sign-in
  A tenant        http://<slug>.localhost:{port}
  Health          {url}/readyz
  Metrics         {metrics}
  Operator token  {token}
                  (also in {token_file})
  For psql and a second server:  set -a; . {env}; set +a

Create a tenant:

  curl {url}/setup/tenants \
    -H "authorization: Bearer $(cat {token_file})" \
    -H 'content-type: application/json' \
    -d '{{"name":"Acme","slug":"acme","admin":{{"email":"ann@acme.example","password":"correct horse"}}}}'

and sign in at its subdomain, in a browser or with:

  curl --resolve acme.localhost:{port}:127.0.0.1 http://acme.localhost:{port}/auth/login \
    -H 'content-type: application/json' \
    -d '{{"email":"ann@acme.example","password":"correct horse"}}'

Ctrl-C stops it; the data stays in {data}.
"#,
        data = data.display()
    )
}
