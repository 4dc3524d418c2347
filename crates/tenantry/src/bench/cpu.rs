//! CPU time of processes, as Linux's `/proc` tells it: in hundredths of a second, which is why it
//! is read before and after many requests and never around one.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use serde::Serialize;

/// A hundredth of a second, `USER_HZ` of every Linux that Postgres runs on, in microseconds.
pub const TICK: u64 = 10_000;

/// CPU time that was used so far, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// By the program under test.
    server: u64,
    /// By Postgres with all its processes, those that have ended included.
    postgres: u64,
    /// By this process, which plays the client.
    client: u64,
}

/// CPU time per request, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PerRequest {
    /// Of the program under test; zero where the side has none.
    pub server: f64,
    /// Of Postgres.
    pub postgres: f64,
    /// Of the benchmark itself, which plays the client.
    pub client: f64,
}

/// The processes to look at.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The program under test, where there is one.
    pub server: Option<u32>,
    /// Postgres's first process.
    pub postmaster: u32,
}

impl Watch {
    /// What they used so far; none where the system does not tell.
    pub fn read(&self) -> Option<Used> {
        let server = match self.server {
            Some(pid) => Stat::of(pid)?.own,
            None => 0,
        };
        let postmaster = Stat::of(self.postmaster)?;
        let living: u64 = processes()
            .filter_map(Stat::of)
            .filter(|stat| stat.parent == self.postmaster)
            .map(|stat| stat.own)
            .sum();
        Some(Used {
            server: server * TICK,
            postgres: (postmaster.own + postmaster.ended_children + living) * TICK,
            client: Stat::of(std::process::id())?.own * TICK,
        })
    }
}

impl Used {
    /// What was used since `before`, per request.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
    pub fn since(self, before: Self, requests: usize) -> PerRequest {
        let each =
            |now: u64, before: u64| now.saturating_sub(before) as f64 / requests.max(1) as f64;
        PerRequest {
            server: each(self.server, before.server),
            postgres: each(self.postgres, before.postgres),
            client: each(self.client, before.client),
        }
    }
}

/// Processor time of a process's living threads, to the nanosecond: for one that does next to nothing.
pub struct Threads(HashMap<u32, u64>);

impl Threads {
    /// What they used so far; none where the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        let mut used = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let id = thread.file_name().to_str()?.parse().ok()?;
            // One that ends meanwhile has none.
            if let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) {
                used.insert(id, text.split(' ').next()?.parse().ok()?);
            }
        }
        (!used.is_empty()).then_some(Self(used))
    }

    /// What those that live now used since `before`. A thread that ended since is left out: those
    /// that wait for blocking work do.
    pub fn since(&self, before: &Self) -> Duration {
        let used = self.0.iter().map(|(id, now)| {
            let before = before.0.get(id).copied().unwrap_or_default();
            now.saturating_sub(before)
        });
        Duration::from_nanos(used.sum())
    }
}

/// Megabytes of memory (of a million bytes) that a process has resident.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn resident(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some((kibibytes * 1024) as f64 / 1e6)
}

/// What a process used, in ticks.
struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The fields of proc(5) after the name, which may hold blanks and brackets.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            ended_children: number(13)? + number(14)?,
        })
    }
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_a_thread_is_seen() {
        let me = std::process::id();
        let before = Threads::of(me).expect("told");
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(50) {}
        let used = Threads::of(me).expect("told").since(&before);
        assert!(used > Duration::ZERO, "{used:?}");
    }

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let stat = Stat::parse("42 (a ) b) S 7 42 42 0 -1 4194560 1 2 3 4 30 12 5 6 20 0 1 0 9");
        let stat = stat.expect("read");
        assert_eq!((stat.parent, stat.own, stat.ended_children), (7, 42, 11));
    }

    #[test]
    fn time_is_told_per_request() {
        let used = |server| Used {
            server,
            ..Used::default()
        };
        let each = used(50_000).since(used(10_000), 4);
        assert!((each.server - 10_000.0).abs() < f64::EPSILON);
    }
}
