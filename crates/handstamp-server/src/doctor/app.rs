//! The check whether an app can be reached without its proxy, and whether it then accepts forged identities.

use axum::http::Uri;
use serde_json::{Value, json};

use super::browser::{Answer, Browser, Extra};
use super::{ADDRESS, CheckResult, FORGED, Outcome, path_of};
use Outcome::{Fail, Pass, Unknown};

/// A header that no app uses as an identity.
const MEANINGLESS: &str = "x-sent-by-the-doctor";

/// Sends forged identity headers to the app directly. `assertion` is a valid one for this app.
pub(super) async fn around_the_proxy(app: &Uri, assertion: Option<&str>) -> Outcome {
    let Ok(browser) = Browser::new(app) else {
        return Fail("--app must be a URL that begins with http:// or https://".to_owned());
    };
    let path = path_of(app);
    match browser.get(&path, "", &[]).await {
        Err(_) => Pass,
        Ok(bare) => {
            believes(&browser, &path, &bare, assertion).await.unwrap_or_else(|why| Unknown(format!("{app}: {why}")))
        }
    }
}

async fn believes(browser: &Browser, path: &str, bare: &Answer, assertion: Option<&str>) -> CheckResult<Outcome> {
    let ask = async |headers: &Extra<'_>| browser.get(path, "", headers).await;
    let forged = assertion.and_then(forge).unwrap_or_else(|| FORGED.to_owned());
    let identity =
        [("remote-user", FORGED), ("remote-name", FORGED), ("remote-email", ADDRESS), ("remote-groups", FORGED)];
    let answers = [ask(&identity).await?, ask(&[&identity[..], &[("handstamp-assertion", &forged)]].concat()).await?];
    if answers.iter().all(Answer::keeps_out) {
        return Ok(Pass);
    }
    if !bare.keeps_out() && ask(&[(MEANINGLESS, FORGED)]).await?.body.contains(FORGED) {
        return Ok(Unknown(format!(
            "The app is reachable without the proxy, and {path} shows its request headers to every visitor, so it is unknown whether the app verifies them. Give --app the URL of a page that only members see."
        )));
    }
    let believes_it = |answer: &Answer| answer.body.contains(FORGED) || answer.body.contains(ADDRESS);
    if bare.keeps_out() || answers.iter().any(believes_it) {
        return Ok(Fail("The app accepts forged identity headers and is reachable without the proxy. Let it listen on an address that only the proxy can reach, or let it verify Handstamp-Assertion.".to_owned()));
    }
    let valid = ask(&[("handstamp-assertion", assertion.unwrap_or_default())]).await?;
    Ok(match valid.body.contains(ADDRESS) {
        true => Pass,
        false => Unknown(format!(
            "The app is reachable without the proxy, and {path} does not show which user is signed in. Give --app the URL of a page that only signed-in users see, or that shows their e-mail address."
        )),
    })
}

/// An assertion with other claims under the signature of the given one.
fn forge(assertion: &str) -> Option<String> {
    let [header, claims, signature] = assertion.split('.').collect::<Vec<_>>().try_into().ok()?;
    let mut claims = read(claims)?;
    for claim in ["sub", "name"] {
        claims[claim] = json!(FORGED);
    }
    let claims = base64_simd::URL_SAFE_NO_PAD.encode_to_string(claims.to_string());
    Some([header, &claims, signature].join("."))
}

/// The claims of an assertion, without verification.
pub(super) fn claims(assertion: &str) -> Option<Value> {
    read(assertion.split('.').nth(1)?)
}

fn read(claims: &str) -> Option<Value> {
    serde_json::from_slice(&base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).ok()?).ok()
}

/// The audience of an assertion, if the page shows one.
pub(super) fn audience(page: &str) -> Option<String> {
    let tokens = page.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'));
    let claims = tokens.filter(|text| text.starts_with("eyJ")).find_map(claims)?;
    claims["aud"].as_str().map(str::to_owned)
}
