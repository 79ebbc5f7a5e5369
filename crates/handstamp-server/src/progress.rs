//! The progress of work on files: a bar on a terminal, else lines.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that takes less than this has no line.
const FIRST_LINE_AFTER: Duration = Duration::from_secs(1);
/// How often a line tells the progress afterwards.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Tells how many bytes are done.
pub(crate) struct ByteProgress {
    bar: ProgressBar,
    name: &'static str,
    is_terminal: bool,
    next_line: Mutex<Instant>,
}

impl ByteProgress {
    pub(crate) fn new(name: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} %, {eta} left");
        let style = style.expect("the template is valid").progress_chars("=> ");
        Self {
            bar: ProgressBar::new(0).with_style(style).with_message(name),
            name,
            is_terminal: io::stderr().is_terminal(),
            next_line: Mutex::new(Instant::now() + FIRST_LINE_AFTER),
        }
    }

    /// Tells that so many bytes are done of all.
    pub(crate) fn update(&self, done: u64, all: u64) {
        if self.is_terminal {
            self.bar.set_length(all);
            self.bar.set_position(done);
            return;
        }
        let mut next_line = self.next_line.lock().expect("nothing panics while it holds the time");
        let now = Instant::now();
        if now >= *next_line && all > 0 {
            *next_line = now + TELL_EVERY;
            let _ = writeln!(io::stderr(), "handstamp: {}: {} %", self.name, done.saturating_mul(100) / all);
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
