//! The tenants with most, a series each. Written by hand at each scrape: the recorder never forgets a
//! series that it has seen, and here one has to go as soon as another tenant takes its place.

use std::fmt::Write;

use tenantry_router::{By, Ranked, Router};
use tenantry_types::metric::{self, Metric};

/// Appends what the router tells.
pub(super) fn write(text: &mut String, router: &Router) {
    for (metric, by) in [
        (metric::TOP_WAITS, By::Waits),
        (metric::TOP_CONNECTIONS, By::Connections),
        (metric::TOP_ERRORS, By::Errors),
    ] {
        series(text, &metric, &router.top_tenants(by));
    }
}

fn series(text: &mut String, metric: &Metric, all: &[Ranked]) {
    let Metric { name, about, .. } = metric;
    let mut all = all.iter().take(metric::TENANTS).peekable();
    if all.peek().is_none() {
        return;
    }
    // Writing into a string cannot fail. An id is hexadecimal digits and hyphens: nothing to escape.
    let _ = write!(text, "# HELP {name} {about}\n# TYPE {name} gauge\n");
    for Ranked { tenant, count } in all {
        let _ = writeln!(text, "{name}{{tenant=\"{tenant}\"}} {count}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use tenantry_types::TenantId;

    use super::*;

    #[test]
    fn there_are_never_more_series_than_promised_and_none_without_a_tenant() {
        let all: Vec<Ranked> = (0..5_000)
            .map(|number| Ranked {
                tenant: TenantId::from_uuid(uuid::Uuid::from_u128(number)),
                count: 1,
            })
            .collect();
        let mut text = String::new();
        series(&mut text, &metric::TOP_ERRORS, &[]);
        assert_eq!(text, "");
        series(&mut text, &metric::TOP_ERRORS, &all);
        let lines = text.lines().filter(|line| line.contains("{tenant="));
        assert_eq!(lines.count(), metric::TENANTS);
        assert!(text.contains(
            "tenantry_router_top_tenant_failed_requests{tenant=\"00000000-0000-0000-0000-000000000003\"} 1\n"
        ));
    }
}
