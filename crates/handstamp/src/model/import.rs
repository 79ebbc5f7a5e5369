//! Users that come from another system: the fields of a row, a user whose fields were checked, and what becomes of it.

use std::fmt;

use handstamp_core::{
    DisplayName, EmailAddress, EmailError, GroupName, GroupNameError, HashCost, ImportedHash, NameError, PasswordHash,
    Timestamp, UnsupportedHash, UserId, WeakFormat, WeakHash,
};

use super::GROUPS_PER_USER;

/// The longest id in a former system, in bytes.
const MAX_LEGACY_ID_BYTES: usize = 200;
/// How far a time of a row may lie in the future: clocks and time zones differ.
const MAX_AHEAD: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// A number of seconds from here on is a number of milliseconds: it would lie after the year 5000.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// The fields of a user to be imported, as the texts of a file. An empty text counts as no value.
#[derive(Clone, Copy, Default)]
pub struct ImportFields<'a> {
    /// The e-mail address, which is required.
    pub email: &'a str,
    /// The display name; by default the part of the address before the at sign.
    pub name: &'a str,
    /// The hash of the password. Without one, the user signs in after a reset of the password, or by a mailed code.
    pub password_hash: &'a str,
    /// `nfc` if it is the hash of the password in NFC, as in an export of Handstamp; by default it is that of the typed text.
    pub password_form: &'a str,
    /// Whether the address is verified: `true`, `false`, or the time when it was. By default it is not.
    pub email_verified: &'a str,
    /// When the account was created: RFC 3339, `YYYY-MM-DD HH:MM:SS` in UTC, or seconds since 1970. By default now.
    pub created_at: &'a str,
    /// Whether sign-in is disabled: `true` or `false`.
    pub disabled: &'a str,
    /// The names of the groups.
    pub groups: &'a [String],
    /// The id of the user in the former system.
    pub legacy_id: &'a str,
    /// By what the cookies of the former system name the user, if that is not the id: `fs_uniquifier` of Flask-Security.
    pub legacy_session_key: &'a str,
}

/// A user to be imported, whose fields were checked.
#[derive(Debug)]
pub struct ImportUser {
    pub(crate) email: EmailAddress,
    pub(crate) name: DisplayName,
    pub(crate) password: Option<ImportPassword>,
    pub(crate) email_verified_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) disabled: bool,
    pub(crate) groups: Vec<GroupName>,
    pub(crate) legacy_id: Option<String>,
    pub(crate) legacy_session_key: Option<String>,
}

/// The password of a user to be imported.
#[derive(Debug)]
pub(crate) enum ImportPassword {
    /// A hash as it is stored, and what a check of it costs where it is not our own.
    Hash(PasswordHash, Option<HashCost>),
    /// A hash that is hashed once more before it is stored. None while it is, and in a dry run.
    Weak(Option<WeakHash>),
}

/// A user of a batch as the store writes it.
#[derive(Clone, Copy)]
pub(crate) struct ImportRow<'a> {
    pub(crate) id: UserId,
    pub(crate) user: &'a ImportUser,
}

/// The outcome of a user to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportOutcome {
    /// The user was created.
    Imported,
    /// An earlier import has created the user from the same row.
    AlreadyThere,
    /// The user was not created.
    Refused(ImportRefusal),
}

/// Why a row is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportRefusal {
    /// The address is missing or not valid.
    Email(EmailError),
    /// The name is not valid.
    Name(NameError),
    /// The hash of the password cannot be verified or is weak.
    PasswordHash(UnsupportedHash),
    /// The form of the password is an unknown one.
    PasswordForm(String),
    /// With this hash, each check of a password would take too long.
    HashCosts,
    /// A field is neither true nor false, nor a time where that is allowed: the name of the field, and its text.
    NotTrueOrFalse(&'static str, String),
    /// A field is not a time: the name of the field, and its text.
    NotATime(&'static str, String),
    /// A time is given in milliseconds, lies before 1970, or in the future: the name of the field, and its text.
    TimeOutOfRange(&'static str, String),
    /// The name of a group is not valid.
    Group(String, GroupNameError),
    /// The user would be in more groups than a user can be in.
    TooManyGroups,
    /// The id in the former system is too long, or has control characters.
    LegacyId,
    /// The session key in the former system is too long, or has control characters.
    LegacySessionKey,
    /// The address has an account that was not imported from this row.
    EmailTaken,
    /// The id in the former system is that of another account: the id, and the address of that account, if it is stored.
    LegacyIdTaken(String, Option<String>),
    /// The session key in the former system is that of another account.
    LegacySessionKeyTaken,
}

impl fmt::Display for ImportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::PasswordHash(UnsupportedHash::Weak) => {
                f.write_str("the password hash is weak: --allow-weak imports it, hashed by Argon2id")
            }
            Self::PasswordHash(error) => error.fmt(f),
            Self::PasswordForm(form) => write!(f, "password_form is neither empty nor nfc: {form:?}"),
            Self::HashCosts => f.write_str("with one more kind of password hash, each sign-in would take too long"),
            Self::NotTrueOrFalse(field, text) => write!(f, "{field} is neither true nor false: {text:?}"),
            Self::NotATime(field, text) => write!(f, "{field} is not a time: {text:?}"),
            Self::TimeOutOfRange(field, text) => {
                write!(f, "{field} is not a time in seconds between 1970 and now: {text:?}")
            }
            Self::Group(name, error) => write!(f, "groups has {name:?}: {error}"),
            Self::TooManyGroups => write!(f, "groups has more than {GROUPS_PER_USER} names"),
            Self::LegacyId => {
                write!(f, "legacy_id has more than {MAX_LEGACY_ID_BYTES} bytes or a control character")
            }
            Self::LegacySessionKey => {
                write!(f, "legacy_session_key has more than {MAX_LEGACY_ID_BYTES} bytes or a control character")
            }
            Self::LegacySessionKeyTaken => f.write_str("the legacy_session_key is that of another account"),
            Self::EmailTaken => f.write_str("the address is that of another account"),
            Self::LegacyIdTaken(id, Some(email)) => write!(f, "the id {id} is that of another account ({email})"),
            Self::LegacyIdTaken(id, None) => write!(f, "the id {id} is that of an earlier row"),
        }
    }
}

impl std::error::Error for ImportRefusal {}

/// Checks rows to be imported: [`UserImport::parser`](crate::UserImport::parser).
#[derive(Clone, Copy, Debug)]
pub struct ImportParser {
    now: Timestamp,
    allowed_weak: Option<WeakFormat>,
}

impl ImportParser {
    /// A parser of rows that are imported at this time. Weak hashes are not allowed.
    pub const fn new(now: Timestamp) -> Self {
        Self { now, allowed_weak: None }
    }

    /// Allows hashes that an attacker can reverse, in the format of one system. They are hashed by Argon2id before they are stored,
    /// which takes as long as a sign-in for each.
    #[must_use]
    pub fn with_weak_hashes(self, format: WeakFormat) -> Self {
        Self { allowed_weak: Some(format), ..self }
    }

    /// Checks the fields of a row.
    ///
    /// # Errors
    /// The first reason why the row is refused.
    pub fn parse(&self, fields: &ImportFields<'_>) -> Result<ImportUser, ImportRefusal> {
        let now = self.now;
        let email = EmailAddress::parse(fields.email).map_err(ImportRefusal::Email)?;
        let name = match fields.name.trim() {
            "" => email.as_str().split('@').next().unwrap_or_default(),
            name => name,
        };
        let name = DisplayName::parse(name).map_err(ImportRefusal::Name)?;
        let hash = fields.password_hash.trim();
        let password = (!hash.is_empty()).then(|| self.password(hash, fields.password_form.trim())).transpose()?;
        let created_at = time("created_at", fields.created_at, now)?.unwrap_or(now);
        let email_verified_at = match truth(fields.email_verified) {
            Some(verified) => verified.then_some(now),
            None => time("email_verified", fields.email_verified, now)?,
        };
        let disabled = fields.disabled.trim();
        let not_true_or_false = || ImportRefusal::NotTrueOrFalse("disabled", shortened(disabled));
        let disabled = truth(disabled).ok_or_else(not_true_or_false)?;
        let mut groups = Vec::new();
        for name in fields.groups {
            let parsed = GroupName::parse(name);
            groups.push(parsed.map_err(|error| ImportRefusal::Group(shortened(name), error))?);
        }
        groups.sort_unstable();
        groups.dedup();
        if i64::try_from(groups.len()).is_ok_and(|count| count > GROUPS_PER_USER) {
            return Err(ImportRefusal::TooManyGroups);
        }
        let legacy_id = key(fields.legacy_id).ok_or(ImportRefusal::LegacyId)?;
        let legacy_session_key = key(fields.legacy_session_key).ok_or(ImportRefusal::LegacySessionKey)?;
        Ok(ImportUser {
            email,
            name,
            password,
            email_verified_at,
            created_at,
            disabled,
            groups,
            legacy_id,
            legacy_session_key,
        })
    }

    fn password(&self, hash: &str, form: &str) -> Result<ImportPassword, ImportRefusal> {
        match form {
            "" => {}
            // Our own hashes. Those of other systems are taken for what they are, whatever the form says.
            "nfc" => {
                if let Ok(hash) = PasswordHash::parse_own(hash) {
                    return Ok(ImportPassword::Hash(hash, None));
                }
            }
            form => return Err(ImportRefusal::PasswordForm(shortened(form))),
        }
        match (ImportedHash::parse(hash), self.allowed_weak) {
            (Ok(hash), _) => Ok(ImportPassword::Hash(hash.to_stored(), Some(hash.cost()))),
            (Err(UnsupportedHash::Weak), Some(format)) => {
                let weak = WeakHash::parse(hash, format).map_err(ImportRefusal::PasswordHash)?;
                Ok(ImportPassword::Weak(Some(weak)))
            }
            (Err(error), _) => Err(ImportRefusal::PasswordHash(error)),
        }
    }
}

impl ImportUser {
    /// Whether the user has a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }
}

impl ImportPassword {
    /// How the stored text of a weak hash begins that was hashed once more.
    const OF_WEAK: &str = "handstamp-digest$";

    /// The hash to be stored.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Hash(hash, _) => hash.expose(),
            Self::Weak(_) => Self::OF_WEAK,
        }
    }

    /// The cost of a check where the hash is not our own.
    pub(crate) fn cost(&self) -> Option<HashCost> {
        match self {
            Self::Hash(_, cost) => *cost,
            Self::Weak(_) => None,
        }
    }

    /// Whether an import has stored this text for it. A weak hash has another text each time.
    pub(crate) fn is_stored_as(&self, stored: Option<&str>) -> bool {
        let is_of_weak = |text: &str| text.starts_with(Self::OF_WEAK);
        match self {
            Self::Hash(hash, _) if !is_of_weak(hash.expose()) => stored == Some(hash.expose()),
            Self::Hash(..) | Self::Weak(_) => stored.is_some_and(is_of_weak),
        }
    }

    /// Whether a sign-in replaces it.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self, Self::Hash(_, Some(_)) | Self::Weak(_))
    }
}

/// A key of the former system, which may be absent; none if it cannot be stored.
fn key(text: &str) -> Option<Option<String>> {
    let text = text.trim();
    let is_key = text.len() <= MAX_LEGACY_ID_BYTES && !text.chars().any(char::is_control);
    is_key.then(|| (!text.is_empty()).then(|| text.to_owned()))
}

/// The truth value of a text, which is false if it is empty; none if it is another text.
fn truth(text: &str) -> Option<bool> {
    let words = |words: &[&str]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    match () {
        () if words(&["true", "t", "yes", "y", "1"]) => Some(true),
        () if words(&["", "false", "f", "no", "n", "0"]) => Some(false),
        () => None,
    }
}

/// The time that a text is; none if it is empty.
fn time(field: &'static str, text: &str, now: Timestamp) -> Result<Option<Timestamp>, ImportRefusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let out_of_range = || ImportRefusal::TimeOutOfRange(field, shortened(text));
    let seconds = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok().filter(|seconds| *seconds < MILLISECONDS_FROM).ok_or_else(out_of_range)?
    } else {
        let time = text.parse::<jiff::Timestamp>().or_else(|_| {
            let utc = jiff::tz::TimeZone::UTC;
            text.parse::<jiff::civil::DateTime>().and_then(|time| utc.to_timestamp(time))
        });
        let time = time.map_err(|_| ImportRefusal::NotATime(field, shortened(text)))?;
        u64::try_from(time.as_second()).map_err(|_| out_of_range())?
    };
    let time = Timestamp::from_unix_seconds(seconds);
    if time > now.after(MAX_AHEAD) { Err(out_of_range()) } else { Ok(Some(time)) }
}

/// The beginning of a text of a row, for a message about it.
fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 40;
    let mut shown: String = text.chars().take(CHARACTERS).collect();
    if text.chars().nth(CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

/// A user as an export for another system has it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ExportedUser {
    /// The id of the user here, which an import does not take over.
    pub id: UserId,
    /// The e-mail address.
    pub email: String,
    /// The display name.
    pub name: String,
    /// The stored hash of the password, if the user has one.
    pub password_hash: Option<String>,
    /// `nfc` if it is one of our own hashes, which are of the password in NFC.
    pub password_form: Option<&'static str>,
    /// When the address was verified, if it is.
    pub email_verified: Option<Timestamp>,
    /// When the account was created.
    pub created_at: Timestamp,
    /// Whether sign-in is disabled.
    pub disabled: bool,
    /// The names of the groups, in order.
    pub groups: Vec<String>,
    /// The id in the system that the user was imported from, if there was one.
    pub legacy_id: Option<String>,
    /// By what the cookies of that system name the user, if that is not the id.
    pub legacy_session_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    const PARSER: ImportParser = ImportParser::new(NOW);
    const ADA: ImportFields<'_> = ImportFields {
        email: "Ada@example.com",
        name: "",
        password_hash: "",
        password_form: "",
        email_verified: "",
        created_at: "",
        disabled: "",
        groups: &[],
        legacy_id: "",
        legacy_session_key: "",
    };

    fn parsed(fields: &ImportFields<'_>) -> Result<ImportUser, ImportRefusal> {
        PARSER.parse(fields)
    }

    #[test]
    fn a_row_of_an_address_alone_has_the_documented_defaults() {
        let user = parsed(&ADA).unwrap();
        assert_eq!((user.email.as_str(), user.name.as_str(), user.has_password()), ("Ada@example.com", "Ada", false));
        assert_eq!((user.created_at, user.email_verified_at, user.disabled), (NOW, None, false));
        assert_eq!((user.groups, user.legacy_id), (vec![], None));
    }

    #[test]
    fn times_are_read_in_the_documented_forms() {
        let at =
            |text: &str| parsed(&ImportFields { created_at: text, ..ADA }).map(|user| user.created_at.unix_seconds());
        for text in [
            "1700000000",
            " 1700000000 ",
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "2023-11-14 22:13:20",
            "2023-11-14 22:13:20.999",
            "2023-11-14 22:13:20.25+00",
        ] {
            assert_eq!(at(text), Ok(1_700_000_000), "{text}");
        }
        assert_eq!(at("1970-01-01T00:00:00Z"), Ok(0));
        for text in
            ["1700000000000", "99999999999999999999999", "1969-12-31T23:59:59Z", "2031-01-01 00:00:00", "1900000000"]
        {
            assert_eq!(at(text), Err(ImportRefusal::TimeOutOfRange("created_at", text.to_owned())));
        }
        for text in ["yesterday", "-1", "14.11.2023", "2023-02-30", "1e9", "٣"] {
            assert_eq!(at(text), Err(ImportRefusal::NotATime("created_at", text.to_owned())));
        }
    }

    #[test]
    fn a_verified_address_is_true_or_a_time() {
        let at = |text: &str| parsed(&ImportFields { email_verified: text, ..ADA }).map(|user| user.email_verified_at);
        for text in ["true", "T", "1", "yes"] {
            assert_eq!(at(text), Ok(Some(NOW)), "{text}");
        }
        for text in ["false", "f", "0", "No", ""] {
            assert_eq!(at(text), Ok(None), "{text}");
        }
        assert_eq!(at("1700000000"), Ok(Some(Timestamp::from_unix_seconds(1_700_000_000))));
        assert_eq!(at("maybe"), Err(ImportRefusal::NotATime("email_verified", "maybe".to_owned())));
        let disabled = |text: &str| parsed(&ImportFields { disabled: text, ..ADA }).map(|user| user.disabled);
        assert_eq!((disabled("TRUE"), disabled("0")), (Ok(true), Ok(false)));
        let long = "x".repeat(100);
        let shown = format!("{}…", "x".repeat(40));
        assert_eq!(disabled(&long), Err(ImportRefusal::NotTrueOrFalse("disabled", shown)));
    }

    #[test]
    fn hostile_values_are_refused_with_the_reason() {
        let groups = |names: &[String]| parsed(&ImportFields { groups: names, ..ADA }).map(|user| user.groups.len());
        let many: Vec<String> = (0..51).map(|number| format!("group-{number}")).collect();
        assert_eq!((groups(&many[..50]), groups(&many)), (Ok(50), Err(ImportRefusal::TooManyGroups)));
        assert_eq!(groups(&["staff".to_owned(), "staff".to_owned()]), Ok(1));
        assert!(matches!(groups(&["a\0b".to_owned()]), Err(ImportRefusal::Group(..))));
        let legacy = |id: &str| parsed(&ImportFields { legacy_id: id, ..ADA }).map(|user| user.legacy_id);
        assert_eq!(legacy(&"é".repeat(100)), Ok(Some("é".repeat(100))));
        assert_eq!(legacy(&"é".repeat(101)), Err(ImportRefusal::LegacyId));
        assert_eq!(legacy("4\u{0}2"), Err(ImportRefusal::LegacyId));
        assert_eq!(legacy("4\u{85}2"), Err(ImportRefusal::LegacyId));
        for hash in ["secret", "$argon2id$v=19$m=19456,t=2,p=1$AwMDAw", "d41d8cd98f00b204e9800998ecf8427e", "\0"] {
            let refused = parsed(&ImportFields { password_hash: hash, ..ADA }).map(|_| ());
            assert!(matches!(refused, Err(ImportRefusal::PasswordHash(_))), "{hash}");
        }
        // A hash of 16 GiB of memory, which a check would allocate.
        let costly =
            "$argon2id$v=19$m=16777216,t=2,p=1$AwMDAwMDAwMDAwMDAwMDAw$bNAtXmQTyxyXCV5SufdPn/KJykax1do4gTakfsXcwIY";
        let refused = parsed(&ImportFields { password_hash: costly, ..ADA }).map(|_| ());
        assert!(matches!(refused, Err(ImportRefusal::PasswordHash(_))));
        assert_eq!(
            parsed(&ImportFields { email: "", ..ADA }).map(|_| ()),
            Err(ImportRefusal::Email(EmailError::Empty))
        );
        assert_eq!(
            parsed(&ImportFields { name: "a\u{0}b", ..ADA }).map(|_| ()),
            Err(ImportRefusal::Name(NameError::ControlCharacter))
        );
    }

    #[test]
    fn a_hash_of_argon2id_is_ours_in_nfc_only() {
        const HASH: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$AwMDAwMDAwMDAwMDAwMDAw$bNAtXmQTyxyXCV5SufdPn/KJykax1do4gTakfsXcwIY";
        let stored = |password_form| {
            let user = parsed(&ImportFields { password_hash: HASH, password_form, ..ADA }).unwrap();
            let password = user.password.unwrap();
            (password.text().to_owned(), password.cost().is_some())
        };
        assert_eq!(stored("nfc"), (HASH.to_owned(), false));
        assert_eq!(stored(""), (format!("argon2{HASH}"), true), "other systems hash what is typed");
        let other = parsed(&ImportFields { password_hash: HASH, password_form: "nfd", ..ADA }).map(|_| ());
        assert_eq!(other, Err(ImportRefusal::PasswordForm("nfd".to_owned())));
    }

    #[test]
    fn a_weak_hash_is_taken_only_if_it_is_allowed_and_never_stored() {
        let md5 = ImportFields { password_hash: "d41d8cd98f00b204e9800998ecf8427e", ..ADA };
        assert_eq!(parsed(&md5).map(|_| ()), Err(ImportRefusal::PasswordHash(UnsupportedHash::Weak)));
        let user = PARSER.with_weak_hashes(WeakFormat::Hex).parse(&md5).unwrap();
        let password = user.password.unwrap();
        assert!(matches!(password, ImportPassword::Weak(Some(_))) && !password.text().contains("d41d"));
        let django = PARSER.with_weak_hashes(WeakFormat::Django).parse(&md5).map(|_| ());
        assert_eq!(django, Err(ImportRefusal::PasswordHash(UnsupportedHash::Malformed)));
    }
}
