//! The fields of a question that a proxy asks.

use handstamp_core::{Form, GroupName};

/// What a proxy asks of everyone who wants to pass: the query of its question. Without one, members pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// The groups of which one is enough; empty where every member passes.
    pub(super) groups: Vec<GroupName>,
    /// Strangers pass too, as strangers.
    pub(super) for_everybody: bool,
    /// CORS preflights pass, as strangers.
    pub(super) passes_preflights: bool,
}

impl Question {
    /// The question in a query, about a request whose target (path and query) is given.
    ///
    /// Caddy sends the client's own query along if its configuration gives the question none. A client that names groups keeps
    /// only itself out, and fields of its own mean nothing here; but it must not open the door, so what would do so is refused
    /// if the target has the same query.
    ///
    /// # Errors
    /// In words for the operator: a field or value that has no meaning here, a field that is given twice, or two that
    /// contradict each other. What is misspelt must not let more people pass than was meant.
    pub(super) fn parse(query: &str, target: &str) -> Result<Self, String> {
        if query.is_empty() {
            return Ok(Self::default());
        }
        let fields = Form::parse(query.as_bytes()).map_err(|error| error.to_string())?;
        let is_the_clients = target.split_once('?').is_some_and(|(_, asked)| asked == query);
        let unknown = fields.names().find(|name| !["group", "access", "preflight"].contains(name));
        if let Some(name) = unknown.filter(|_| !is_the_clients) {
            return Err(format!("A question has the fields “group”, “access” and “preflight”, and not “{name}”."));
        }
        let names = fields.all("group").iter().map(|name| GroupName::parse(name));
        let groups = names.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let for_everybody = one_of(&fields, "access", ["members", "everybody"])? == Some("everybody");
        let passes_preflights = one_of(&fields, "preflight", ["pass"])?.is_some();
        if for_everybody && !groups.is_empty() {
            return Err("With “access=everybody” everybody passes, so “group” has no meaning.".to_owned());
        }
        if is_the_clients && (for_everybody || passes_preflights) {
            return Err("The query of the question is that of the client: end the question with “?”.".to_owned());
        }
        Ok(Self { groups, for_everybody, passes_preflights })
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

    fn parsed(query: &str) -> Option<Question> {
        Question::parse(query, "/notes?a=b").ok()
    }

    #[test]
    fn without_a_query_it_is_about_members() {
        assert_eq!(parsed(""), Some(Question::default()));
        assert_eq!(parsed("access=members"), Some(Question::default()));
    }

    #[test]
    fn each_field_has_its_meaning() {
        let groups = ["board", "staff"].map(|name| GroupName::parse(name).unwrap()).to_vec();
        let everybody = Question { for_everybody: true, ..Question::default() };
        let preflights = Question { groups, passes_preflights: true, for_everybody: false };
        assert_eq!(parsed("access=everybody"), Some(everybody));
        assert_eq!(parsed("group=board&preflight=pass&access=members&group=staff"), Some(preflights));
    }

    #[test]
    fn what_is_misspelt_empty_repeated_or_contradictory_is_refused() {
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
            "access=%FF",
            "a=b&c",
        ] {
            assert_eq!(parsed(query), None, "{query}");
        }
    }

    #[test]
    fn a_client_whose_query_is_sent_along_does_not_open_the_door() {
        let asked = |query: &str| Question::parse(query, &format!("/notes?{query}"));
        for query in ["access=everybody", "preflight=pass", "a=b&access=everybody"] {
            assert!(asked(query).is_err(), "{query}");
        }
        assert_eq!(asked("a=b&access=members"), Ok(Question::default()));
        assert_eq!(asked("group=staff").unwrap().groups.len(), 1, "it is kept out itself");
        assert!(asked("access=public").is_err(), "it may be the question");
    }
}
