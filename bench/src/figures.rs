//! Measured figures, and the goals that were promised for them.

use std::time::Duration;

/// The latencies of a number of answers, sorted.
#[derive(Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut latencies: Vec<_> = latencies.into_iter().collect();
        latencies.sort_unstable();
        Self(latencies)
    }
}

impl Latencies {
    /// These latencies and more.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        self.0.into_iter().chain(more.0).collect()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency in milliseconds that this many of a thousand answers took at most.
    pub fn per_mille(&self, of_a_thousand: usize) -> f64 {
        let place = (self.0.len() * of_a_thousand).div_ceil(1000).max(1) - 1;
        self.0.get(place).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// The median of the results of several rounds.
pub fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_unstable_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median, with the least and the greatest value.
pub fn with_spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{} ({}–{})", number(median(values.to_vec())), number(least), number(most))
}

/// A figure that was measured twice, without and under load, and the goal that was promised for it.
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub unloaded: Option<f64>,
    pub loaded: f64,
    pub goal: Option<Goal>,
}

#[derive(Clone, Copy)]
pub enum Goal {
    Under(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub fn limit(self) -> f64 {
        match self {
            Self::Under(limit) | Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    /// The words before the limit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Under(_) => "under",
            Self::AtMost(_) => "at most",
            Self::AtLeast(_) => "at least",
        }
    }

    pub fn is_met_by(self, measured: f64) -> bool {
        match self {
            Self::Under(limit) => measured < limit,
            Self::AtMost(limit) => measured <= limit,
            Self::AtLeast(limit) => measured >= limit,
        }
    }
}

impl Figure {
    pub fn is_met(&self) -> bool {
        self.goal.is_none_or(|goal| goal.is_met_by(self.loaded))
    }
}

/// The word for a goal in a table.
pub fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**NOT met**" }
}

/// A value with three significant digits.
pub fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "none".to_owned(),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
