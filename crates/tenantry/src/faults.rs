//! Faults that a test asks for with TENANTRY_FAULT, in builds with the feature `faults` only.

use tenantry_lifecycle::engine::Faults;

#[cfg(feature = "faults")]
use crate::failure::Failure;
use crate::failure::Result;

/// The fault that a test asked for.
#[cfg(feature = "faults")]
pub fn asked_for() -> Result<Faults> {
    match std::env::var("TENANTRY_FAULT") {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map_err(|error| Failure::usage(format!("TENANTRY_FAULT: {error}"))),
        _ => Ok(Faults::none()),
    }
}

/// None: without the feature, the variable is refused as unknown.
#[cfg(not(feature = "faults"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
pub fn asked_for() -> Result<Faults> {
    Ok(Faults::none())
}
