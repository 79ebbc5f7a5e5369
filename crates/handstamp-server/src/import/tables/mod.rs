//! The users of the table of another system, read from its database as a stream.

mod database;
mod layout;
mod preview;
mod sql;

use handstamp::{ImportParser, UserImport};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::found::{Found, Rules};
use super::rows::Place;
use super::{BATCH_BYTES, Message};
use crate::CliError;
use crate::cli::ImportArgs;
use crate::user_file::{Format, MappedColumn};
use database::{Database, Location};
use layout::Layout;
use sql::Statement;

/// The table of users of another system, after the operator has seen what will be imported.
pub(super) struct UserTable {
    /// The connection belongs to it.
    runtime: Runtime,
    database: Database,
    /// The place of the database for messages, without a password.
    pub(super) shown: String,
    layout: Layout,
    rules: Rules,
    pub(super) count: u64,
}

impl UserTable {
    /// Finds the table, shows what was found and asks whether to import it.
    ///
    /// # Errors
    /// When the database cannot be read, the table is not found, or the operator does not agree.
    pub(super) fn open(request: &ImportArgs, mut rules: Rules) -> Result<Self, CliError> {
        let text = request.input.to_str().ok_or_else(|| CliError::usage("the URL of the database is not UTF-8"))?;
        let location = Location::parse(text, rules.system).map_err(CliError::usage)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failure)?;
        let shown = location.shown();
        let unreadable = |error: sqlx::Error| CliError::failure(format!("cannot read {shown}: {error}"));
        let (database, layout, samples, count, other_names) = runtime.block_on(async {
            let mut database = Database::connect(&location).await.map_err(CliError::failure)?;
            let tables = database.tables().await.map_err(unreadable)?;
            let layout = layout::find(&rules, &tables, request.table.as_deref(), &request.map);
            let layout = layout.map_err(CliError::usage)?;
            let count = count(&mut database, &layout).await.map_err(unreadable)?;
            let samples = samples(&mut database, &layout).await.map_err(unreadable)?;
            let names = group_names(&mut database, &layout).await.map_err(unreadable)?;
            Ok::<_, CliError>((database, layout, samples, count, names))
        })?;
        rules.hmac = layout.is_of_flask_security(rules.system) && !request.single_hash;
        preview::show(&shown, &layout, &rules, count, &samples, &other_names);
        if !request.dry_run && !request.yes {
            preview::ask(count)?;
        }
        Ok(Self { runtime, database, shown, layout, rules, count })
    }

    /// Reads all users and sends them in batches, as [`super::read`] does with a file.
    pub(super) fn read(
        self,
        parser: ImportParser,
        keep_raw: bool,
        sender: &mpsc::Sender<Message>,
    ) -> Result<(), CliError> {
        let Self { runtime, mut database, shown, layout, rules, .. } = self;
        runtime.block_on(async {
            let statement = layout.statement(database.dialect(), None);
            let mut batch = Batch::default();
            let _ = sender.send(Message::Opened(Format::Jsonl, Vec::new())).await;
            let read = database
                .each_row(&statement.sql, async |values| {
                    batch.read += 1;
                    let (place, found) = statement.user(values, batch.read);
                    batch.bytes += found.as_ref().map_or(0, Found::bytes);
                    batch.rows.push(rules.row(place, found, parser, keep_raw));
                    if batch.rows.len() < UserImport::MAX_BATCH && batch.bytes < BATCH_BYTES {
                        return true;
                    }
                    batch.bytes = 0;
                    // Without a receiver the import has failed, and needs no more rows.
                    sender.send(Message::Batch(std::mem::take(&mut batch.rows), batch.read)).await.is_ok()
                })
                .await;
            read.map_err(|error| CliError::failure(format!("cannot read {shown}: {error}")))?;
            if !batch.rows.is_empty() {
                let _ = sender.send(Message::Batch(batch.rows, batch.read)).await;
            }
            let _ = sender.send(Message::End(layout.other_columns())).await;
            Ok(())
        })
    }
}

/// The rows that were read and are not sent yet.
#[derive(Default)]
struct Batch {
    rows: Vec<super::rows::Row>,
    bytes: usize,
    /// How many rows were read in all.
    read: u64,
}

async fn count(database: &mut Database, layout: &Layout) -> sqlx::Result<u64> {
    let cast = match database.dialect() {
        database::Dialect::Sqlite => "COUNT(*)",
        database::Dialect::Postgres => "CAST(COUNT(*) AS text)",
    };
    let sql = format!("SELECT {cast} FROM {}", sql::quoted_table(&layout.table));
    let rows = database.rows(&sql).await?;
    let count = rows.first().and_then(|row| row.first()?.id());
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or_default())
}

type Sample = (Place, Result<Found, String>);

async fn samples(database: &mut Database, layout: &Layout) -> sqlx::Result<Vec<Sample>> {
    let statement: Statement = layout.statement(database.dialect(), Some(preview::SAMPLES));
    let rows = database.rows(&statement.sql).await?;
    Ok((1..).zip(rows).map(|(number, row)| statement.user(row, number)).collect())
}

/// The names of all groups, as far as there is a table of them.
async fn group_names(database: &mut Database, layout: &Layout) -> sqlx::Result<Vec<String>> {
    let Some(sql) = layout.group_names(database.dialect()) else { return Ok(Vec::new()) };
    Ok(database.rows(&sql).await?.iter().filter_map(|row| row.first()?.id()).collect())
}

impl MappedColumn {
    /// Refuses mappings of one field twice, which a table cannot have.
    pub(super) fn check(mapped: &[Self]) -> Result<(), CliError> {
        for (place, map) in mapped.iter().enumerate() {
            if mapped[..place].iter().any(|earlier| earlier.field == map.field) {
                let message = format!("--map names two columns for {}", map.field.name());
                return Err(CliError::usage(message));
            }
        }
        Ok(())
    }
}
