//! What a benchmark gives back: one document with a stable shape, or a table of its main numbers.
//!
//! The shape is described in `docs/benchmarks.md`. Fields may be added; none changes its meaning
//! without a new `schema` number.

use std::time::Duration;

use serde::Serialize;

use super::cpu::{self, PerRequest};
use super::environment::Environment;
use super::pairs::{Spread, percentile};
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Shape};

const COLUMNS: [&str; 11] = [
    "FIGURE",
    "RATIO",
    "LOW-HIGH",
    "",
    "VALUE",
    "P50 MS",
    "P99 MS",
    "CPU US: SERVER",
    "POSTGRES",
    "CLIENT",
    "GOAL",
];

/// One run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The shape of this document.
    pub schema: u32,
    /// Which benchmark it was.
    pub bench: &'static str,
    /// Whether the numbers mean something: not from a debug build, nor from a run with tiny sizes.
    pub meaningful: bool,
    /// How much was measured.
    pub settings: serde_json::Value,
    /// Where it ran.
    pub environment: Environment,
    /// What came out.
    pub figures: Vec<Figure>,
}

/// One comparison.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// Its name, stable.
    pub name: String,
    /// What `value` counts.
    pub unit: Unit,
    /// The product's value divided by the bare one's, pair by pair.
    pub ratio: Spread,
    /// The product.
    pub product: Side,
    /// What it is compared with.
    pub bare: Side,
    /// What is to be reached, where something is.
    pub goal: Option<Goal>,
    /// Each pair by itself, in its order in time.
    pub pairs: Vec<Pair>,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Milliseconds of one request (the median of a turn).
    Milliseconds,
    /// Requests per second.
    PerSecond,
    /// Nanoseconds of one call.
    Nanoseconds,
    /// Microseconds of processor time.
    Microseconds,
    /// Megabytes (of a million bytes) of memory.
    Megabytes,
    /// Connections open at the same time.
    Connections,
}

/// One side over all pairs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// What it is.
    pub what: &'static str,
    /// In the figure's unit.
    pub value: Spread,
    /// Of all its requests.
    pub p50_ms: Option<f64>,
    /// Of all its requests.
    pub p99_ms: Option<f64>,
    /// How many these were.
    pub requests: usize,
    /// Per request, in microseconds; the median over the pairs.
    pub cpu_us: Option<PerRequest>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Goal {
    /// Which number it is about.
    of: Aim,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    met: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Aim {
    Ratio,
    Value,
}

/// What is wanted of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// A ratio of this or less.
    RatioAtMost(f64),
    /// A ratio of this or more.
    RatioAtLeast(f64),
    /// A ratio of this or less in every pair: a limit, which one pair breaks.
    EachRatioAtMost(f64),
    /// The product's value, this or less.
    ValueAtMost(f64),
    /// Nothing: the figure informs.
    Nothing,
}

/// One pair.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    product: f64,
    bare: f64,
    ratio: f64,
}

/// What one side did in one turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// In the figure's unit.
    pub value: f64,
    /// How long each request took.
    pub durations: Vec<Duration>,
    /// Per request.
    pub cpu: Option<PerRequest>,
}

impl Turn {
    /// A turn that counts by the median of its requests.
    pub fn of_requests(durations: Vec<Duration>, cpu: Option<PerRequest>) -> Self {
        Self {
            value: percentile(&durations, 0.5),
            durations,
            cpu,
        }
    }
}

impl Turn {
    /// A turn in which one number was read.
    pub fn of_value(value: f64) -> Self {
        Self {
            value,
            durations: Vec::new(),
            cpu: None,
        }
    }

    /// The same turn, by the program's processor time per request. Below what the kernel counts in,
    /// it is what the kernel counts in.
    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    pub fn server_cpu(&self) -> Self {
        let least = cpu::TICK as f64 / self.durations.len().max(1) as f64;
        Self::of_value(self.cpu.map_or(least, |cpu| cpu.server.max(least)))
    }
}

impl Figure {
    /// From the turns of both sides, the same number of each.
    pub fn new(
        name: impl Into<String>,
        unit: Unit,
        (product, product_turns): (&'static str, &[Turn]),
        (bare, bare_turns): (&'static str, &[Turn]),
        wanted: Wanted,
    ) -> Self {
        let pairs: Vec<Pair> = product_turns
            .iter()
            .zip(bare_turns)
            .map(|(product, bare)| Pair {
                product: product.value,
                bare: bare.value,
                ratio: product.value / bare.value,
            })
            .collect();
        let ratio = Spread::of(pairs.iter().map(|pair| pair.ratio));
        let product = Side::new(product, product_turns);
        Self {
            name: name.into(),
            unit,
            goal: wanted.goal(&ratio, product.value.median),
            ratio,
            product,
            bare: Side::new(bare, bare_turns),
            pairs,
        }
    }
}

impl Side {
    fn new(what: &'static str, turns: &[Turn]) -> Self {
        let all: Vec<Duration> = turns
            .iter()
            .flat_map(|turn| turn.durations.clone())
            .collect();
        let cpu: Vec<PerRequest> = turns.iter().filter_map(|turn| turn.cpu).collect();
        let middle = |of: fn(&PerRequest) -> f64| Spread::of(cpu.iter().map(of)).median;
        Self {
            what,
            value: Spread::of(turns.iter().map(|turn| turn.value)),
            p50_ms: (!all.is_empty()).then(|| percentile(&all, 0.5)),
            p99_ms: (!all.is_empty()).then(|| percentile(&all, 0.99)),
            requests: all.len(),
            cpu_us: (!cpu.is_empty()).then(|| PerRequest {
                server: middle(|cpu| cpu.server),
                postgres: middle(|cpu| cpu.postgres),
                client: middle(|cpu| cpu.client),
            }),
        }
    }
}

impl Wanted {
    fn goal(self, ratios: &Spread, value: f64) -> Option<Goal> {
        let ratio = ratios.median;
        let (of, at_most, at_least, met) = match self {
            Self::RatioAtMost(most) => (Aim::Ratio, Some(most), None, ratio <= most),
            Self::EachRatioAtMost(most) => (Aim::Ratio, Some(most), None, ratios.highest <= most),
            Self::RatioAtLeast(least) => (Aim::Ratio, None, Some(least), ratio >= least),
            Self::ValueAtMost(most) => (Aim::Value, Some(most), None, value <= most),
            Self::Nothing => return None,
        };
        Some(Goal {
            of,
            at_most,
            at_least,
            met,
        })
    }
}

impl Report {
    /// Prints it.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn print(&self, output: Output) -> Result<()> {
        match output {
            Output::Json => {
                let document = serde_json::to_value(self)
                    .map_err(|error| Failure::because("the report cannot be written", &error))?;
                output::json(&document)
            }
            Output::Table => self.print_table(),
        }
    }

    fn print_table(&self) -> Result<()> {
        for line in self.environment.lines() {
            output::line(&line)?;
        }
        output::line("")?;
        output::rows(
            &COLUMNS.map(|heading| (heading, Shape::Whole)),
            self.figures.iter().flat_map(Figure::cells),
        )?;
        if !self.meaningful {
            output::note("These numbers mean nothing: a debug build, or sizes for a test.");
        }
        Ok(())
    }
}

impl Figure {
    fn cells(&self) -> [Vec<String>; 2] {
        let side = |side: &Side| {
            let cpu = |of: fn(&PerRequest) -> f64| {
                side.cpu_us.as_ref().map(of).map_or_else(String::new, round)
            };
            [
                side.what.to_owned(),
                self.unit.print(side.value.median),
                side.p50_ms.map_or_else(String::new, milliseconds),
                side.p99_ms.map_or_else(String::new, milliseconds),
                cpu(|cpu| cpu.server),
                cpu(|cpu| cpu.postgres),
                cpu(|cpu| cpu.client),
            ]
        };
        let front = [
            self.name.clone(),
            format!("{:.3}", self.ratio.median),
            format!("{:.3}-{:.3}", self.ratio.lowest, self.ratio.highest),
        ];
        let goal = self.goal.map_or_else(String::new, Goal::print);
        let first = front.into_iter().chain(side(&self.product)).chain([goal]);
        let blank = std::iter::repeat_n(String::new(), 3);
        let second = blank.chain(side(&self.bare)).chain([String::new()]);
        [first.collect(), second.collect()]
    }
}

impl Goal {
    fn print(self) -> String {
        let of = match self.of {
            Aim::Ratio => "",
            Aim::Value => "value ",
        };
        let bound = match (self.at_most, self.at_least) {
            (Some(most), _) => format!("<= {most}"),
            (_, Some(least)) => format!(">= {least}"),
            _ => String::new(),
        };
        format!("{of}{bound}: {}", if self.met { "met" } else { "missed" })
    }
}

impl Unit {
    fn print(self, value: f64) -> String {
        match self {
            Self::Milliseconds => format!("{} ms", milliseconds(value)),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Nanoseconds => format!("{value:.0} ns"),
            Self::Microseconds => format!("{value:.1} us"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Connections => format!("{value:.0}"),
        }
    }
}

fn milliseconds(value: f64) -> String {
    format!("{value:.2}")
}

fn round(value: f64) -> String {
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(values: &[f64]) -> Vec<Turn> {
        let turn = |value: &f64| Turn {
            value: *value,
            durations: Vec::new(),
            cpu: None,
        };
        values.iter().map(turn).collect()
    }

    #[test]
    fn the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians() {
        let (product, bare) = (turns(&[2.0, 30.0, 4.0]), turns(&[1.0, 10.0, 4.0]));
        let figure = Figure::new(
            "x",
            Unit::Milliseconds,
            ("a", &product),
            ("b", &bare),
            Wanted::RatioAtMost(2.0),
        );
        assert!((figure.ratio.median - 2.0).abs() < 1e-9, "of 2, 3 and 1");
        assert!(figure.goal.is_some_and(|goal| goal.met));
    }
}
