//! The endpoints of the fake provider.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use base64_simd::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::keys::{Keys, base64, random_text};
use super::{FakeProvider, Parts, State, merge};

pub(super) async fn serve(listener: TcpListener, state: Arc<State>, stopped: oneshot::Receiver<()>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let router = Router::new().fallback(answer).with_state(state);
    tokio::select! {
        served = axum::serve(listener, router) => served.unwrap(),
        _ = stopped => {}
    }
}

/// An answer before the faults of its endpoint.
struct Answer {
    status: u16,
    content_type: &'static str,
    location: Option<String>,
    body: String,
}

impl Answer {
    fn json(value: &Value) -> Self {
        Self { status: 200, content_type: "application/json", location: None, body: value.to_string() }
    }

    fn error(error: &str) -> Self {
        Self { status: 400, ..Self::json(&json!({ "error": error })) }
    }
}

async fn answer(
    extract::State(state): extract::State<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    let is_document = state.parts().behaviour["documents"].get(path).is_some();
    let endpoint = match path.rsplit('/').next().unwrap_or_default() {
        _ if is_document => "document",
        "openid-configuration" => "discovery",
        "authorize" => "authorize",
        "token" | "access_token" => "token",
        "keys" => "jwks",
        "userinfo" => "userinfo",
        _ => "unknown",
    };
    let encoded = if method == Method::POST { &body[..] } else { uri.query().unwrap_or_default().as_bytes() };
    let fields = fields_of(encoded);
    if endpoint != "authorize" {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())).collect();
        let request = json!({ "path": path, "fields": fields, "headers": headers });
        state.parts().requests.push((endpoint.to_owned(), request));
    }
    let answer = match endpoint {
        "discovery" => state.discovery(path.trim_end_matches("/.well-known/openid-configuration")),
        "authorize" => state.redirects(&fields),
        "token" => state.exchanges(&fields, &headers),
        "jwks" => state.keys(),
        "userinfo" => state.userinfo(&headers),
        "document" => state.document(path, &headers),
        _ => Answer { status: 404, ..Answer::json(&json!({})) },
    };
    let fault = state.parts().behaviour["faults"][endpoint].clone();
    respond(answer, &fault).await
}

fn fields_of(encoded: &[u8]) -> BTreeMap<String, String> {
    let mut url = url::Url::parse("http://localhost/").expect("it is written here");
    url.set_query(Some(std::str::from_utf8(encoded).unwrap_or_default()));
    url.query_pairs().into_owned().collect()
}

async fn respond(answer: Answer, fault: &Value) -> Response {
    let milliseconds = |name: &str| fault[name].as_u64().map(Duration::from_millis);
    if let Some(delay) = milliseconds("delay") {
        tokio::time::sleep(delay).await;
    }
    let status = fault["status"].as_u64().map_or(answer.status, |status| u16::try_from(status).unwrap());
    let content_type = fault["type"].as_str().unwrap_or(answer.content_type);
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    if let Some(location) = fault["location"].as_str().or(answer.location.as_deref()) {
        response = response.header(header::LOCATION, location);
    }
    if let Some(date) = fault["date"].as_str() {
        response = response.header(header::DATE, date);
    }
    let mut body = fault["body"].as_str().map_or(answer.body, str::to_owned);
    if let Some(bytes) = fault["bytes"].as_u64() {
        // White space after a value of JSON is a part of the text, so nothing but its length is wrong.
        body.push_str(&" ".repeat(usize::try_from(bytes).unwrap().saturating_sub(body.len())));
    }
    let body = match milliseconds("drip") {
        Some(pause) => Body::from_stream(drip(body, pause)),
        None => Body::from(body),
    };
    response.header(header::CONTENT_TYPE, content_type).body(body).unwrap()
}

/// The bytes of a body, one by one.
fn drip(body: String, pause: Duration) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send {
    futures_util::stream::unfold(body.into_bytes().into_iter(), move |mut rest| async move {
        tokio::time::sleep(pause).await;
        Some((Ok(Bytes::from(vec![rest.next()?])), rest))
    })
}

impl State {
    fn discovery(&self, prefix: &str) -> Answer {
        let at = |path: &str| format!("{}{prefix}{path}", self.url);
        let mut document = json!({
            "issuer": at(""),
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
        });
        merge(&mut document, self.parts().behaviour["discovery"].clone(), true);
        Answer::json(&document)
    }

    fn redirects(&self, fields: &BTreeMap<String, String>) -> Answer {
        let (redirect_uri, answer) = match self.authorizes(fields) {
            Ok(answer) => answer,
            Err(error) => return Answer::error(&error),
        };
        if fields.get("response_mode").is_some_and(|mode| mode == "form_post") {
            let hidden = |(name, value): &(String, String)| {
                format!("<input type=\"hidden\" name=\"{name}\" value='{}'>", value.replace('\'', "&#39;"))
            };
            let inputs: String = answer.iter().map(hidden).collect();
            let body = format!(
                "<!doctype html><title>Back</title><form method=\"post\" action=\"{redirect_uri}\">{inputs}</form>\
                 <script>document.forms[0].submit()</script>"
            );
            return Answer { status: 200, content_type: "text/html", location: None, body };
        }
        let location = url::Url::parse_with_params(&redirect_uri, &answer).unwrap().into();
        Answer { status: 303, content_type: "text/plain", location: Some(location), body: String::new() }
    }

    fn exchanges(&self, fields: &BTreeMap<String, String>, headers: &HeaderMap) -> Answer {
        let mut parts = self.parts();
        let get = |name: &str| fields.get(name).map_or("", String::as_str);
        if let Err(complaint) = authenticate(&parts, fields, headers) {
            parts.complaints.push(format!("token: {complaint}"));
            return Answer { status: 401, ..Answer::error("invalid_client") };
        }
        let takes_again = parts.behaviour["takes_codes_again"] == true;
        let taken = if takes_again { parts.codes.get(get("code")).cloned() } else { parts.codes.remove(get("code")) };
        let Some(request) = taken else {
            parts.complaints.push("token: the code is unknown, or was used".to_owned());
            return Answer::error("invalid_grant");
        };
        let challenge = base64(&Sha256::digest(get("code_verifier")));
        for (is_right, what) in [
            (get("grant_type") == "authorization_code", "grant_type"),
            (get("redirect_uri") == request["redirect_uri"], "redirect_uri"),
            (challenge == request["code_challenge"], "code_verifier"),
        ] {
            if !is_right {
                parts.complaints.push(format!("token: {what}"));
                return Answer::error("invalid_grant");
            }
        }
        let access_token = random_text();
        let mut answer = json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": 300, "scope": request.get("scope"),
            "id_token": self.id_token(&parts, &request),
        });
        merge(&mut answer, parts.behaviour["token"].clone(), true);
        parts.access_tokens.push(access_token);
        Answer::json(&answer)
    }

    fn keys(&self) -> Answer {
        let parts = self.parts();
        let published = parts.behaviour["jwks"].as_object().expect("jwks is an object");
        let published = published.iter().filter_map(|(kid, name)| {
            let mut key = Keys::shared().public(name.as_str()?);
            key["kid"] = kid.as_str().into();
            Some(key)
        });
        Answer::json(&json!({ "keys": published.collect::<Vec<_>>() }))
    }

    fn userinfo(&self, headers: &HeaderMap) -> Answer {
        if !self.has_access(headers) {
            return Answer { status: 401, ..Answer::error("invalid_token") };
        }
        let mut claims = json!({
            "sub": FakeProvider::SUBJECT, "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true,
        });
        merge(&mut claims, self.parts().behaviour["userinfo"].clone(), true);
        Answer::json(&claims)
    }

    /// A document that a test has given. One that is no part of the discovery is for a bearer of an access token only.
    fn document(&self, path: &str, headers: &HeaderMap) -> Answer {
        let document = self.parts().behaviour["documents"][path].clone();
        if path.contains("/user") && !self.has_access(headers) {
            return Answer { status: 401, ..Answer::error("Requires authentication") };
        }
        Answer::json(&document)
    }

    fn has_access(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let mut parts = self.parts();
        let has_access = token.is_some_and(|token| parts.access_tokens.iter().any(|known| known == token));
        if !has_access {
            parts.complaints.push("userinfo: the access token is unknown".to_owned());
        }
        has_access
    }
}

/// Whether a request is from the client: by its secret, in a header or a field, or by a secret that Apple's client has signed.
fn authenticate(parts: &Parts, fields: &BTreeMap<String, String>, headers: &HeaderMap) -> Result<(), String> {
    let client = State::client(parts);
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let (id, secret) = if let Some(basic) = basic {
        let decoded = STANDARD.decode_to_vec(basic).map_err(|error| error.to_string())?;
        let text = String::from_utf8(decoded).map_err(|error| error.to_string())?;
        let (id, secret) = text.split_once(':').ok_or("there is no colon")?;
        (id.to_owned(), secret.to_owned())
    } else {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        (field("client_id"), field("client_secret"))
    };
    if id != client {
        return Err(format!("the client is {id:?}"));
    }
    let Some(apple) = parts.behaviour.get("apple") else {
        return if secret == FakeProvider::SECRET { Ok(()) } else { Err(format!("the secret is {secret:?}")) };
    };
    let (header, claims) = Keys::shared().open_apple_secret(&secret)?;
    let (now, month) = (super::now(), 15_777_000);
    let (from, until) = (claims["iat"].as_u64().unwrap_or(u64::MAX), claims["exp"].as_u64().unwrap_or_default());
    let is_right = header["alg"] == "ES256"
        && header["kid"] == apple["key_id"]
        && claims["iss"] == apple["team_id"]
        && claims["aud"] == apple["audience"]
        && claims["sub"] == *client
        && from <= now + 1
        && (now..=now + month).contains(&until);
    if is_right { Ok(()) } else { Err(format!("the secret of Apple is {header} {claims}")) }
}
