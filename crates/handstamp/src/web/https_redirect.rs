//! The redirect of plain http to https, which serves nothing else.

use axum::Router;
use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::{forward_auth, host};
use crate::config::Config;

/// The authorities of this site by https, each with its host.
struct Authorities {
    public: String,
    of_apps: Vec<(String, String)>,
}

/// Redirects every request to the same path of this site.
pub(crate) fn router(config: &Config) -> Router {
    let hosts = config.apps.values().filter_map(|app| app.host.as_ref());
    let authorities = Authorities {
        public: config.public_url.authority().to_owned(),
        of_apps: hosts.map(|host| (host.name().to_owned(), host.as_str().to_owned())).collect(),
    };
    let authorities = std::sync::Arc::new(authorities);
    Router::new().fallback(async move |request: Request| redirect(&authorities, &request))
}

/// A request may name any host, also with a port, and gets to one of ours only.
fn redirect(authorities: &Authorities, request: &Request) -> Response {
    let authority = authorities.of(host::asked_for(request));
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { forward_auth::in_ascii(target.as_bytes()) } else { "/".into() };
    match HeaderValue::try_from(format!("https://{authority}{target}")) {
        Ok(location) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

impl Authorities {
    /// The authority for a request that names this one.
    fn of(&self, asked: Option<&str>) -> &str {
        let url = asked.and_then(|asked| Url::parse(&format!("http://{asked}/")).ok());
        let host = url.as_ref().and_then(Url::host_str);
        let of_app = self.of_apps.iter().find(|(of_app, _)| host == Some(of_app));
        of_app.map_or(&self.public, |(_, authority)| authority)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn location(host: &str, target: &str) -> String {
        let public = "id.example.com".to_owned();
        let of_apps = [("wiki.example.com", "wiki.example.com:8443"), ("chat.example.com", "chat.example.com")];
        let of_apps = of_apps.map(|(host, authority)| (host.to_owned(), authority.to_owned())).to_vec();
        let request = Request::builder().uri(target).header("host", host).body(Body::empty()).unwrap();
        let response = redirect(&Authorities { public, of_apps }, &request);
        assert_eq!(response.status(), 308);
        response.headers()[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_redirect_leads_to_a_host_of_this_site_whatever_the_request_names() {
        for (host, authority) in [
            ("id.example.com", "id.example.com"),
            ("id.example.com:80", "id.example.com"),
            ("wiki.example.com", "wiki.example.com:8443"),
            ("WIKI.example.com:80", "wiki.example.com:8443"),
            ("chat.example.com:8080", "chat.example.com"),
            ("evil.test", "id.example.com"),
            ("chat.example.com.evil.test", "id.example.com"),
            ("chat.example.com@evil.test", "id.example.com"),
            ("evil.test/chat.example.com", "id.example.com"),
            ("", "id.example.com"),
        ] {
            assert_eq!(location(host, "/a/../b?c=%2F&d"), format!("https://{authority}/a/../b?c=%2F&d"), "{host}");
        }
    }

    #[test]
    fn a_redirect_keeps_the_path_and_the_query() {
        for (target, expected) in [
            ("//evil.test/x", "//evil.test/x"),
            ("/\\evil.test", "/\\evil.test"),
            ("http://evil.test/path", "/path"),
            ("*", "/"),
            ("/?", "/?"),
        ] {
            assert_eq!(location("id.example.com", target), format!("https://id.example.com{expected}"));
        }
    }
}
