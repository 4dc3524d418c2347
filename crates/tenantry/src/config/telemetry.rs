//! Where traces go: the `[telemetry]` table, and below it the variables that OpenTelemetry gives to
//! every program (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! Those are the defaults of our keys: what `tenantry.toml` or a `TENANTRY_…` variable says wins.

use std::collections::HashMap;

use reqwest::Url;
use serde::Deserialize;
use tenantry_types::Secret;

use crate::failure::{Failure, Result};

/// Traces and where they are sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TelemetrySettings {
    /// None: nothing is sent. See [`TelemetrySettings::endpoint`].
    pub otlp_endpoint: Option<String>,
    /// None. See [`TelemetrySettings::headers`].
    pub otlp_headers: Option<Secret>,
    /// 1. See [`TelemetrySettings::ratio`].
    pub sample_ratio: Option<f64>,
    /// `tenantry`.
    pub service_name: Option<String>,
    /// None. See [`TelemetrySettings::attributes`].
    pub resource_attributes: Vec<String>,
}

/// Looks up a variable of the environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Those of this process; an empty one counts as unset.
#[must_use]
pub fn of_process(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.trim().is_empty())
}

impl TelemetrySettings {
    /// Where traces are sent; none: nowhere.
    ///
    /// # Errors
    /// When it is no plain URL.
    pub fn endpoint(&self, env: Lookup<'_>) -> Result<Option<Url>> {
        const SWITCH: &str = "OTEL_SDK_DISABLED";
        const WHOLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        if env(SWITCH).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        if let Some(text) = &self.otlp_endpoint {
            return match text.trim() {
                "off" => Ok(None),
                text => below("`telemetry.otlp_endpoint`", text).map(Some),
            };
        }
        if let Some(text) = env(WHOLE) {
            return plain(WHOLE, text.trim()).map(Some);
        }
        env(BASE).map(|text| below(BASE, text.trim())).transpose()
    }

    /// Headers that the collector wants, e.g. for authorization.
    ///
    /// # Errors
    /// When they are no list like `name=value,name=value`.
    pub fn headers(&self) -> Result<HashMap<String, Secret>> {
        let Some(text) = &self.otlp_headers else {
            return Ok(HashMap::new());
        };
        // Nothing of the text is told: it is a secret.
        let wrong =
            || Failure::usage("`telemetry.otlp_headers` is no list like `name=value,name=value`");
        let pairs = text.expose().split(',').map(str::trim);
        pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
                let (name, value) = (name.trim(), value.trim());
                let sane = http::HeaderName::try_from(name).is_ok()
                    && http::HeaderValue::try_from(value).is_ok();
                match sane {
                    true => Ok((name.to_owned(), Secret::new(value))),
                    false => Err(wrong()),
                }
            })
            .collect()
    }

    /// Which part of the traces that begin here is kept.
    ///
    /// # Errors
    /// When it is not from 0 to 1.
    pub fn ratio(&self, env: Lookup<'_>) -> Result<f64> {
        let asked = || {
            let sampler = env("OTEL_TRACES_SAMPLER")?;
            match sampler.as_str() {
                "always_off" | "parentbased_always_off" => Some(0.0),
                "traceidratio" | "parentbased_traceidratio" => {
                    env("OTEL_TRACES_SAMPLER_ARG")?.trim().parse().ok()
                }
                _ => None,
            }
        };
        let ratio = self.sample_ratio.or_else(asked).unwrap_or(1.0);
        match (0.0..=1.0).contains(&ratio) {
            true => Ok(ratio),
            false => Err(Failure::usage(format!(
                "`telemetry.sample_ratio`: {ratio} is not from 0 to 1"
            ))),
        }
    }

    /// What this program is called in traces.
    #[must_use]
    pub fn service(&self, env: Lookup<'_>) -> String {
        let named = self
            .service_name
            .clone()
            .or_else(|| env("OTEL_SERVICE_NAME"));
        named.unwrap_or_else(|| "tenantry".to_owned())
    }

    /// What every span carries of the program: name and value. `OTEL_RESOURCE_ATTRIBUTES` is read by
    /// the SDK, and these win.
    ///
    /// # Errors
    /// When one is not `name=value`.
    pub fn attributes(&self) -> Result<Vec<(String, String)>> {
        let read = |text: &String| match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(Failure::usage(format!(
                "`telemetry.resource_attributes`: `{text}` is not `name=value`"
            ))),
        };
        self.resource_attributes.iter().map(read).collect()
    }

    /// Itself, if its parts are usable.
    pub(super) fn checked(self) -> Result<Self> {
        self.endpoint(&of_process)?;
        self.headers()?;
        self.ratio(&of_process)?;
        self.attributes()?;
        Ok(self)
    }
}

/// A collector's address, to which the path of traces is added.
fn below(name: &str, text: &str) -> Result<Url> {
    let mut url = plain(name, text)?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn plain(name: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text).ok();
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    url.filter(is_plain).ok_or_else(|| {
        Failure::usage(format!("{name} is no plain URL of a collector"))
            .next("write it like http://127.0.0.1:4318, credentials into `telemetry.otlp_headers`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn endpoint(key: Option<&str>, env: &[(&str, &str)]) -> Option<String> {
        let settings = TelemetrySettings {
            otlp_endpoint: key.map(str::to_owned),
            ..TelemetrySettings::default()
        };
        let look = |name: &str| {
            let found = env.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let url = settings.endpoint(&look).expect("usable");
        url.map(|url| url.to_string())
    }

    #[test]
    fn the_endpoint_is_ours_first_and_then_what_is_usual() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/otlp/");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/traces");
        assert_eq!(endpoint(None, &[]), None);
        let told = endpoint(None, &[base]);
        assert_eq!(told.as_deref(), Some("http://a:4318/otlp/v1/traces"));
        let told = endpoint(None, &[base, whole]);
        assert_eq!(told.as_deref(), Some("http://b/traces"));
        let told = endpoint(Some("https://c"), &[base, whole]);
        assert_eq!(told.as_deref(), Some("https://c/v1/traces"));
        assert_eq!(endpoint(Some("off"), &[base]), None);
        let off = ("OTEL_SDK_DISABLED", "true");
        assert_eq!(endpoint(Some("https://c"), &[off]), None);
    }

    #[test]
    fn what_is_no_plain_url_is_refused_and_not_told() {
        for bad in [
            "",
            "here",
            "ftp://a",
            "http://ann:hunter2@a",
            "http://a?x=hunter2",
        ] {
            let settings = TelemetrySettings {
                otlp_endpoint: Some(bad.to_owned()),
                ..TelemetrySettings::default()
            };
            let failure = settings.endpoint(&nothing).expect_err(bad);
            assert!(!failure.text().contains("hunter2"), "{}", failure.text());
        }
    }

    #[test]
    fn headers_are_secrets_and_wrong_ones_are_not_quoted() {
        let with = |text: &str| TelemetrySettings {
            otlp_headers: Some(Secret::new(text)),
            ..TelemetrySettings::default()
        };
        let settings = with("authorization=Bearer hunter2, x-team = a=b ,");
        let headers = settings.headers().expect("headers");
        assert_eq!(headers["authorization"].expose(), "Bearer hunter2");
        assert_eq!(headers["x-team"].expose(), "a=b");
        assert!(!format!("{settings:?} {headers:?}").contains("hunter2"));
        for bad in ["hunter2", "a b=hunter2", "x=hunter2\nforged"] {
            let failure = with(bad).headers().expect_err(bad);
            assert!(!failure.text().contains("hunter2"), "{}", failure.text());
        }
    }

    #[test]
    fn the_ratio_is_a_part_of_one() {
        let with = |sample_ratio| TelemetrySettings {
            sample_ratio,
            ..TelemetrySettings::default()
        };
        let usual = |name: &str| match name {
            "OTEL_TRACES_SAMPLER" => Some("parentbased_traceidratio".to_owned()),
            "OTEL_TRACES_SAMPLER_ARG" => Some("0.25".to_owned()),
            _ => None,
        };
        let told = |settings: TelemetrySettings, env: Lookup<'_>| settings.ratio(env).expect("one");
        assert!((told(with(None), &nothing) - 1.0).abs() < f64::EPSILON);
        assert!((told(with(None), &usual) - 0.25).abs() < f64::EPSILON);
        assert!((told(with(Some(0.5)), &usual) - 0.5).abs() < f64::EPSILON);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(with(Some(bad)).ratio(&nothing).is_err(), "{bad}");
        }
    }
}
