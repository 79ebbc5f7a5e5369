//! Sends mails to a server by SMTP (RFC 5321), over connections that are used again.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Code, Severity};
use tokio::time::{Instant, sleep, timeout};

use crate::config::{SmtpSecurity, SmtpServer};
use crate::environment::{MailError, MailErrorKind, MailFuture, MailTransport, OutgoingMail};

/// The longest wait for a connection to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait for the answer to one command, however slowly it comes.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// The longest wait for the answer to the end of a mail, which a server may check first.
const MESSAGE_LIMIT: Duration = Duration::from_secs(90);
/// How long a connection is kept for the next mail.
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// How many connections are kept.
const IDLE_CONNECTIONS: usize = 4;

/// A mail server.
///
/// Connections are kept here and not in lettre's pool. Where sending is cancelled, that pool keeps the connection as if the mail
/// had been finished, and the next mail becomes a part of it.
pub(super) struct SmtpTransport {
    server: SmtpServer,
    hello: ClientId,
    /// None if the connection is not encrypted.
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    limits: Limits,
    idle: Arc<Mutex<Vec<IdleConnection>>>,
}

/// The time limits of a conversation.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) step: Duration,
    pub(super) message: Duration,
    pub(super) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { step: STEP_LIMIT, message: MESSAGE_LIMIT, idle: IDLE_LIMIT }
    }
}

struct IdleConnection {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// A step of the conversation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    StartTls,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    Message,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::MailFrom => "MAIL FROM",
            Self::RcptTo => "RCPT TO",
            Self::Data => "DATA",
            Self::Message => "the mail",
        })
    }
}

impl SmtpTransport {
    /// A server to which this site gives its name as `host`. The certificates of the system, or those of `SSL_CERT_FILE`, are
    /// read once.
    ///
    /// # Errors
    /// A message for the operator, when no connection could ever be encrypted.
    pub(super) fn new(server: SmtpServer, host: &str, limits: Limits) -> Result<Self, String> {
        let tls = match server.security {
            SmtpSecurity::None => None,
            SmtpSecurity::StartTls | SmtpSecurity::Tls => {
                let tls = TlsParameters::new(server.host.clone());
                Some(tls.map_err(|error| format!("cannot be used with TLS: {error}"))?)
            }
        };
        let hello = match host.trim_matches(['[', ']']).parse() {
            Ok(IpAddr::V4(ip)) => ClientId::Ipv4(ip),
            Ok(IpAddr::V6(ip)) => ClientId::Ipv6(ip),
            Err(_) => ClientId::Domain(host.to_owned()),
        };
        let credentials = server.credentials.as_ref();
        let credentials = credentials.map(|of| Credentials::new(of.user.clone(), of.password.as_str().to_owned()));
        Ok(Self { server, hello, tls, credentials, limits, idle: Arc::default() })
    }

    /// A new connection, encrypted and authenticated as the settings say.
    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let SmtpServer { host, port, security, .. } = &self.server;
        let at_once = self.tls.clone().filter(|_| *security == SmtpSecurity::Tls);
        let address = (host.as_str(), *port);
        let connecting = AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT_LIMIT), &self.hello, at_once, None);
        let mut connection = self.step(Step::Connect, connecting).await?;
        if let Some(tls) = self.tls.clone().filter(|_| *security == SmtpSecurity::StartTls) {
            self.step(Step::StartTls, connection.starttls(tls, &self.hello)).await?;
        }
        if let Some(credentials) = &self.credentials {
            self.step(Step::Auth, connection.auth(DEFAULT_MECHANISMS, credentials)).await?;
        }
        Ok(connection)
    }

    async fn send_mail(&self, mail: &OutgoingMail) -> Result<String, MailError> {
        let mut connection = self.begin(mail).await?;
        let sent = self.finish(&mut connection, mail).await;
        match &sent {
            Ok(_) => self.keep(connection),
            Err(_) => quit(connection).await,
        }
        sent
    }

    /// Gives the server the sender, over a connection that was kept or a new one. A server may have closed the kept one, or give it
    /// no further mail.
    async fn begin(&self, mail: &OutgoingMail) -> Result<AsyncSmtpConnection, MailError> {
        if let Some(mut kept) = self.kept() {
            match self.mail_from(&mut kept, mail).await {
                Ok(()) => return Ok(kept),
                Err(_) => quit(kept).await,
            }
        }
        let mut new = self.connect().await?;
        match self.mail_from(&mut new, mail).await {
            Ok(()) => Ok(new),
            Err(error) => {
                quit(new).await;
                Err(error)
            }
        }
    }

    async fn mail_from(&self, connection: &mut AsyncSmtpConnection, mail: &OutgoingMail) -> Result<(), MailError> {
        let command = Mail::new(Some(address(&mail.sender)), Vec::new());
        self.step(Step::MailFrom, connection.command(command)).await.map(drop)
    }

    /// The rest of the conversation: the recipient and the message.
    async fn finish(&self, connection: &mut AsyncSmtpConnection, mail: &OutgoingMail) -> Result<String, MailError> {
        let recipient = Rcpt::new(address(&mail.recipient), Vec::new());
        self.step(Step::RcptTo, connection.command(recipient)).await?;
        self.step(Step::Data, connection.command(Data)).await?;
        let reply = self.step(Step::Message, connection.message(&mail.message)).await?;
        // Any other positive answer belongs to an earlier command.
        if reply.code().severity != Severity::PositiveCompletion {
            return Err(MailError::new(
                MailErrorKind::Temporary,
                "the answers of the server are not those to the commands",
            ));
        }
        Ok(words(reply.code(), &reply.message().collect::<Vec<_>>().join(" ")))
    }

    async fn step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, MailError> {
        let limit = if step == Step::Message { self.limits.message } else { self.limits.step };
        match timeout(limit, work).await {
            Ok(done) => done.map_err(|error| error_at(step, &error)),
            Err(_) => {
                let summary = format!("the server did not answer to {step} within {} seconds", limit.as_secs());
                Err(MailError::new(MailErrorKind::Temporary, summary))
            }
        }
    }

    /// A connection that was kept.
    fn kept(&self) -> Option<AsyncSmtpConnection> {
        self.idle.lock().expect(LOCK).pop().map(|kept| kept.connection)
    }

    /// Keeps a connection for the next mail, and closes it if there is none for long.
    fn keep(&self, connection: AsyncSmtpConnection) {
        {
            let mut idle = self.idle.lock().expect(LOCK);
            if idle.len() >= IDLE_CONNECTIONS {
                return;
            }
            idle.push(IdleConnection { connection, since: Instant::now() });
        }
        let (limit, idle) = (self.limits.idle, Arc::downgrade(&self.idle));
        tokio::spawn(async move {
            sleep(limit).await;
            let Some(idle) = idle.upgrade() else { return };
            let is_old = |kept: &mut IdleConnection| kept.since.elapsed() >= limit;
            let old: Vec<_> = idle.lock().expect(LOCK).extract_if(.., is_old).collect();
            for kept in old {
                quit(kept.connection).await;
            }
        });
    }
}

impl MailTransport for SmtpTransport {
    fn send<'a>(&'a self, mail: &'a OutgoingMail) -> MailFuture<'a, String> {
        Box::pin(self.send_mail(mail))
    }

    fn check(&self) -> MailFuture<'_, ()> {
        Box::pin(async {
            quit(self.connect().await?).await;
            Ok(())
        })
    }
}

/// Why the lock on the kept connections is never poisoned.
const LOCK: &str = "nothing panics while it holds the connections";

/// Ends a conversation, and waits for a second at most.
async fn quit(mut connection: AsyncSmtpConnection) {
    let _ = timeout(Duration::from_secs(1), connection.abort()).await;
}

/// An address of the settings or of a user, whose parsers let through less than lettre's.
pub(super) fn address(text: &str) -> Address {
    let (local, domain) = text.rsplit_once('@').unwrap_or((text, ""));
    Address::new_dangerous(local, domain)
}

/// A reply in the words of the server: the code and the text, in one line that is safe to print.
fn words(code: Code, text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{code} {text}").trim_end().to_owned()
}

/// The error of a step. Its summary has the code of the reply and no word of it, since servers quote the recipient, and some the
/// mail.
fn error_at(step: Step, error: &lettre::transport::smtp::Error) -> MailError {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let Some(code) = error.status() else {
        return match step {
            // The text of these errors is lettre's.
            Step::StartTls | Step::Auth if error.is_client() => MailError::new(
                MailErrorKind::Configuration,
                match step {
                    Step::StartTls => "the server offers no STARTTLS, so nothing was sent",
                    _ => "the server offers no way to authenticate that is supported: PLAIN or LOGIN",
                },
            ),
            _ if is_about_tls(error) => MailError::new(
                MailErrorKind::Configuration,
                format!("no trusted TLS connection to the server: {source}"),
            ),
            // The text may quote the server.
            _ if error.is_response() => {
                let summary = format!("the server closed the connection, or its answer to {step} is not SMTP");
                MailError::new(MailErrorKind::Temporary, summary)
            }
            Step::Connect => MailError::new(MailErrorKind::Temporary, format!("no connection to the server: {source}")),
            _ => MailError::new(MailErrorKind::Temporary, format!("the connection broke at {step}: {source}")),
        };
    };
    let enhanced = source.split_whitespace().next().filter(|word| is_enhanced(word));
    let in_short = enhanced.map_or_else(|| code.to_string(), |enhanced| format!("{code} {enhanced}"));
    let summary = format!("the server answered {in_short} to {step}");
    MailError::new(kind_of(step, code, enhanced), summary).with_reply(words(code, &source))
}

/// Whether a word is an enhanced status code (RFC 3463), such as `5.1.1`.
fn is_enhanced(word: &str) -> bool {
    let parts = || word.split('.');
    parts().count() == 3 && parts().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The consequence of a reply. From 550 on, the recipient or the mail is refused. At the recipient 5.7 is a policy about this site
/// instead, such as "relay access denied". The other permanent replies are about this site too.
fn kind_of(step: Step, code: Code, enhanced: Option<&str>) -> MailErrorKind {
    let is_policy = enhanced.is_some_and(|enhanced| enhanced.starts_with("5.7."));
    match step {
        _ if code.severity == Severity::TransientNegativeCompletion => MailErrorKind::Temporary,
        Step::RcptTo if !is_policy && u16::from(code) >= 550 => MailErrorKind::Refused,
        Step::Data | Step::Message if u16::from(code) >= 550 => MailErrorKind::Refused,
        _ => MailErrorKind::Configuration,
    }
}

/// Whether an error comes from the encryption: rustls reports its errors as invalid data.
fn is_about_tls(error: &lettre::transport::smtp::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::InvalidData) {
            return true;
        }
        source = error.source();
    }
    error.is_tls()
}
