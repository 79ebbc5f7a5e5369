//! How many times one takes what another does, and what was promised of it.

use std::fmt::Write;

use crate::figures::{Goal, number, verdict};

pub struct Ratio {
    pub name: &'static str,
    pub measured: f64,
    pub goal: Goal,
}

impl Ratio {
    pub fn is_met(&self) -> bool {
        self.goal.is_met_by(self.measured)
    }
}

/// All of them, under a heading that says of what they are.
pub fn table(of: &str, ratios: &[Ratio]) -> String {
    let mut table = format!("| {of} | measured | promised | |\n| --- | ---: | ---: | --- |\n");
    for ratio in ratios {
        let (measured, word, limit) = (number(ratio.measured), ratio.goal.word(), ratio.goal.limit());
        writeln!(table, "| {} | {measured} | {word} {limit} | {} |", ratio.name, verdict(ratio.is_met()))
            .expect("memory takes all");
    }
    table
}
