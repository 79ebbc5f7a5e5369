//! Ratios of two measured figures, and the goals that were promised for them.

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

/// A table of all ratios, with `of` as the heading of their names.
pub fn table(of: &str, ratios: &[Ratio]) -> String {
    let mut table = format!("| {of} | measured | promised | |\n| --- | ---: | ---: | --- |\n");
    for ratio in ratios {
        let (measured, word, limit) = (number(ratio.measured), ratio.goal.word(), ratio.goal.limit());
        writeln!(table, "| {} | {measured} | {word} {limit} | {} |", ratio.name, verdict(ratio.is_met()))
            .expect("writing to a String never fails");
    }
    table
}
