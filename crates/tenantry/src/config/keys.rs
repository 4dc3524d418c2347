//! The list of all keys: what may be written, what it means, what holds without it.
//!
//! The structs beside this file read them; a test sets each key and sees that one of them does.

/// One setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// Its name in the file, with the table before a dot: `router.idle`.
    pub path: &'static str,
    /// How a variable's text is read.
    pub shape: Shape,
    /// What holds when it is not set, as it would be written.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
    /// How a value may look, where the default is none.
    pub example: Option<&'static str>,
    /// The flag of `tenantry serve` that sets it.
    pub flag: Option<&'static str>,
    /// Whether its value must be kept from readers of files and logs.
    pub secret: bool,
}

/// How the text of a variable becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Text,
    /// A number and a unit, like `15m` or `7d`.
    Duration,
    /// Texts between commas.
    List,
    /// A whole number.
    Number,
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Switch,
    /// Names with a whole number each: a table in the file, `name=1,other=2` in a variable.
    Numbers,
}

impl Key {
    /// Its variable: `TENANTRY_ROUTER_IDLE`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TENANTRY_{}", self.path.replace('.', "_").to_uppercase())
    }

    const fn example(mut self, value: &'static str) -> Self {
        self.example = Some(value);
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

const fn key(path: &'static str, shape: Shape, default: &'static str, about: &'static str) -> Key {
    Key {
        path,
        shape,
        default,
        about,
        example: None,
        flag: None,
        secret: false,
    }
}

use Shape::{Duration, List, Number, Numbers, Ratio, Switch, Text};

/// All settings.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("catalog_url", Text, "none; required", "The central database: postgres://login:password@host:port/database.").example("postgres://tenantry_admin:PASSWORD@db.internal:5432/tenantry_catalog").secret(),
    key("router_catalog_url", Text, "made by `tenantry init`", "The central database as the router reads it, with a login that sees only what routing needs.").example("postgres://tenantry_router:PASSWORD@db.internal:5432/tenantry_catalog").secret(),
    key("catalog_connections", Number, "16", "The most connections to the central database, of the control plane; the router has 8 more."),
    key("keys", Text, "none; required", "The keys that seal passwords and sign tokens, as `tenantry init` printed them.").example("as `tenantry init` printed them").secret(),
    key("keys_file", Text, "none", "A file that holds the keys, in the place of `keys`; `tenantry keys` writes changes to it.").example("/etc/tenantry/keys"),
    key("keys_command", Text, "none", "A command that prints the keys, in the place of `keys`: how a key management is plugged in. The shell runs it at each start, for 30 seconds at most; what it prints is told nobody.").example("vault kv get -field=keys secret/tenantry"),
    key("listen", Text, "127.0.0.1:3000", "The address and port of the public listener.").flag("--listen"),
    key("internal_listen", Text, "127.0.0.1:9464; a free port in `dev`", "The address and port of the internal listener with `/metrics` and `/internal/…`, or `off`.").flag("--internal-listen"),
    key("internal_allow_remote", Switch, "false", "Whether `internal_listen` may be an address that other machines reach. It asks nobody who they are: let only your monitoring and your proxies through."),
    key("internal_hosts", List, "none", "Names by which the internal listener may be asked (`tenantry` in `http://tenantry:9464/metrics`), besides `localhost` and addresses. A page of a stranger's can make a browser ask by a name of its own.").example("tenantry"),
    key("base_domains", List, "localhost", "Domains whose subdomains are tenants. The setup API answers at the domain itself."),
    key("public_url", Text, "https://<first base domain>", "How people reach the base domain; its scheme and port go into the URLs in answers.").example("https://example.com"),
    key("allow_tenant_header", Switch, "false; true in `dev`", "Whether `x-tenant-id` may choose the tenant. Only for development."),
    key("alias_headers", Switch, "true", "Whether `x-app-id`, `x-store-id` and `x-channel-token` may choose the tenant, by the aliases that operators set."),
    key("trusted_proxies", List, "none", "Addresses or networks (10.0.0.0/8) of proxies whose `X-Forwarded-For` and `X-Forwarded-Host` are believed; without them a proxy's clients share one limit on failed sign-ins.").example("10.0.0.0/8"),
    key("forwarded_host", Switch, "true", "Whether `X-Forwarded-Host` and `Forwarded` of `trusted_proxies` say which host was asked for. Each of them must set or remove both headers; else turn this off."),
    key("secure_cookies", Switch, "true; false in `dev`", "Whether cookies are sent over TLS only."),
    key("access_token_ttl", Duration, "15m", "How long an access token is good for."),
    key("refresh_token_ttl", Duration, "30d", "How long a sign-in lasts."),
    key("sign_in_tenants", Number, "8", "How many tenants a sign-in at a base domain tries at most, 1 to 64; who is in more signs in at a tenant's own host."),
    key("sign_in_floor", Duration, "1s", "When a refused sign-in at a base domain is answered: this long after it came, or at a multiple of it."),
    key("sign_in_code_ttl", Duration, "60s", "How long the one-time code is good that takes a sign-in from a base domain to a tenant's host."),
    key("purge_after", Duration, "7d", "How long a deleted tenant can be brought back."),
    key("redirect_after_rename", Duration, "7d", "How long the subdomain of a tenant's former slug redirects to the present one, and belongs to nobody else, where a rename does not say it."),
    key("names", Text, "readable", "Names of databases and logins: `readable` holds the slug, `opaque` hides it."),
    key("spares", Number, "2", "How many databases are kept ready on each cluster, so that a sign-up need not wait for a clone; 0 makes each when it is needed."),
    key("spares_max", Number, "20", "How many are kept ready at most: on each cluster as many as tenants were made there in the last minute, and `spares` at least."),
    key("doctor_every", Duration, "1h", "How often the doctor compares all that there is with all that there should be, in one process at a time; `0s`: only when somebody asks."),
    key("dns_resolver", Text, "the system's", "The address and port of the DNS server that is asked whether a tenant's own domain is proven.").example("192.0.2.53:53"),
    key("domain_recheck", Duration, "1d", "How often the record of a tenant's own domain is looked for again once the domain is served."),
    key("domain_lapse_after", Duration, "14d", "How long that record may be gone before the domain is served no more; `0s`: for ever."),
    key("request_timeout", Duration, "30s", "The longest that one request may take."),
    key("body_limit", Number, "262144", "The largest request body, in bytes."),
    key("router.per_tenant_max", Number, "10", "The most connections of one tenant, unless its plan has a number of its own."),
    key("router.plan_max", Numbers, "none", "The most connections of a tenant, by its plan.").example("pro=20,enterprise=40"),
    key("router.waiters_per_tenant", Number, "100", "How many requests of one tenant may wait for a connection; one more is answered TENANT_BUSY."),
    key("router.waiters_per_cluster", Number, "1000", "The same over all tenants of a cluster; where it is full, the newest of the longest queue is answered POOL_EXHAUSTED."),
    key("router.connects_in_flight", Number, "8", "How many connections are opened on one cluster at a time, by one tenant half of them."),
    key("router.idle", Duration, "1m", "How long an unused connection is kept."),
    key("router.acquire_wait", Duration, "3s", "How long a request waits for a connection."),
    key("router.connect_timeout", Duration, "3s", "How long opening a connection may take."),
    key("router.cache_capacity", Number, "100000", "How many tenants' routes are remembered."),
    key("router.cache_ttl", Duration, "5m", "How long a route is remembered without a change."),
    key("router.negative_ttl", Duration, "2s", "How long it is remembered that a host leads nowhere."),
    key("router.negative_capacity", Number, "10000", "How many hosts that lead nowhere are remembered."),
    key("router.lease", Duration, "5s", "How long a router that is not heard of still counts as alive."),
    key("router.poll", Duration, "1s", "How often the change log is read when no notification came."),
    key("router.listen", Switch, "true", "Whether to listen for notifications of changes; off behind a pooler in transaction mode."),
    key("router.away", Duration, "5m", "How long known tenants are served without the central database."),
    key("router.drain_deadline", Duration, "3s", "How long a fenced tenant's running requests may finish."),
    key("rotation.every", Text, "none: only when somebody asks", "How old the login may become that routers use for a tenant, before it is rotated by itself; less up to a tenth, so that not all are at once.").example("30d"),
    key("rotation.jitter", Duration, "10m", "Over how long scheduled rotations that are due together are spread."),
    key("rotation.wait", Duration, "5m", "How long requests that hold a connection of the former login may go on, before it is ended; also how long a router without the central database is."),
    key("rotation.at_once", Number, "4", "How many tenants are rotated at once when all are."),
    key("telemetry.otlp_endpoint", Text, "none: no traces; else OTEL_EXPORTER_OTLP_ENDPOINT", "Where traces are sent: the OpenTelemetry collector's address for OTLP over HTTP, to which `/v1/traces` is added; `off` for nowhere.").example("http://127.0.0.1:4318"),
    key("telemetry.otlp_headers", Text, "none; OTEL_EXPORTER_OTLP_HEADERS is sent as well", "Headers that the collector wants, `name=value` between commas.").example("authorization=Bearer TOKEN").secret(),
    key("telemetry.sample_ratio", Ratio, "1; else OTEL_TRACES_SAMPLER_ARG", "Which part of the traces that begin here is sent. One that a trusted proxy began is sent when the proxy sends it."),
    key("telemetry.service_name", Text, "tenantry; else OTEL_SERVICE_NAME", "What this program is called in traces."),
    key("telemetry.resource_attributes", List, "none; added to OTEL_RESOURCE_ATTRIBUTES", "What traces say of this program, `name=value` each.").example("deployment.environment.name=production"),
];

/// The key of this path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The known name most like a wrong one, if any is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut names: Vec<_> = KEYS.iter().map(Key::variable).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn each_key_says_what_it_is_for() {
        for key in KEYS {
            assert!(
                key.about.ends_with('.') && !key.default.is_empty(),
                "{}",
                key.path
            );
        }
    }
}
