//! The settings of the site and its pages: its name, its templates, and whether visitors may register.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use handstamp_core::{DisplayName, InvalidSetting};

use super::setting::parse;
use super::{Config, Setting};

/// Whether visitors may create accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Registration {
    /// Every visitor.
    #[default]
    Open,
    /// Every visitor who confirms the address: the account exists once the mailed link or code was used. It needs mail.
    Confirm,
    /// Persons who are invited, by [`Users::invite`](crate::Users::invite).
    Invite,
    /// Operators only, by [`Users::create`](crate::Users::create).
    Closed,
}

/// `open`, `confirm`, `invite` or `closed`.
impl FromStr for Registration {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        match text {
            "open" => Ok(Self::Open),
            "confirm" => Ok(Self::Confirm),
            "invite" => Ok(Self::Invite),
            "closed" => Ok(Self::Closed),
            _ => Err(InvalidSetting::new("must be open, confirm, invite or closed")),
        }
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Confirm => "confirm",
            Self::Invite => "invite",
            Self::Closed => "closed",
        })
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("site_name", |config: &mut Config, name| {
            config.site_name = name.trim().to_owned();
            Ok(())
        })
        .check(|config| check_site_name(&config.site_name))
        .values("1 to 100 visible characters")
        .shown(|config| config.site_name.clone())
        .about("The name of the site on its pages."),
        Setting::text("templates_dir", |config: &mut Config, folder| {
            config.templates_dir = Some(PathBuf::from(folder));
            Ok(())
        })
        .check(|config| match &config.templates_dir {
            Some(folder) if !folder.is_dir() => Err(InvalidSetting::new("is not a folder")),
            _ => Ok(()),
        })
        .values("a folder")
        .about("The files in this folder replace the templates of the same name, while the server runs."),
        Setting::text("registration", |config: &mut Config, text| {
            config.registration = parse(text)?;
            Ok(())
        })
        .values("`open`, `confirm`, `invite` or `closed`")
        .shown(|config| config.registration.to_string())
        .about(
            "Whether visitors can create accounts: all, those who confirm their address by mail, those who are invited, or none.",
        ),
    ]
}

fn check_site_name(name: &str) -> Result<(), InvalidSetting> {
    DisplayName::parse(name).map(drop).map_err(|_| InvalidSetting::new("must be 1 to 100 visible characters"))
}
