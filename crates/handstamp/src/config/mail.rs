//! The section `mail`: the server that sends mails, and the addresses in them.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use handstamp_core::{DisplayName, EmailAddress, InvalidSetting};
use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::public_url::is_loopback;
use super::setting::parse;
use super::{Config, PublicUrl, Setting};

/// Where mails go, and the addresses in them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MailConfig {
    /// The server or the folder that mails go to. None by default: then a site on the local machine writes them to
    /// [`local_folder`](Self::local_folder), and any other site sends none.
    pub url: Option<MailUrl>,
    /// The sender. None by default: then it is `noreply` at the host of the public URL, which is not accepted with a server.
    pub from: Option<MailAddress>,
    /// The address for replies. None by default: then mails say that replies are not read.
    pub reply_to: Option<MailAddress>,
    /// Whether a user gets a notice of a sign-in in a browser in which the account had not signed in before; true by default.
    pub new_device: bool,
    /// The folder for the mails of a site on the local machine that has no [`url`](Self::url). The log then shows the links in them.
    /// None by default; [`Config::in_folder`](crate::Config::in_folder) sets it to `outbox` in the folder.
    pub local_folder: Option<PathBuf>,
    /// Whether this process sends the mails and the webhooks that wait in the database; true by default. Commands that end at once
    /// leave it to the server.
    pub send_outbox: bool,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self { url: None, from: None, reply_to: None, new_device: true, local_folder: None, send_outbox: true }
    }
}

/// Where mails go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailUrl {
    /// A mail server.
    Smtp(SmtpServer),
    /// A folder, in which each mail is a file whose name ends with `.eml`.
    Folder(PathBuf),
}

/// A mail server, and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: SmtpSecurity,
    pub(crate) credentials: Option<SmtpCredentials>,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmtpSecurity {
    /// Not at all; for this machine only.
    None,
    /// By STARTTLS (RFC 3207), without which nothing is sent.
    StartTls,
    /// From the first byte (RFC 8314 §3.3).
    Tls,
}

/// A user of a mail server, and the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SmtpCredentials {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

impl MailUrl {
    /// Parses `smtp://[user:password@]host[:port]`, the same with `smtps://`, or `file:DIR`. Special characters in the user and in
    /// the password are percent-encoded.
    ///
    /// `smtps://` is encrypted from the first byte, on port 465. `smtp://` is encrypted by STARTTLS, which is required, on port
    /// 587; for a host of this machine it is not encrypted, on port 25.
    ///
    /// # Errors
    /// When it is none of these. The message does not contain the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        if let Some(path) = text.strip_prefix("file:") {
            return match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(InvalidSetting::new("must be file: followed by the path of a folder")),
                path => Ok(Self::Folder(path.into())),
            };
        }
        let is_tls = text.starts_with("smtps://");
        if !is_tls && !text.starts_with("smtp://") {
            return Err(InvalidSetting::new("must begin with smtp://, smtps:// or file:"));
        }
        let url = Url::parse(text).map_err(|error| {
            InvalidSetting::new(format!(
                "is not a URL: {error}; write special characters of the user and the password as %40 for @, %2F for /, and so on"
            ))
        })?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSetting::new(
                "must be a host, a port and credentials, and nothing more; / ? and # of a password are written as %2F %3F %23",
            ));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidSetting::new("has no host"))?;
        // The parser of URLs takes the host of another scheme than http as it stands.
        let host = Host::parse(host).map_err(|error| InvalidSetting::new(format!("has an invalid host: {error}")))?;
        let security = match (is_tls, is_loopback(&host)) {
            (true, _) => SmtpSecurity::Tls,
            (false, false) => SmtpSecurity::StartTls,
            (false, true) => SmtpSecurity::None,
        };
        let usual_port = match security {
            SmtpSecurity::None => 25,
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::Tls => 465,
        };
        let port = url.port().unwrap_or(usual_port);
        if port == 0 {
            return Err(InvalidSetting::new("has the port 0"));
        }
        let host = match host {
            Host::Domain(name) => name,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        Ok(Self::Smtp(SmtpServer { host, port, security, credentials: credentials(&url)? }))
    }
}

fn credentials(url: &Url) -> Result<Option<SmtpCredentials>, InvalidSetting> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        let text = text.map_err(|_| InvalidSetting::new("has credentials that are not UTF-8"))?.into_owned();
        let is_good = !text.is_empty() && !text.contains(char::is_control);
        is_good.then_some(text).ok_or(InvalidSetting::new("needs a user and a password, or neither of them"))
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, password) => Ok(Some(SmtpCredentials {
            user: decoded(user)?,
            password: Zeroizing::new(decoded(password.unwrap_or_default())?),
        })),
    }
}

impl FromStr for MailUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials.is_some() { ", …" } else { "" };
        write!(f, "SmtpServer({self}, {:?}{credentials})", self.security)
    }
}

/// The host and the port.
impl fmt::Display for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// An address of this site in its mails, with a name if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress {
    pub(crate) name: Option<String>,
    /// A dot-atom, an `@`, and a domain in its ASCII form.
    pub(crate) address: String,
}

impl MailAddress {
    /// Parses `accounts@example.com` or `Example <accounts@example.com>`. The domain may also be `localhost`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (Some(name.trim().trim_matches('"')).filter(|name| !name.is_empty()), address),
            None => (None, text),
        };
        let name = name.map(|name| DisplayName::parse(name).map(|name| name.as_str().to_owned())).transpose();
        let name = name.map_err(|_| InvalidSetting::new("must have a name of 1 to 100 visible characters, or none"))?;
        let address = match address.trim().strip_suffix("@localhost") {
            Some(local) => {
                parse_address(&format!("{local}@localhost.invalid")).map(|_| format!("{local}@localhost"))?
            }
            None => parse_address(address)?,
        };
        Ok(Self { name, address })
    }

    /// The domain of the address.
    pub(crate) fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

fn parse_address(text: &str) -> Result<String, InvalidSetting> {
    let address = EmailAddress::parse(text);
    address.map(|address| address.as_str().to_owned()).map_err(|_| {
        InvalidSetting::new("must be an address such as accounts@example.com, or Example <accounts@example.com>")
    })
}

impl FromStr for MailAddress {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl Config {
    /// The sender of the mails. Without a name it has that of the site.
    pub(crate) fn mail_from(&self) -> MailAddress {
        let from = self.mail.from.clone().unwrap_or_else(|| default_sender(&self.public_url));
        MailAddress { name: from.name.or_else(|| Some(self.site_name.clone())), ..from }
    }

    /// The folder of the mails of a site on the local machine that has neither a mail server nor another folder.
    pub(crate) fn local_mail_folder(&self) -> Option<&Path> {
        let is_local = self.mail.url.is_none() && self.public_url.is_loopback();
        self.mail.local_folder.as_deref().filter(|_| is_local)
    }
}

/// `noreply` at the host of the site, or at an address literal (RFC 5321 §4.1.3).
fn default_sender(public_url: &PublicUrl) -> MailAddress {
    let host = public_url.host();
    let host = match host.trim_matches(['[', ']']).parse() {
        _ if public_url.is_loopback() => "localhost".to_owned(),
        Ok(IpAddr::V4(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Err(_) => host.to_owned(),
    };
    MailAddress { name: None, address: format!("noreply@{host}") }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("mail.url", |config: &mut Config, text| {
            config.mail.url = Some(parse(text)?);
            Ok(())
        })
        .secret()
        .values("`smtp://[user:password@]host[:port]`, `smtps://…` or `file:DIR`")
        .default_is("none; the folder `outbox` in `data_dir` if `public_url` is on the local machine")
        .about(
            "The server that sends the mails, or a folder for them. `smtp://` requires STARTTLS unless the host is the local \
             machine.",
        ),
        Setting::text("mail.from", |config: &mut Config, text| {
            config.mail.from = Some(parse(text)?);
            Ok(())
        })
        .check(|config| match (&config.mail.url, &config.mail.from) {
            (Some(MailUrl::Smtp(_)), None) => Err(InvalidSetting::new(
                "must be set, since mail.url names a server: it is the address that the mails come from",
            )),
            _ => Ok(()),
        })
        .values("an address, or a name and an address as in `Example <accounts@example.com>`")
        .default_is("required with a server, otherwise `noreply` at the host of `public_url`")
        .about("The sender of the mails, to which mail servers return errors. Without a name it has `site_name`."),
        Setting::text("mail.reply_to", |config: &mut Config, text| {
            config.mail.reply_to = Some(parse(text)?);
            Ok(())
        })
        .values("as for `mail.from`")
        .about("The address for replies. Without it the mails say that replies are not read."),
        Setting::flag(
            "mail.new_device",
            |config: &Config| config.mail.new_device,
            |config, notice| config.mail.new_device = notice,
        )
        .about("Whether users get a notice of a sign-in in a browser in which the account had not signed in before."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> SmtpServer {
        match MailUrl::parse(text) {
            Ok(MailUrl::Smtp(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_mail_server_on_another_machine_is_always_spoken_to_by_tls() {
        use SmtpSecurity::{None, StartTls, Tls};
        for (url, host, port, security) in [
            ("smtp://mail.example.com", "mail.example.com", 587, StartTls),
            ("smtp://mail.example.com:25/", "mail.example.com", 25, StartTls),
            ("smtp://MAIL.ex\u{e4}mple.com:443", "mail.xn--exmple-cua.com", 443, StartTls),
            ("smtp://10.0.0.7", "10.0.0.7", 587, StartTls),
            ("smtp://localhost.example.com", "localhost.example.com", 587, StartTls),
            ("smtp://[2001:db8::1]", "2001:db8::1", 587, StartTls),
            ("smtp://localhost", "localhost", 25, None),
            ("smtp://mail.localhost:1025", "mail.localhost", 1025, None),
            ("smtp://127.0.0.1", "127.0.0.1", 25, None),
            ("smtp://0x7f.1", "127.0.0.1", 25, None),
            ("smtp://[::1]:2525", "::1", 2525, None),
            ("smtps://mail.example.com", "mail.example.com", 465, Tls),
            ("smtps://localhost:8465", "localhost", 8465, Tls),
        ] {
            let server = server(url);
            assert_eq!((server.host.as_str(), server.port, server.security), (host, port, security), "{url}");
            assert!(server.credentials.is_none());
        }
    }

    #[test]
    fn the_credentials_of_a_mail_server_are_percent_decoded_and_never_printed() {
        let server = server("smtps://ada%40example.com:p%40s%2Fs%3Aw%C3%B6rd@mail.example.com");
        let SmtpCredentials { user, password } = server.credentials.clone().unwrap();
        assert_eq!((user.as_str(), password.as_str()), ("ada@example.com", "p@s/s:w\u{f6}rd"));
        let printed = format!("{server:?} {server} {:?}", MailUrl::Smtp(server.clone()));
        assert!(!printed.contains("p@s") && !printed.contains("ada@") && printed.contains("mail.example.com:465"));
    }

    #[test]
    fn an_unusable_mail_url_is_refused_without_being_quoted() {
        for bad in [
            "",
            "mail.example.com",
            "http://hunter2",
            "file:",
            "file://",
            "smtp://",
            "smtp:///hunter2",
            "smtp://user@mail.example.com",
            "smtp://:hunter2@mail.example.com",
            "smtp://user:@mail.example.com",
            "smtp://user:hunter2/x@mail.example.com",
            "smtp://user:hunter2?x@mail.example.com",
            "smtp://user:hunter2%00@mail.example.com",
            "smtp://user:hunter2%0d%0a@mail.example.com",
            "smtp://user:hunter2%ff@mail.example.com",
            "smtp://user:hunter2@mail.example.com/path",
            "smtp://user:hunter2@mail.example.com?tls=none",
            "smtp://user:hunter2@mail.example.com#x",
            "smtp://mail.example.com:0",
            "smtp://mail.example.com:70000",
            "smtp://mail example.com",
        ] {
            let error = MailUrl::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{bad}: {error}");
        }
        assert_eq!(MailUrl::parse("file:mails"), Ok(MailUrl::Folder("mails".into())));
        assert_eq!(MailUrl::parse("file:///var/mails"), Ok(MailUrl::Folder("/var/mails".into())));
    }

    #[test]
    fn an_address_of_the_site_has_a_name_or_none() {
        let parsed = |text| MailAddress::parse(text).map(|of| (of.name.unwrap_or_default(), of.address));
        let is = |name: &str, address: &str| Ok((name.to_owned(), address.to_owned()));
        assert_eq!(parsed("accounts@example.com"), is("", "accounts@example.com"));
        assert_eq!(parsed("Example <accounts@example.com>"), is("Example", "accounts@example.com"));
        assert_eq!(parsed("\"Ex, ample\" <accounts@ex\u{e4}mple.com>"), is("Ex, ample", "accounts@xn--exmple-cua.com"));
        assert_eq!(parsed("<root@localhost>"), is("", "root@localhost"));
        for bad in [
            "",
            "example.com",
            "Example",
            "a b@example.com",
            "a@b@example.com",
            "@localhost",
            "a b@localhost",
            "Example <accounts@example.com",
            "a@example.com, b@example.com",
            "Ex\r\nBcc: eve@example.com <a@example.com>",
            "a@example.com\r\nBcc: eve@example.com",
            "Ex\u{202e}ample <a@example.com>",
        ] {
            assert!(MailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_default_sender_is_at_the_host_of_the_site() {
        for (url, sender) in [
            ("http://localhost:8080", "noreply@localhost"),
            ("http://127.0.0.1", "noreply@localhost"),
            ("https://id.example.com:8443", "noreply@id.example.com"),
            ("https://192.0.2.1", "noreply@[192.0.2.1]"),
            ("https://[2001:db8::1]", "noreply@[IPv6:2001:db8::1]"),
        ] {
            assert_eq!(default_sender(&PublicUrl::parse(url).unwrap()).address, sender, "{url}");
        }
    }
}
