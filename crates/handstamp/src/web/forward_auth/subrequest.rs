//! The query of an authorization subrequest: the access rules that the configuration of the proxy sets.

use std::time::Duration;

use handstamp_core::{AssuranceLevel, Authentication, Form, GroupName};

use crate::model::SessionUser;

/// The access rules for a request: the query of the subrequest. Without a query, signed-in users pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct SubrequestOptions {
    /// The user has to be in one of these groups; empty where every signed-in user passes.
    pub(in crate::web) groups: Vec<GroupName>,
    /// The session has to have this assurance level or a higher one.
    pub(in crate::web) assurance: Option<AssuranceLevel>,
    /// The user has to have authenticated within this time.
    pub(in crate::web) max_age: Option<Duration>,
    /// Anonymous visitors pass too, with empty identity headers.
    pub(in crate::web) for_everybody: bool,
    /// CORS preflights pass, with empty identity headers.
    pub(in crate::web) passes_preflights: bool,
}

const FIELDS: [&str; 5] = ["group", "assurance", "max_age", "access", "preflight"];

impl SubrequestOptions {
    /// Whether a user is in one of the required groups, if there are any.
    pub(in crate::web) fn allow_groups_of(&self, user: &SessionUser) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| user.is_in(group.as_str()))
    }

    /// Whether an authentication has reached the required level, if there is one.
    pub(in crate::web) fn allow_assurance_of(&self, authentication: Authentication) -> bool {
        self.assurance.is_none_or(|least| authentication.assurance() >= least)
    }

    /// Parses the query of a subrequest about a request whose target (path and query) is given.
    ///
    /// Caddy sends the client's own query along if its configuration gives the subrequest none. A client that names groups only
    /// restricts itself, and its other fields mean nothing here. But it must not grant itself access, so fields that would do so
    /// are rejected if the target has the same query.
    ///
    /// # Errors
    /// In words for the operator: a field or value that has no meaning here, a repeated field, or two that contradict each other.
    /// A misspelt rule must not let more requests pass than the operator meant.
    pub(super) fn parse(query: &str, target: &str) -> Result<Self, String> {
        if query.is_empty() {
            return Ok(Self::default());
        }
        let fields = Form::parse(query.as_bytes()).map_err(|error| error.to_string())?;
        let is_the_clients = target.split_once('?').is_some_and(|(_, asked)| asked == query);
        let unknown = fields.names().find(|name| !FIELDS.contains(name));
        if let Some(name) = unknown.filter(|_| !is_the_clients) {
            return Err(format!("A question has the fields “{}”, and not “{name}”.", FIELDS.join("”, “")));
        }
        let names = fields.all("group").iter().map(|name| GroupName::parse(name));
        let groups = names.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let for_everybody = one_of(&fields, "access", ["members", "everybody"])? == Some("everybody");
        let passes_preflights = one_of(&fields, "preflight", ["pass"])?.is_some();
        let assurance = one_of(&fields, "assurance", ["1", "2", "3"])?;
        let assurance = assurance.map(AssuranceLevel::parse).transpose().map_err(|error| error.to_string())?;
        let max_age = seconds(&fields, "max_age")?;
        if for_everybody && (!groups.is_empty() || assurance.is_some() || max_age.is_some()) {
            return Err(
                "With “access=everybody” everybody passes, so “group”, “assurance” and “max_age” have no meaning."
                    .to_owned(),
            );
        }
        if is_the_clients && (for_everybody || passes_preflights) {
            return Err("The query of the question is that of the client: end the question with “?”.".to_owned());
        }
        Ok(Self { groups, assurance, max_age, for_everybody, passes_preflights })
    }
}

/// The value of a field that is a number of seconds, if it is there.
fn seconds(fields: &Form, name: &str) -> Result<Option<Duration>, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match fields.all(name) {
        [] => Ok(None),
        [given] if is_number(given) => Ok(Some(given.parse().map_or(Duration::MAX, Duration::from_secs))),
        [_] => Err(format!("The field “{name}” is a number of seconds.")),
        _ => Err(format!("The field “{name}” is there more than once.")),
    }
}

/// The value of a field, if it is there.
fn one_of<const N: usize>(
    fields: &Form,
    name: &str,
    values: [&'static str; N],
) -> Result<Option<&'static str>, String> {
    let given = match fields.all(name) {
        [] => return Ok(None),
        [given] => given,
        _ => return Err(format!("The field “{name}” is there more than once.")),
    };
    let value = values.into_iter().find(|value| value == given);
    value.map(Some).ok_or_else(|| format!("The field “{name}” can be “{}”.", values.join("” or “")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Option<SubrequestOptions> {
        SubrequestOptions::parse(query, "/notes?a=b").ok()
    }

    #[test]
    fn without_a_query_only_signed_in_users_pass() {
        assert_eq!(parsed(""), Some(SubrequestOptions::default()));
        assert_eq!(parsed("access=members"), Some(SubrequestOptions::default()));
    }

    #[test]
    fn the_query_sets_groups_public_access_and_preflights() {
        let groups = ["board", "staff"].map(|name| GroupName::parse(name).unwrap()).to_vec();
        let everybody = SubrequestOptions { for_everybody: true, ..SubrequestOptions::default() };
        let preflights = SubrequestOptions { groups, passes_preflights: true, ..SubrequestOptions::default() };
        assert_eq!(parsed("access=everybody"), Some(everybody));
        assert_eq!(parsed("group=board&preflight=pass&access=members&group=staff"), Some(preflights));
        let strict = parsed("assurance=2&max_age=600").unwrap();
        assert_eq!(
            (strict.assurance.map(AssuranceLevel::get), strict.max_age),
            (Some(2), Some(Duration::from_secs(600)))
        );
    }

    #[test]
    fn misspelt_empty_repeated_or_contradictory_access_rules_are_rejected() {
        for query in [
            "access",
            "access=",
            "access=Everybody",
            "access=all",
            "access=everybody&access=everybody",
            "access=members&access=everybody",
            "preflight=",
            "preflight=true",
            "preflight=pass&preflight=pass",
            "group=",
            "group=a,b",
            "groups=staff",
            "Access=members",
            "access=everybody&group=staff",
            "access=everybody&assurance=2",
            "access=everybody&max_age=1",
            "assurance=",
            "assurance=0",
            "assurance=4",
            "assurance=02",
            "assurance=2&assurance=2",
            "max_age=",
            "max_age=-1",
            "max_age=+1",
            "max_age=1h",
            "max_age=1&max_age=1",
            "access=%FF",
            "a=b&c",
        ] {
            assert_eq!(parsed(query), None, "{query}");
        }
    }

    #[test]
    fn a_client_cannot_grant_itself_access_by_its_own_query() {
        let asked = |query: &str| SubrequestOptions::parse(query, &format!("/notes?{query}"));
        for query in ["access=everybody", "preflight=pass", "a=b&access=everybody"] {
            assert!(asked(query).is_err(), "{query}");
        }
        assert_eq!(asked("a=b&access=members"), Ok(SubrequestOptions::default()));
        assert_eq!(asked("group=staff").unwrap().groups.len(), 1, "the client restricts only itself");
        assert!(asked("access=public").is_err(), "the query may be that of the subrequest");
    }
}
