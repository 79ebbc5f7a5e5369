//! The `Cookie` header of a request: finding Handstamp's cookies in it, and removing them from it.

use memchr::memchr;

/// The cookies of one name in the `Cookie` lines of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieLookup<'a> {
    /// No cookie of the name.
    Missing,
    /// One cookie, with its value; empty where that is not UTF-8.
    Found(&'a str),
    /// Two or more, which [`all`] gives. Their order means nothing: by RFC 6265 §4.2.2 servers should not rely on it.
    Ambiguous,
}

/// Finds the cookie of exactly this name. Nothing is decoded, unquoted or repaired, and the pairs around it may be anything.
pub fn find<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> CookieLookup<'a> {
    let mut values = values(lines, name);
    match (values.next(), values.next()) {
        (None, _) => CookieLookup::Missing,
        (Some(value), None) => CookieLookup::Found(text(value)),
        (Some(_), Some(_)) => CookieLookup::Ambiguous,
    }
}

/// The values of all cookies of exactly this name; empty where one is not UTF-8.
pub fn all<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> impl Iterator<Item = &'a str> {
    values(lines, name).map(text)
}

fn values<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let value = |pair: &'a [u8]| match pair.trim_ascii().strip_prefix(name.as_bytes())? {
        [b'=', value @ ..] => Some(value),
        [] => Some([].as_slice()),
        _ => None,
    };
    lines.into_iter().flat_map(pairs).filter_map(value)
}

/// The value as text. A value that is not UTF-8 becomes empty, since this service never issued it.
fn text(value: &[u8]) -> &str {
    str::from_utf8(value).unwrap_or_default()
}

/// The `Cookie` lines of a request as one line without Handstamp's cookies, which no app behind the proxy needs.
pub fn strip_own<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let pairs = lines.into_iter().flat_map(pairs).map(<[u8]>::trim_ascii);
    let theirs: Vec<_> = pairs.filter(|pair| !pair.is_empty() && !is_own(pair)).collect();
    theirs.join(b"; ".as_slice())
}

/// The texts between semicolons. Cookies are long: examining every byte by itself made finding one take twice as long.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr(b';', line);
        rest = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
}

/// Whether a cookie belongs to a Handstamp of any site: its name is `handstamp_…`, with or without a prefix that browsers
/// enforce.
pub fn is_own(pair: &[u8]) -> bool {
    let prefixes = [b"__Host-".as_slice(), b"__Secure-"];
    let bare = prefixes.iter().find_map(|prefix| {
        let (head, rest) = pair.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some(rest)
    });
    let prefix = bare.unwrap_or(pair).get(.."handstamp_".len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"handstamp_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented<'a>(lines: &[&'a str]) -> CookieLookup<'a> {
        find(lines.iter().map(|line| line.as_bytes()), "handstamp_session")
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_exact_name() {
        assert_eq!(presented(&["a=1; handstamp_session=x; b=2"]), CookieLookup::Found("x"));
        assert_eq!(presented(&["a=1", "handstamp_session=x=y"]), CookieLookup::Found("x=y"));
        for line in [
            "",
            "Handstamp_session=x",
            "handstamp_sessio=x",
            "xhandstamp_session=x",
            "handstamp_session2=x",
            "=handstamp_session",
        ] {
            assert_eq!(presented(&[line]), CookieLookup::Missing, "{line}");
        }
        assert_eq!(presented(&["handstamp_session"]), CookieLookup::Found(""));
        assert_eq!(presented(&["handstamp_session=\"x\""]), CookieLookup::Found("\"x\""));
    }

    #[test]
    fn a_cookie_value_that_is_not_utf_8_is_found_and_empty() {
        assert_eq!(find([b"handstamp_session=\xff".as_slice()], "handstamp_session"), CookieLookup::Found(""));
    }

    #[test]
    fn all_cookies_of_the_name_are_found() {
        assert_eq!(presented(&["handstamp_session=x; handstamp_session=x"]), CookieLookup::Ambiguous);
        assert_eq!(presented(&["handstamp_session=x", "handstamp_session="]), CookieLookup::Ambiguous);
        let lines =
            [b"handstamp_session=x; a=b; handstamp_session".as_slice(), b"handstamp_session=\xff; handstamp_session=y"];
        assert_eq!(all(lines, "handstamp_session").collect::<Vec<_>>(), ["x", "", "", "y"]);
    }

    #[test]
    fn an_app_gets_its_own_cookies_and_none_of_ours() {
        let left = |lines: &[&str]| {
            let left = strip_own(lines.iter().map(|line| line.as_bytes()));
            String::from_utf8(left).unwrap()
        };
        assert_eq!(left(&[]), "");
        assert_eq!(left(&["a=1; b=\"x y\";c"]), "a=1; b=\"x y\"; c");
        assert_eq!(left(&["a=1", " ;; b=handstamp_session=2 ;"]), "a=1; b=handstamp_session=2");
        for ours in [
            "handstamp_session=x",
            "handstamp_device=x",
            "handstamp_session_8080=x",
            "__Host-handstamp_session=x",
            "__Secure-handstamp_signed_out=1",
            "__host-HANDSTAMP_session=x",
            "handstamp_session",
            " handstamp_session =x",
        ] {
            assert_eq!(left(&[&format!("a=1;{ours}; b=2"), ours]), "a=1; b=2", "{ours}");
        }
        assert_eq!(left(&["__Host-session=x; handstamp=y; xhandstamp_session=z"]).split("; ").count(), 3);
    }
}
