//! Roles and times of tokens as flags.

use clap::builder::PossibleValue;
use tenantry_catalog::operators::Role as Kept;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role(Kept);

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        self.0.as_str()
    }
}

impl clap::ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: &[Role] = &[
            Role(Kept::Owner),
            Role(Kept::Operator),
            Role(Kept::ReadOnly),
            Role(Kept::Provisioner),
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            Kept::Owner => PossibleValue::new("owner").help("Everything"),
            Kept::Operator => {
                PossibleValue::new("operator").help("Tenants, clusters and operations")
            }
            Kept::ReadOnly => PossibleValue::new("read-only")
                .alias("read_only")
                .help("Reading what holds no secret"),
            Kept::Provisioner => PossibleValue::new("provisioner")
                .help("Creating tenants, and reading what it created"),
        })
    }
}
