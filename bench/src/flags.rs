//! The flags of the programs.

use std::fmt::Display;
use std::str::FromStr;

/// The flags that a program was started with.
pub struct Flags<A> {
    arguments: A,
    /// The flag that was read last.
    name: String,
}

impl Flags<std::iter::Skip<std::env::Args>> {
    /// Those of this program.
    pub fn of_program() -> Self {
        Self { arguments: std::env::args().skip(1), name: String::new() }
    }
}

impl<A: Iterator<Item = String>> Flags<A> {
    /// The name of the next flag.
    pub fn next_name(&mut self) -> Option<String> {
        self.name = self.arguments.next()?;
        Some(self.name.clone())
    }

    /// The value of the flag that was read last.
    ///
    /// # Errors
    /// When there is none, or it has another form.
    pub fn value<T: FromStr<Err: Display>>(&mut self) -> Result<T, String> {
        let name = &self.name;
        let value = self.arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        value.parse().map_err(|error| format!("{name} {value:?}: {error}"))
    }

    /// The error that no program has the flag that was read last.
    pub fn unknown(&self) -> String {
        format!("unknown flag {}", self.name)
    }
}
