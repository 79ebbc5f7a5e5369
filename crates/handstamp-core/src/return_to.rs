/// A place on this site to go to next.
///
/// It can only be made by [`parse`](Self::parse), and what was checked is what is sent: there is no decoding, cleaning
/// or joining between the check and the `Location` header, so there is nothing for the two to disagree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The most bytes a place may have.
    pub const MAX_BYTES: usize = 2048;

    /// Where one goes without another wish.
    pub const ACCOUNT: &'static str = "/account";

    /// Takes a path with an optional query: one leading `/`, only visible ASCII (what a browser percent-encodes is
    /// expected so), no backslash, no dot segments, at most [`MAX_BYTES`](Self::MAX_BYTES), and neither the sign-in
    /// nor the sign-out page, where one would go in circles.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let good = text.len() <= Self::MAX_BYTES
            && text.starts_with('/')
            && !text.starts_with("//")
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
            && !path.split('/').any(is_dot_segment)
            && !matches!(path.trim_end_matches('/'), "/account/login" | "/account/logout");
        good.then(|| Self(text.to_owned()))
    }

    /// Like [`parse`](Self::parse), and the account page for whatever is refused.
    pub fn parse_or_account(text: &str) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    /// The place, exactly as it was checked.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self(Self::ACCOUNT.to_owned())
    }
}

/// `.` and `..`, also percent-encoded, which the URL Standard treats alike.
fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_on_this_site_is_sent_as_it_is() {
        for path in
            ["/", "/account", "/notes/7?tab=all&q=a%20b", "/a//b", "/%5Cexample.com", "/...", "/a?next=//x", "/a#b"]
        {
            assert_eq!(ReturnTo::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn every_way_off_the_site_leads_to_the_account() {
        for trick in [
            "",
            "account",
            "//example.com",
            "///example.com",
            "/\\example.com",
            "\\/example.com",
            "https://example.com",
            "https:/example.com",
            "javascript:alert(1)",
            " /account",
            "/account ",
            "/a b",
            "/\t/example.com",
            "/a\r\nSet-Cookie: x",
            "/a\0",
            "/..//example.com",
            "/a/../b",
            "/a/..",
            "/.",
            "/%2e%2E/b",
            "/a/.%2e/b",
            "/é",
            "/a\u{00A0}b",
            "/\u{2028}",
            "/account/login",
            "/account/login?next=/",
            "/account/logout",
            "/account/logout/",
            "/account/login#x",
        ] {
            assert_eq!(ReturnTo::parse(trick), None, "{trick:?}");
            assert_eq!(ReturnTo::parse_or_account(trick).as_str(), "/account");
        }
    }

    #[test]
    fn a_place_has_at_most_2048_bytes() {
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(2047))).is_some());
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(2048))).is_none());
    }
}
