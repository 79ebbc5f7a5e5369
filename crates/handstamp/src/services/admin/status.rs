//! The state of the site for an operator: nodes, outbox and database, and how many events each hour had.

use std::time::Duration;

use handstamp_core::Timestamp;

use crate::internal_error::InternalError;
use crate::model::{DatabaseReport, DatabaseStatus, EventCounts, OutboxChannel, UndeliveredMessage};
use crate::services::{ActError, Services};
use crate::store::{InvalidationLog, NodeStatusRow, Position};

/// The state of a site.
pub(crate) struct SiteStatus {
    /// The newest position of the invalidation log.
    pub(crate) newest: Position,
    /// The nodes, each with how long this one has seen no renewal of its lease.
    pub(crate) nodes: Vec<(NodeStatusRow, Duration)>,
    /// For each channel of the outbox the number of messages that wait, and when the oldest was written.
    pub(crate) outbox: Vec<(OutboxChannel, u64, Option<Timestamp>)>,
    pub(crate) undelivered: Vec<UndeliveredMessage>,
    pub(crate) database: DatabaseStatus,
}

impl Services {
    /// The state of the site.
    pub(crate) async fn site_status(&self) -> Result<SiteStatus, ActError> {
        let (newest, nodes) = self.store.node_statuses().await?;
        let rows: Vec<_> = nodes.iter().map(|node| node.row).collect();
        let silences = self.sessions.silences_of(&rows);
        let mut outbox = Vec::new();
        for channel in OutboxChannel::ALL {
            let (messages, oldest) = self.store.waiting_messages(channel).await?;
            outbox.push((channel, messages, oldest));
        }
        Ok(SiteStatus {
            newest,
            nodes: nodes.into_iter().zip(silences).collect(),
            outbox,
            undelivered: self.store.undelivered_messages().await?,
            database: self.store.database_status().await?,
        })
    }

    /// The database with the settings that matter.
    pub(crate) async fn database_report(&self) -> Result<DatabaseReport, InternalError> {
        let DatabaseStatus { kind, version, schema, .. } = self.store.database_status().await?;
        let settings = self.store.durability_settings().await?;
        let asked = self.environment.clock_reading().wall;
        let clock = self.store.clock().await?;
        // Half of the time on the way is before the clock is read, and half after it.
        let here = (asked + self.environment.clock_reading().wall) / 2;
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let clock_ahead = clock.map(|there| milliseconds(there) - milliseconds(here));
        Ok(DatabaseReport { kind, version, schema, settings, clock_ahead })
    }

    /// How many events each of the last periods of this length had, the oldest first. The last one is not over.
    pub(crate) async fn event_counts(
        &self,
        period: Duration,
        periods: u64,
    ) -> Result<Vec<(Timestamp, EventCounts)>, ActError> {
        let (length, now) = (period.as_secs(), self.sessions.now().unix_seconds());
        let first = (now / length + 1).saturating_sub(periods) * length;
        let at = Timestamp::from_unix_seconds;
        let mut counts: Vec<_> =
            (0..periods).map(|number| (at(first + number * length), EventCounts::default())).collect();
        for (hour, counted) in self.store.event_hours(at(first), at(first + periods * length)).await? {
            let number = (hour.unix_seconds() - first) / length;
            if let Some((_, counts)) = usize::try_from(number).ok().and_then(|number| counts.get_mut(number)) {
                counts.add(counted);
            }
        }
        Ok(counts)
    }
}
