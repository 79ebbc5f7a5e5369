//! The page with the state of the nodes, of the outbox and of the database.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::{Value, context};

use super::{admin_page, time};
use crate::format::format_relative;
use crate::services::SiteStatus;
use crate::sessions::NodeStatus;
use crate::store::{COUNTED_MESSAGES, NodeStatusRow, Position};
use crate::web::SharedSite;
use crate::web::extract::Administrator;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    Administrator { session, .. }: Administrator,
) -> Result<Response, WebError> {
    let SiteStatus { newest, nodes, outbox, undelivered, database } = site.services.site_status().await?;
    let now = site.services.sessions.now();
    let outbox = outbox.into_iter().map(|(channel, messages, oldest)| {
        let count =
            if messages > COUNTED_MESSAGES { format!("more than {COUNTED_MESSAGES}") } else { messages.to_string() };
        context! {
            channel => channel.name(), count,
            oldest => oldest.map(|at| context! { text => format_relative(at, now), iso => at.to_string() }),
        }
    });
    let undelivered = undelivered.into_iter().map(|message| {
        context! {
            kind => message.kind, attempts => message.attempts, error => message.error,
            created => time(message.created_at), due => time(message.due_at),
        }
    });
    let values = context! {
        this_node => this_node(site.services.sessions.status()),
        version => env!("CARGO_PKG_VERSION"),
        newest => newest.0,
        nodes => nodes.iter().map(|(node, silence)| node_row(node, *silence, newest)).collect::<Vec<_>>(),
        outbox => outbox.collect::<Vec<_>>(),
        undelivered => undelivered.collect::<Vec<_>>(),
        database => context! {
            kind => database.kind, version => database.version, schema => database.schema,
            size => database.bytes.map(size),
        },
    };
    admin_page(&site, &session, StatusCode::OK, "admin/cluster.html", values)
}

/// The membership of the node that answers.
fn this_node(status: NodeStatus) -> Value {
    match status {
        NodeStatus::CacheDisabled => context! { state => "It caches no sessions, so it needs no lease." },
        NodeStatus::NotJoined => context! { state => "It has no lease. It joins as soon as the database answers." },
        NodeStatus::Joined { lease_left, position, entries, .. } => context! {
            state => if lease_left.is_zero() { "Its lease has ended." } else { "It holds its lease." },
            lease_left => seconds(lease_left), position => position.0, entries,
        },
    }
}

fn node_row(NodeStatusRow { row, version }: &NodeStatusRow, silence: Duration, newest: Position) -> Value {
    context! {
        id => row.id.0.to_string(),
        version,
        position => row.position.0,
        behind => newest.0.saturating_sub(row.position.0).max(0),
        lease => seconds(row.lease),
        silence => seconds(silence),
        is_overdue => silence > row.lease,
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{size:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        let shown = [0, 1023, 1024, 1_572_864, 5 << 30].map(size);
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }
}
