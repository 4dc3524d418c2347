//! Final dumps: the `[dumps]` table.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// Whether purges take a final dump, where it is kept, and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DumpSettings {
    /// None: there are none.
    pub dir: Option<PathBuf>,
    /// true.
    pub before_purge: bool,
    /// 30d.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub keep: Duration,
    /// None: those of `PATH`.
    pub pg_bin: Option<PathBuf>,
}

impl Default for DumpSettings {
    fn default() -> Self {
        Self {
            dir: None,
            before_purge: true,
            keep: Duration::from_secs(30 * 24 * 3600),
            pg_bin: None,
        }
    }
}
