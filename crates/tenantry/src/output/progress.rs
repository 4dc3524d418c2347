//! What a person sees while something takes its time: a bar or spinner on a terminal, a line now
//! and then elsewhere.
//!
//! There is one at a time, because there is one terminal: what else is printed meanwhile is printed
//! [`around`] it.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{Output, harmless, terminal};

/// How often a bar moves.
const TICK: Duration = Duration::from_millis(100);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Something that goes on. It is gone from the terminal when this is dropped, however that comes.
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    told_at: Instant,
}

impl Progress {
    /// Shows that `what` goes on. With JSON there are no lines: stderr is for the error then.
    #[must_use]
    pub fn of(what: &str, output: Output) -> Self {
        let mut progress = Self {
            bar: None,
            lines: output == Output::Table && !terminal().err.redraws,
            // What is over before a line is due needs none: not the lone "0 of 7".
            told_at: Instant::now(),
        };
        if terminal().err.redraws {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(spinner());
            bar.set_message(harmless(what));
            bar.enable_steady_tick(TICK);
            *drawn() = Some(bar.clone());
            progress.bar = Some(bar);
        }
        if progress.bar.is_none() {
            progress.say(what);
        }
        progress
    }

    /// Shows what goes on now.
    pub fn say(&mut self, what: &str) {
        let what = harmless(what);
        match &self.bar {
            Some(bar) => bar.set_message(what),
            None if self.lines => super::tell(&what),
            None => {}
        }
    }

    /// Shows the step that something is at: on a terminal only, since steps pass quickly.
    pub fn step(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(harmless(what));
        }
    }

    /// Shows that `done` of `total` are done.
    pub fn reach(&mut self, done: u64, total: u64, what: &str) {
        let what = harmless(what);
        match &self.bar {
            Some(bar) => {
                bar.set_message(what);
                if bar.length() != Some(total) {
                    bar.set_style(measured());
                    bar.set_length(total);
                    // The rate counts from here: what was before is not of this.
                    bar.reset();
                }
                bar.set_position(done);
            }
            None if self.lines && self.told_at.elapsed() >= LINE_EVERY => {
                super::tell(&format!("{done} of {total} {what}"));
                self.told_at = Instant::now();
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            *drawn() = None;
            bar.finish_and_clear();
        }
    }
}

/// Prints something while a bar may be on the terminal.
pub(super) fn around<T>(print: impl FnOnce() -> T) -> T {
    // Held while it prints, so that no new bar is drawn in between.
    let drawn = drawn();
    match drawn.as_ref() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn drawn() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Log lines, which go to stderr as well.
pub struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        around(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn spinner() -> ProgressStyle {
    style("{spinner} {msg} {elapsed}")
}

fn measured() -> ProgressStyle {
    style("[{bar:24}] {pos}/{len} {msg}  {per_sec}, {eta} left")
}

/// The texts are ours; if one were wrong, the plain bar is better than no program.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
