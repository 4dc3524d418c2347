//! The process itself, as Linux tells of it. Elsewhere these metrics are not there.

use std::fs;

use metrics::gauge;
use tenantry_types::metric;

/// Clock ticks per second in `/proc/self/stat`: 100 on every Linux that users see (`man 5 proc`,
/// `sysconf(_SC_CLK_TCK)`).
const TICKS: f64 = 100.0;

/// Reads what there is.
pub(super) fn read() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = field(&status, "VmRSS:") {
        gauge!(metric::PROCESS_MEMORY.name).set(kibibytes as f64 * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        gauge!(metric::PROCESS_THREADS.name).set(threads as f64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself, open for this look.
        gauge!(metric::PROCESS_FDS.name).set(open.count().saturating_sub(1) as f64);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = field(&limits, "Max open files") {
        gauge!(metric::PROCESS_MAX_FDS.name).set(most as f64);
    }
}

/// The processor time is written by hand: the recorder's counters have no fractions.
pub(super) fn write_cpu_seconds(text: &mut String) {
    let metric::Metric { name, about, .. } = metric::PROCESS_CPU;
    if let Some(seconds) = cpu_seconds() {
        text.push_str(&format!(
            "# HELP {name} {about}\n# TYPE {name} counter\n{name} {seconds}\n\n"
        ));
    }
}

/// User and system time.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything; fields are counted from behind it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
