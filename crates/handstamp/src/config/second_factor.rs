//! The section `second_factor`: who needs a second factor.

use std::fmt;

use handstamp_core::{GroupName, InvalidSetting};

use super::{Config, Setting};

/// The users who need a second factor.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SecondFactorConfig {
    /// The users who need a second factor; by default no user does. Those who have none are led to set one up before anything else.
    pub required: SecondFactorRequired,
}

/// The users who need a second factor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecondFactorRequired {
    /// No user needs one.
    #[default]
    Nobody,
    /// Every user.
    Everybody,
    /// The users in one of these groups.
    Groups(Vec<GroupName>),
}

impl SecondFactorRequired {
    /// Adds an item of the list: `none`, `everybody` or the name of a group.
    fn add(&mut self, item: &str) -> Result<(), InvalidSetting> {
        match (item, &mut *self) {
            ("none", Self::Nobody) | ("everybody", Self::Everybody) => Ok(()),
            ("everybody", Self::Nobody) => {
                *self = Self::Everybody;
                Ok(())
            }
            ("none" | "everybody", _) | (_, Self::Everybody) => {
                Err(InvalidSetting::new("must stand alone: none, everybody, or names of groups"))
            }
            (name, required) => {
                let name = GroupName::parse(name).map_err(|error| InvalidSetting::new(error.to_string()))?;
                match required {
                    Self::Groups(groups) => groups.push(name),
                    _ => *self = Self::Groups(vec![name]),
                }
                Ok(())
            }
        }
    }
}

/// `none`, `everybody`, or the names of groups, separated by commas.
impl fmt::Display for SecondFactorRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("none"),
            Self::Everybody => f.write_str("everybody"),
            Self::Groups(groups) => f.write_str(&groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(",")),
        }
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::list(
            "second_factor.required",
            |config: &mut Config| config.second_factor.required = SecondFactorRequired::Nobody,
            |config, item| config.second_factor.required.add(item),
        )
        .values("`none`, `everybody`, or a list of groups")
        .shown(|config| config.second_factor.required.to_string())
        .about(
            "The users who need a second factor. Those who have none are led to set one up before anything else, also by the \
             API and in apps behind a proxy.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(items: &[&str]) -> Option<String> {
        let mut required = SecondFactorRequired::Nobody;
        items.iter().try_for_each(|item| required.add(item)).ok().map(|()| required.to_string())
    }

    #[test]
    fn nobody_everybody_or_groups_need_a_second_factor() {
        for (items, shown) in [
            (&[][..], "none"),
            (&["none"], "none"),
            (&["everybody"], "everybody"),
            (&["staff"], "staff"),
            (&["staff", "admins"], "staff,admins"),
        ] {
            assert_eq!(of(items).as_deref(), Some(shown));
        }
        for wrong in [&["everybody", "staff"][..], &["staff", "everybody"], &["staff", "none"], &["a b"], &[""]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
