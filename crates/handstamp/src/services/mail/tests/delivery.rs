//! The outbox, sent to real mail servers while they are well, away, refusing or slow, by one node or several.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use handstamp_testing::{MailServer, Postgres, Program, TempFolder};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

use super::smtp::transport;
use super::*;
use crate::environment::{MailError, MailErrorKind, MailFuture, MailTransport, ManualClock};
use crate::model::OutboxChannel;
use crate::model::{NewOutboxMessage, OutboxKind};
use crate::services::Services;
use crate::services::outbox::Claimed;
use crate::{Handstamp, MailAddress};

/// A node whose clock is turned by the test, and whose job does not send by itself.
struct Node {
    handstamp: Handstamp,
    clock: Arc<ManualClock>,
}

impl Node {
    async fn open(database: DatabaseUrl, transport: impl MailTransport) -> Self {
        let mut config = config_with(database);
        config.mail.send_outbox = false;
        config.mail.from = Some(MailAddress::parse("accounts@example.com").unwrap());
        let clock = Arc::new(ManualClock::new(NOW));
        let environment =
            Environment { clock: clock.clone(), mail: Some(Arc::new(transport)), ..Environment::system() };
        Self { handstamp: Handstamp::open_with(config, environment).await.unwrap(), clock }
    }

    fn services(&self) -> &Services {
        &self.handstamp.shared_site().services
    }

    async fn enqueues(&self, recipient: &str) -> Uuid {
        let id = Uuid::from_bytes(Environment::system().random());
        let new = NewOutboxMessage {
            id,
            kind: OutboxKind::PasswordChanged,
            user_id: None,
            recipient: recipient.to_owned(),
            content: "{}".to_owned(),
            token_id: None,
            created_at: self.services().sessions.now(),
        };
        self.services().store.enqueue(&new).await.unwrap();
        id
    }

    async fn delivers(&self, claimed: Claimed) {
        // It has a link and a code.
        let mut mail = mail(MailTemplate::VerifyEmail);
        mail.recipient = EmailAddress::parse(&claimed.message.recipient).unwrap();
        let services = self.services();
        services.deliver(services.mailer.as_ref().unwrap(), claimed, Ok(Some(mail))).await.unwrap();
    }

    /// Tries everything that is due, one after the other, and returns how many attempts that were.
    async fn sends(&self) -> usize {
        let mut attempts = 0;
        while let Some(claimed) = self.services().claim_next_message(OutboxChannel::Mail).await.unwrap() {
            attempts += 1;
            self.delivers(claimed).await;
        }
        attempts
    }

    async fn waiting(&self) -> u64 {
        self.services().store.outbox_size(OutboxChannel::Mail).await.unwrap().0
    }

    /// Turns the clock on by this time in steps of ten seconds, as the job polls, and returns the number of attempts.
    async fn sends_for(&self, time: Duration) -> usize {
        let mut attempts = 0;
        for _ in 0..time.as_secs() / 10 {
            self.clock.advance(Duration::from_secs(10));
            attempts += self.sends().await;
        }
        attempts
    }
}

fn sqlite(folder: &TempFolder) -> DatabaseUrl {
    DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_mail_that_was_accepted_is_not_sent_again() {
    let (folder, server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    let id = node.enqueues("ada@example.com").await;
    assert_eq!((node.sends().await, node.waiting().await), (1, 0));
    let mail = &server.wait_for_mails(1)[0];
    assert_eq!(mail.header("Message-ID"), format!("<{id}@example.com>"));
    assert_eq!(mail.header("Date"), "Fri, 15 Jan 2027 08:00:00 +0000");
    assert_eq!(node.sends_for(HOUR).await, 0);
}

#[tokio::test]
async fn a_refused_recipient_and_a_refused_mail_are_given_up_at_once() {
    for behaviour in ["refuse", "refuse_mail"] {
        let (folder, server) = (TempFolder::new(), MailServer::start(behaviour));
        let node = Node::open(sqlite(&folder), transport(&server)).await;
        node.enqueues("ada@example.com").await;
        assert_eq!((node.sends().await, node.waiting().await), (1, 0), "{behaviour}");
    }
}

#[tokio::test]
async fn a_mail_is_tried_again_after_a_temporary_refusal_and_after_one_of_the_site() {
    for (behaviour, is_sent_later) in [("greylist", true), ("relay_denied", false), ("refuse_sender", false)] {
        let (folder, server) = (TempFolder::new(), MailServer::start(behaviour));
        let node = Node::open(sqlite(&folder), transport(&server)).await;
        node.enqueues("ada@example.com").await;
        assert_eq!((node.sends().await, node.waiting().await), (1, 1), "{behaviour}");
        assert_eq!(node.sends().await, 0, "{behaviour}: it waits");
        assert_eq!(node.sends_for(Duration::from_secs(40)).await, 1, "{behaviour}");
        assert_eq!(server.mails().len(), usize::from(is_sent_later), "{behaviour}");
    }
}

#[tokio::test]
async fn a_server_that_was_down_for_an_hour_gets_each_mail_once() {
    let (folder, mut server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    server.stop();
    for number in 0..3 {
        node.enqueues(&format!("user{number}@example.com")).await;
    }
    assert_eq!(node.sends().await, 3);
    let attempts = node.sends_for(HOUR).await;
    assert!((3 * 5..=3 * 6).contains(&attempts), "half a minute, then 1, 2, 4, 8, 16 and 32 minutes: {attempts}");
    assert_eq!(node.waiting().await, 3);
    server.start_again("accept", &[]);
    assert_eq!(node.sends_for(HOUR).await, 3);
    assert_eq!((node.waiting().await, server.mails().len()), (0, 3));
    let recipients: BTreeSet<_> = server.mails().into_iter().map(|mail| mail.recipient).collect();
    assert_eq!(recipients.len(), 3);
    assert_eq!(server.mails()[0].header("Date"), "Fri, 15 Jan 2027 08:00:00 +0000", "when it was written");
}

#[tokio::test]
async fn a_mail_is_given_up_after_two_days() {
    let (folder, mut server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    server.stop();
    node.enqueues("ada@example.com").await;
    let mut attempts = node.sends().await;
    for _ in 0..47 {
        attempts += node.sends_for(HOUR).await;
    }
    assert_eq!(node.waiting().await, 1, "47 hours are less than two days");
    attempts += node.sends_for(HOUR).await;
    assert_eq!(node.waiting().await, 0, "the last attempt is after two days");
    assert!((17..=21).contains(&attempts), "nine within the first four hours, then one in four hours: {attempts}");
}

#[tokio::test]
async fn a_mail_that_is_older_than_two_days_is_tried_once() {
    let (folder, server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    node.enqueues("ada@example.com").await;
    node.clock.advance(72 * HOUR);
    assert_eq!((node.sends().await, server.mails().len()), (1, 1), "all nodes were stopped meanwhile");
    let away = Node::open(sqlite(&folder), Away).await;
    node.enqueues("ada@example.com").await;
    away.clock.advance(2 * 72 * HOUR);
    assert_eq!((away.sends().await, away.waiting().await), (1, 0));
}

/// A transport that is never there.
struct Away;

impl MailTransport for Away {
    fn send<'a>(&'a self, _: &'a OutgoingMail) -> MailFuture<'a, String> {
        Box::pin(async { Err(MailError::new(MailErrorKind::Temporary, "away")) })
    }
}

struct Panicking;

impl MailTransport for Panicking {
    fn send<'a>(&'a self, _: &'a OutgoingMail) -> MailFuture<'a, String> {
        panic!("this panic belongs to the test of transports")
    }
}

#[tokio::test]
async fn a_transport_that_panics_costs_one_attempt() {
    let folder = TempFolder::new();
    let node = Node::open(sqlite(&folder), Panicking).await;
    node.enqueues("ada@example.com").await;
    assert_eq!((node.sends().await, node.waiting().await), (1, 1));
}

#[tokio::test]
async fn a_message_that_becomes_no_mail_is_gone_and_one_that_cannot_be_prepared_waits() {
    let (folder, server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    let services = node.services();
    let mailer = services.mailer.as_ref().unwrap();
    node.enqueues("ada@example.com").await;
    let claimed = services.claim_next_message(OutboxChannel::Mail).await.unwrap().unwrap();
    let failed = MailError::new(MailErrorKind::Temporary, "the database: it is away");
    services.deliver(mailer, claimed, Err(failed)).await.unwrap();
    assert_eq!(node.waiting().await, 1);
    node.clock.advance(HOUR);
    let claimed = services.claim_next_message(OutboxChannel::Mail).await.unwrap().unwrap();
    assert_eq!(claimed.message.attempts, 2);
    services.deliver(mailer, claimed, Ok(None)).await.unwrap();
    assert_eq!((node.waiting().await, server.mails().len()), (0, 0));
}

#[tokio::test]
async fn an_address_that_leads_nowhere_gets_no_mail() {
    let (folder, server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    node.enqueues("Doctor@handstamp.INVALID").await;
    assert_eq!((node.sends().await, node.waiting().await, server.connections()), (1, 0, 0));
}

/// Takes a mail, and then has another process lock the database for some seconds.
struct Locking {
    database: PathBuf,
    taken: Arc<AtomicUsize>,
    lock: Mutex<Option<Program>>,
}

impl MailTransport for Locking {
    fn send<'a>(&'a self, _: &'a OutgoingMail) -> MailFuture<'a, String> {
        const LOCK: &str = "import sqlite3, sys, time\n\
            database = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            database.execute('BEGIN IMMEDIATE')\n\
            print('locked', flush=True)\n\
            time.sleep(5)";
        self.taken.fetch_add(1, Ordering::SeqCst);
        let program = Program::start(Command::new("python3").args(["-c", LOCK]).arg(&self.database), "locked");
        *self.lock.lock().unwrap() = Some(program);
        Box::pin(async { Ok("taken".to_owned()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_sent_is_deleted_once_the_database_can_be_written_again() {
    let folder = TempFolder::new();
    let (database, taken) = (folder.path().join("data/handstamp.db"), Arc::new(AtomicUsize::new(0)));
    let transport = Locking { database, taken: Arc::clone(&taken), lock: Mutex::default() };
    let node = Node::open(sqlite(&folder), transport).await;
    node.enqueues("ada@example.com").await;
    assert_eq!((node.sends().await, node.waiting().await), (1, 0), "it does not give up");
    assert_eq!((node.sends_for(HOUR).await, taken.load(Ordering::SeqCst)), (0, 1));
}

/// A process that was frozen goes on as if no time had passed, and the other node may be sending.
#[tokio::test]
async fn a_node_that_was_frozen_does_not_send_what_another_may_have_claimed() {
    let (folder, server) = (TempFolder::new(), MailServer::start("accept"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    node.enqueues("ada@example.com").await;
    let frozen = node.services().claim_next_message(OutboxChannel::Mail).await.unwrap().unwrap();
    assert!(node.services().claim_next_message(OutboxChannel::Mail).await.unwrap().is_none(), "it is claimed");
    node.clock.advance(Duration::from_secs(181));
    let other = node.services().claim_next_message(OutboxChannel::Mail).await.unwrap().unwrap();
    node.delivers(frozen).await;
    assert_eq!(server.mails().len(), 0);
    assert!(
        node.services().claim_next_message(OutboxChannel::Mail).await.unwrap().is_none(),
        "the claim of the other stays"
    );
    node.delivers(other).await;
    assert_eq!((server.mails().len(), node.waiting().await), (1, 0));
}

/// Both nodes send with four jobs each, until nothing is due.
async fn send_by_two_nodes(database: DatabaseUrl) {
    const MAILS: usize = 300;
    let server = MailServer::start("accept");
    let nodes =
        [Node::open(database.clone(), transport(&server)).await, Node::open(database, transport(&server)).await];
    for number in 0..MAILS {
        nodes[number % 2].enqueues(&format!("user{number}@example.com")).await;
    }
    let jobs = nodes.iter().flat_map(|node| (0..4).map(move |_| node.sends()));
    let attempts = futures_util::future::join_all(jobs).await;
    assert_eq!(attempts.iter().sum::<usize>(), MAILS, "{attempts:?}");
    assert!(attempts.iter().all(|attempts| *attempts > 0), "all take a part: {attempts:?}");
    let mails = server.wait_for_mails(MAILS);
    let recipients: BTreeSet<_> = mails.iter().map(|mail| mail.recipient.clone()).collect();
    assert_eq!((mails.len(), recipients.len()), (MAILS, MAILS));
    assert!(server.connections() <= 8, "{} connections", server.connections());
    assert_eq!(nodes[0].waiting().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_send_hundreds_of_mails_once_each_on_sqlite() {
    let folder = TempFolder::new();
    send_by_two_nodes(sqlite(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_send_hundreds_of_mails_once_each_on_postgres() {
    send_by_two_nodes(DatabaseUrl::Postgres(Postgres::shared().new_database())).await;
}

const KILLED_DATABASE: &str = "HANDSTAMP_KILLED_DATABASE";
const KILLED_PORT: &str = "HANDSTAMP_KILLED_PORT";

/// Sends the message in a process of its own, and is killed while it waits for the answer of the server.
#[tokio::test]
#[ignore = "another test runs this in a process of its own"]
async fn node_that_is_killed() {
    let database = DatabaseUrl::Sqlite(std::env::var_os(KILLED_DATABASE).unwrap().into());
    let port = std::env::var(KILLED_PORT).unwrap();
    let url = crate::MailUrl::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
    let crate::MailUrl::Smtp(server) = url else { unreachable!() };
    let limits = super::super::smtp::Limits::default();
    let transport = super::super::smtp::SmtpTransport::new(server, "id.example.com", limits).unwrap();
    let node = Node::open(database, transport).await;
    node.sends().await;
}

#[tokio::test]
async fn a_mail_of_a_node_that_was_killed_is_sent_once_more_with_the_same_id() {
    let (folder, mut server) = (TempFolder::new(), MailServer::start("hang_after"));
    let node = Node::open(sqlite(&folder), transport(&server)).await;
    let id = node.enqueues("ada@example.com").await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "services::mail::tests::delivery::node_that_is_killed"]);
    command.env(KILLED_PORT, server.port().to_string()).env(KILLED_DATABASE, folder.path().join("data/handstamp.db"));
    let killed = Program::start(&mut command, "running 1 test");
    assert_eq!(server.wait_for_mails(1).len(), 1);
    killed.signal("KILL");
    drop(killed);
    server.start_again("accept", &[]);
    let transport = transport(&server);
    let other = Node::open(sqlite(&folder), transport).await;
    assert_eq!(other.sends().await, 0, "the claim of the killed node has not ended");
    other.clock.advance(Duration::from_secs(180));
    assert_eq!((other.sends().await, other.waiting().await), (1, 0));
    assert_eq!(other.sends_for(HOUR).await, 0);
    let mails = server.mails();
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.header("Message-ID").to_owned()).collect();
    assert_eq!((mails.len(), ids), (2, BTreeSet::from([format!("<{id}@example.com>")])));
}

#[tokio::test]
async fn the_job_looks_at_once_for_a_message_of_this_process_and_soon_for_others() {
    let folder = TempFolder::new();
    let mut config = config_with(sqlite(&folder));
    config.mail.from = Some(MailAddress::parse("accounts@example.com").unwrap());
    let environment = Environment { mail: Some(Arc::new(Away)), ..Environment::system() };
    let handstamp = Handstamp::open_with(config, environment).await.unwrap();
    let node = Node { handstamp, clock: Arc::new(ManualClock::new(NOW)) };
    // The first polls are over.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let services = node.services();
    for (is_woken, within) in [(true, Duration::from_secs(2)), (false, Duration::from_secs(8))] {
        node.enqueues("ada@example.com").await;
        if is_woken {
            services.outbox_changed();
        }
        let looked = tokio::time::timeout(within, async {
            let is_due = async || {
                let now = services.sessions.now();
                // A message that is due is neither claimed nor postponed nor gone.
                services.store.due_messages(now).await.unwrap() > 0
            };
            while is_due().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(looked.await.is_ok(), "woken: {is_woken}");
    }
}

thread_local! {
    static LOG: RefCell<String> = RefCell::default();
}

/// Begins to keep what is logged by this thread, which runs all of a test. There is one subscriber for all tests: `tracing` may
/// miss an event where they come and go.
fn keep_log() {
    struct Log;
    struct Fields<'a>(&'a mut String);
    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            write!(self.0, "{field}={value:?} ").unwrap();
        }
    }
    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            LOG.with_borrow_mut(|log| {
                write!(log, "{} ", event.metadata().level()).unwrap();
                event.record(&mut Fields(log));
                log.push('\n');
            });
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
    LOG.take();
}

/// Servers quote the recipient, and one quotes the link.
#[tokio::test]
async fn the_log_has_the_outcome_of_each_attempt_and_neither_address_nor_link_nor_code() {
    for (behaviour, event, level) in [
        ("accept", "mail_sent", "INFO"),
        ("refuse", "mail_refused", "WARN"),
        ("refuse_mail", "mail_refused", "WARN"),
        ("greylist", "mail_deferred", "WARN"),
        ("close", "mail_deferred", "WARN"),
        ("relay_denied", "mail_misconfigured", "ERROR"),
        ("refuse_sender", "mail_misconfigured", "ERROR"),
    ] {
        keep_log();
        let (folder, server) = (TempFolder::new(), MailServer::start(behaviour));
        let node = Node::open(sqlite(&folder), transport(&server)).await;
        let id = node.enqueues("ada@example.com").await;
        node.sends().await;
        let log = LOG.take();
        let line = log.lines().find(|line| line.contains(&format!("event=\"{event}\"")));
        let line = line.unwrap_or_else(|| panic!("{behaviour}: {log}"));
        assert!(line.starts_with(level) && line.contains("mail=\"verify_email\""), "{line}");
        assert!(line.contains(&format!("message={id} ")) && line.contains("attempts=1"), "{line}");
        for secret in ["@example.com", "account/link", &LINK[35..], "0835", "6689", "Lovelace"] {
            assert!(!log.contains(secret), "{behaviour}: {secret} is in the log: {log}");
        }
    }
}

#[tokio::test]
async fn a_mail_that_is_given_up_is_an_error_in_the_log() {
    keep_log();
    let folder = TempFolder::new();
    let node = Node::open(sqlite(&folder), Away).await;
    node.enqueues("ada@example.com").await;
    node.clock.advance(48 * HOUR);
    node.sends().await;
    let log = LOG.take();
    assert!(log.lines().any(|line| line.starts_with("ERROR") && line.contains("event=\"mail_given_up\"")), "{log}");
}

#[tokio::test]
async fn on_this_machine_without_a_server_the_log_shows_the_link() {
    for is_explicit in [false, true] {
        keep_log();
        let folder = TempFolder::new();
        let mut config = config_with(sqlite(&folder));
        let outbox = folder.path().join("data/outbox");
        config.public_url = PublicUrl::parse("http://localhost:8080").unwrap();
        config.mail.local_folder = Some(outbox.clone());
        config.mail.url = is_explicit.then(|| crate::MailUrl::Folder(outbox.clone()));
        config.mail.send_outbox = false;
        let handstamp = Handstamp::open(config).await.unwrap();
        let node = Node { handstamp, clock: Arc::new(ManualClock::new(NOW)) };
        let id = node.enqueues("ada@example.com").await;
        assert_eq!((node.sends().await, node.waiting().await), (1, 0));
        let mail = std::fs::read_to_string(outbox.join(format!("{id}.eml"))).unwrap();
        assert!(mail.contains(LINK), "{mail}");
        let log = LOG.take();
        assert_eq!(log.contains(LINK), !is_explicit, "a folder that was chosen is not this machine's: {log}");
        assert_eq!(log.contains("event=\"mail_written\""), !is_explicit, "{log}");
        assert!(!log.contains("08356689") && !log.contains("ada@"), "{log}");
    }
}

#[tokio::test]
async fn mail_is_on_with_a_server_a_folder_a_transport_or_on_this_machine() {
    let is_on = |set: fn(&mut Config), environment: Environment| {
        let mut config = config_with(DatabaseUrl::parse("sqlite:unused").unwrap());
        set(&mut config);
        Mailer::new(&config, &environment).unwrap().is_some()
    };
    assert!(!is_on(|_| (), Environment::system()), "a site on the internet without a server");
    assert!(!is_on(|config| config.mail.local_folder = Some("outbox".into()), Environment::system()));
    assert!(is_on(|config| config.mail.url = Some("smtp://localhost".parse().unwrap()), Environment::system()));
    assert!(is_on(|_| (), Environment { mail: Some(Arc::new(Away)), ..Environment::system() }));
    let on_this_machine = |config: &mut Config| {
        config.public_url = PublicUrl::parse("http://localhost:8080").unwrap();
        config.mail.local_folder = Some("outbox".into());
    };
    assert!(is_on(on_this_machine, Environment::system()));
    let folder = TempFolder::new();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let mut config = config_with(DatabaseUrl::parse("sqlite:unused").unwrap());
    config.mail.url = Some(crate::MailUrl::Folder(folder.path().join("file")));
    let error = Mailer::new(&config, &Environment::system()).err().unwrap().to_string();
    assert!(error.starts_with("mail.url cannot be used: ") && error.contains("is a file"), "{error}");
}
