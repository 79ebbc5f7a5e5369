//! How many times one takes what another does, and what was promised of it.

use std::fmt::Write;

use crate::figures::number;

pub struct Ratio {
    pub name: &'static str,
    pub measured: f64,
    pub promised: Promise,
}

#[derive(Clone, Copy)]
pub enum Promise {
    AtMost(f64),
    AtLeast(f64),
}

impl Ratio {
    pub fn is_met(&self) -> bool {
        match self.promised {
            Promise::AtMost(limit) => self.measured <= limit,
            Promise::AtLeast(limit) => self.measured >= limit,
        }
    }
}

/// All of them, under a heading that says of what they are.
pub fn table(of: &str, ratios: &[Ratio]) -> String {
    let mut table = format!("| {of} | measured | promised | |\n| --- | ---: | ---: | --- |\n");
    for ratio in ratios {
        let (word, limit) = match ratio.promised {
            Promise::AtMost(limit) => ("at most", limit),
            Promise::AtLeast(limit) => ("at least", limit),
        };
        let said = if ratio.is_met() { "met" } else { "**NOT met**" };
        writeln!(table, "| {} | {} | {word} {limit} | {said} |", ratio.name, number(ratio.measured))
            .expect("memory takes all");
    }
    table
}
