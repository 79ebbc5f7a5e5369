//! The events in the log of a server.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The maximum wait for an event.
const LOGGED_WITHIN: Duration = Duration::from_secs(20);

/// The lines of this event in a log file.
pub(crate) fn events_in(log_file: &Path, event: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(log_file).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line["event"] == event).collect()
}

/// Waits until this event was logged so often, and returns all its lines. For a server that has not finished its start;
/// otherwise use [`TestServer::wait_for_event`](crate::TestServer::wait_for_event).
///
/// # Panics
/// If it is logged less often within twenty seconds, or if there is no such file.
pub async fn wait_for_events(log_file: &Path, event: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let found = events_in(log_file, event);
        if found.len() >= count {
            return found;
        }
        let is_late = begun.elapsed() > LOGGED_WITHIN;
        assert!(!is_late, "{event} was logged {} times, not {count}, in {}", found.len(), log_file.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TempFolder;

    #[tokio::test]
    async fn events_are_found_by_their_names_as_soon_as_they_are_logged() {
        let folder = TempFolder::new();
        let log = folder.path().join("log");
        std::fs::write(&log, "not JSON\n{\"event\":\"sys_startup\"}\n{\"event\":\"sys").unwrap();
        assert_eq!((events_in(&log, "sys_startup").len(), events_in(&log, "sys").len()), (1, 0));
        let (file, waiting) = (log.clone(), wait_for_events(&log, "sys", 2));
        let logs = async move {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + "\n{\"event\":\"sys\"}\n").unwrap();
            }
        };
        assert_eq!(tokio::join!(waiting, logs).0.len(), 2);
    }
}
