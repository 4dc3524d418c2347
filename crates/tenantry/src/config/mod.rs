//! The configuration: `tenantry.toml`, then `TENANTRY_…` variables, then flags.
//!
//! One struct per concern, each with its defaults; [`keys::KEYS`] lists every key once. A key or
//! variable that is not in the list is an error: a setting that was misspelt must not silently
//! leave its default in force.

mod catalog;
#[cfg(test)]
mod documents;
mod duration;
mod env;
mod internal;
mod key_source;
mod keys;
mod layers;
mod limits;
mod reference;
mod rotation;
mod router;
mod sign_in;
mod telemetry;
mod tenants;
mod web;

use std::path::Path;

use figment::Figment;
use serde::Deserialize;

use crate::failure::Result;

pub use catalog::CatalogSettings;
pub use env::Variables;
pub use internal::InternalSettings;
pub use key_source::KeySource;
pub use keys::KEYS;
pub use layers::Overrides;
pub use limits::LimitSettings;
pub use reference::{example, reference};
pub use rotation::RotationSettings;
pub use router::RouterSettings;
pub use sign_in::SignInSettings;
pub use telemetry::{TelemetrySettings, of_process};
pub use tenants::{Naming, TenantSettings};
pub use web::WebSettings;

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// The central database and the keys.
    pub catalog: CatalogSettings,
    /// Where we listen and how people reach us.
    pub web: WebSettings,
    /// Where those who run the program look.
    pub internal: InternalSettings,
    /// What is done with tenants.
    pub tenants: TenantSettings,
    /// What one request may take.
    pub limits: LimitSettings,
    /// Sign-ins at a base domain.
    pub sign_in: SignInSettings,
    /// Connections to tenants' databases.
    pub router: RouterSettings,
    /// Rotation of the logins of those.
    pub rotation: RotationSettings,
}

impl Config {
    /// Reads all layers; `defaults` lie under the file, `overrides` (flags) above the variables.
    ///
    /// `file` must exist when it is given; without one, `./tenantry.toml` is read if it is there.
    ///
    /// # Errors
    /// When a key or variable is unknown, or a value is not usable; the message names all of them.
    pub fn load(
        file: Option<&Path>,
        variables: &Variables,
        defaults: &Overrides,
        overrides: &Overrides,
    ) -> Result<Self> {
        let file = layers::file(file)?;
        variables.refuse_unknown()?;
        let figment = Figment::from(defaults)
            .merge(file)
            .merge(variables)
            .merge(overrides);
        let limits: LimitSettings = part(&figment)?;
        // Used before this, see `telemetry_of`, which tells nothing.
        part::<TelemetrySection>(&figment)?.telemetry.checked()?;
        Ok(Self {
            catalog: part(&figment)?,
            web: part::<WebSettings>(&figment)?.checked()?,
            internal: part::<InternalSettings>(&figment)?.checked()?,
            tenants: part(&figment)?,
            sign_in: part::<SignInSettings>(&figment)?.checked(&limits)?,
            limits,
            router: part::<RouterSection>(&figment)?.router,
            rotation: part::<RotationSection>(&figment)?.rotation,
        })
    }

    /// Where traces go, before anything else is looked at: the first line of the log may belong to
    /// one. Whatever is wrong is told by [`Config::load`], and until then nothing is exported.
    #[must_use]
    pub fn telemetry_of(file: Option<&Path>, variables: &Variables) -> TelemetrySettings {
        let read = || -> Result<TelemetrySettings> {
            let figment = Figment::from(layers::file(file)?).merge(variables);
            part::<TelemetrySection>(&figment)?.telemetry.checked()
        };
        read().unwrap_or_default()
    }
}

/// The `[router]` table.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RouterSection {
    router: RouterSettings,
}

/// The `[rotation]` table.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RotationSection {
    rotation: RotationSettings,
}

/// The `[telemetry]` table.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TelemetrySection {
    telemetry: TelemetrySettings,
}

/// The structs share one flat namespace: each takes its own keys and ignores the others'.
fn part<'de, T: Deserialize<'de>>(figment: &Figment) -> Result<T> {
    figment.extract().map_err(layers::explain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::exit::Exit;

    fn load(file: &str, variables: &[(&str, &str)], flags: Overrides) -> Result<Config> {
        let mut toml = tempfile::NamedTempFile::new().expect("a file");
        toml.write_all(file.as_bytes()).expect("written");
        let variables = Variables::of(variables.iter().copied());
        Config::load(Some(toml.path()), &variables, &Overrides::default(), &flags)
    }

    fn refused(file: &str, variables: &[(&str, &str)]) -> String {
        let failure = load(file, variables, Overrides::default()).expect_err("refused");
        assert_eq!(failure.exit(), Exit::Usage);
        failure.text()
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        let config = load("", &[], Overrides::default()).expect("a configuration");
        assert_eq!(config.web.listen.to_string(), "127.0.0.1:3000");
        assert_eq!(config.web.base_domains, ["localhost"]);
        assert!(
            !config.web.allow_tenant_header,
            "off unless it is asked for"
        );
        assert!(config.web.secure_cookies);
        assert_eq!(config.tenants.purge_after.as_secs(), 7 * 24 * 3600);
        assert!(config.catalog.catalog_url.is_none());
    }

    #[test]
    fn a_variable_wins_over_the_file_and_a_flag_over_both() {
        let file = "listen = \"127.0.0.1:1\"\npurge_after = \"1h\"\n[router]\nidle = \"5s\"";
        let variables = [
            ("TENANTRY_LISTEN", "127.0.0.1:2"),
            ("TENANTRY_ROUTER_IDLE", "7s"),
        ];
        let config = load(file, &variables, Overrides::default()).expect("a configuration");
        assert_eq!(config.web.listen.port(), 2);
        assert_eq!(config.tenants.purge_after.as_secs(), 3600);
        assert_eq!(config.router.idle.as_secs(), 7);
        let flags = Overrides::default().text("listen", "127.0.0.1:3");
        let config = load(file, &variables, flags).expect("a configuration");
        assert_eq!(config.web.listen.port(), 3);
    }

    /// What a setting's description says of `0s` is so, and of those that say nothing as well.
    #[test]
    fn no_time_at_all_is_for_those_that_say_what_it_means() {
        let durations = KEYS.iter().filter(|key| key.shape == keys::Shape::Duration);
        for key in durations {
            let variable = key.variable();
            let zero = [(variable.as_str(), "0s")];
            let taken = load("", &zero, Overrides::default()).is_ok();
            assert_eq!(taken, key.about.contains("`0s`"), "{variable}");
        }
    }

    #[test]
    fn variables_give_lists_numbers_and_switches() {
        let config = load(
            "",
            &[
                ("TENANTRY_BASE_DOMAINS", "example.com, example.org"),
                ("TENANTRY_ROUTER_PER_TENANT_MAX", "4"),
                ("TENANTRY_ALLOW_TENANT_HEADER", "true"),
                ("TENANTRY_KEYS", "12345"),
                ("TENANTRY_CATALOG_URL", "postgres://a:b@c/d"),
            ],
            Overrides::default(),
        )
        .expect("a configuration");
        assert_eq!(config.web.base_domains, ["example.com", "example.org"]);
        assert_eq!(config.router.per_tenant_max, 4);
        assert!(config.web.allow_tenant_header);
        let keys = config
            .catalog
            .keys
            .expect("keys that look like a number stay text");
        assert_eq!(keys.expose(), "12345");
    }

    #[test]
    fn connections_by_plan_are_a_table_or_pairs() {
        let pro = tenantry_types::Plan::parse("pro").expect("a plan");
        let file = load("[router.plan_max]\npro = 20", &[], Overrides::default());
        let variables = [("TENANTRY_ROUTER_PLAN_MAX", "pro = 20, free=2")];
        let variable = load("", &variables, Overrides::default());
        for (config, plans) in [(file, 1), (variable, 2)] {
            let config = config.expect("a configuration");
            assert_eq!(config.router.plan_max.len(), plans);
            assert_eq!(config.router.plan_max[&pro], 20);
        }
        for bad in ["pro", "pro=many", "Pro Plan=3", "pro=-1"] {
            let text = refused("", &[("TENANTRY_ROUTER_PLAN_MAX", bad)]);
            assert!(text.contains("PLAN_MAX"), "{text}");
        }
    }

    #[test]
    fn trusted_proxies_are_addresses_and_networks() {
        let proxies = |text: &str| {
            let variables = [("TENANTRY_TRUSTED_PROXIES", text)];
            let config = load("", &variables, Overrides::default())?;
            Ok::<_, crate::failure::Failure>(
                config
                    .web
                    .proxies()?
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            )
        };
        let read = proxies("192.0.2.1, 10.0.0.0/8,2001:db8::/48").expect("proxies");
        assert_eq!(read, ["192.0.2.1/32", "10.0.0.0/8", "2001:db8::/48"]);
        assert!(proxies("").expect("none").is_empty());
        for bad in [
            "proxy.example",
            "10.0.0.0/33",
            "10.0.0",
            "*",
            "192.0.2.1:80",
        ] {
            let failure = proxies(bad).expect_err(bad);
            assert!(failure.text().contains(bad), "{}", failure.text());
        }
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let variables = [("TENANTRY_KEYS", ""), ("TENANTRY_LISTEN", " ")];
        let config = load("", &variables, Overrides::default()).expect("a configuration");
        assert!(config.catalog.keys.is_none());
        assert_eq!(config.web.listen.port(), 3000);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let text = refused("catalog_ulr = \"x\"", &[]);
        assert!(
            text.contains("catalog_ulr") && text.contains("did you mean `catalog_url`"),
            "{text}"
        );
        let text = refused("[router]\nidel = \"5s\"", &[]);
        assert!(
            text.contains("router.idel") && text.contains("`router.idle`"),
            "{text}"
        );
        assert!(refused("[reuter]\nidle = \"5s\"", &[]).contains("`reuter.idle`"));
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_name() {
        let text = refused("", &[("TENANTRY_CATALOG_ULR", "x")]);
        assert!(text.contains("TENANTRY_CATALOG_ULR"), "{text}");
        assert!(
            text.contains("did you mean `TENANTRY_CATALOG_URL`"),
            "{text}"
        );
    }

    #[test]
    fn the_command_lines_own_variables_are_let_through() {
        let known = [
            ("TENANTRY_URL", "x"),
            ("TENANTRY_TOKEN", "x"),
            ("TENANTRY_TEST_PG", "16"),
        ];
        assert!(load("", &known, Overrides::default()).is_ok());
    }

    #[test]
    fn faults_are_known_only_where_they_are_built_in() {
        let loaded = load("", &[("TENANTRY_FAULT", "x")], Overrides::default());
        assert_eq!(loaded.is_ok(), cfg!(feature = "faults"));
    }

    #[test]
    fn a_wrong_value_names_its_key_and_where_it_came_from() {
        let text = refused("purge_after = \"soon\"", &[]);
        assert!(
            text.contains("purge_after") && text.contains("7d"),
            "{text}"
        );
        let text = refused("", &[("TENANTRY_ROUTER_LEASE", "5")]);
        assert!(text.contains("TENANTRY_ROUTER_LEASE"), "{text}");
        let text = refused("", &[("TENANTRY_SECURE_COOKIES", "perhaps")]);
        assert!(text.contains("TENANTRY_SECURE_COOKIES"), "{text}");
        let text = refused("", &[("TENANTRY_NAMES", "pretty")]);
        assert!(
            text.contains("readable") && text.contains("opaque"),
            "{text}"
        );
    }

    #[test]
    fn a_refused_sign_in_is_answered_before_its_request_is_given_up() {
        let text = refused("sign_in_floor = \"31s\"", &[]);
        assert!(text.contains("sign_in_floor"), "{text}");
        let text = refused("", &[("TENANTRY_SIGN_IN_TENANTS", "0")]);
        assert!(text.contains("sign_in_tenants"), "{text}");
    }

    #[test]
    fn a_broken_file_says_where() {
        assert!(refused("listen = ", &[]).contains("line 1"));
    }

    #[test]
    fn every_listed_key_is_read_by_a_struct() {
        for key in KEYS {
            let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
            let head = if table.is_empty() {
                String::new()
            } else {
                format!("[{table}]\n")
            };
            let file = format!("{head}{name} = {{ no = \"value has this shape\" }}");
            assert!(
                load(&file, &[], Overrides::default()).is_err(),
                "nothing reads `{}`",
                key.path
            );
        }
    }

    #[test]
    fn what_holds_a_secret_is_masked_when_printed() {
        let variables = [
            ("TENANTRY_CATALOG_URL", "postgres://a:hunter2@c/d"),
            ("TENANTRY_KEYS", "hunter2"),
        ];
        let config = load("", &variables, Overrides::default()).expect("a configuration");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
