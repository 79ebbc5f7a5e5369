//! Passkeys, used by an authenticator in software: what each ceremony allows, and what it does not.

use handstamp_core::AssuranceLevel;
use serde_json::{Value, json};
use webauthn_authenticator_rs::AuthenticatorBackend;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::*;
use crate::sessions::{Session, SessionLookup};

pub(super) const ORIGIN: &str = "http://localhost";
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// An authenticator in software, and what it answers besides the signature.
pub(super) struct Authenticator {
    key: SoftPasskey,
    /// The ids of its passkeys.
    ids: Vec<Value>,
    origin: &'static str,
    rp_id: &'static str,
    verifies_user: bool,
    /// The user whom it names with a passkey; none for one that cannot be discovered.
    user: Option<UserId>,
}

impl Authenticator {
    /// One that verifies its user, and whose passkeys can be discovered.
    pub(super) fn of(user: UserId) -> Self {
        let key = SoftPasskey::new(true);
        Self { key, ids: Vec::new(), origin: ORIGIN, rp_id: "localhost", verifies_user: true, user: Some(user) }
    }

    fn verification(&self) -> Value {
        (if self.verifies_user { "required" } else { "preferred" }).into()
    }

    pub(super) fn makes(&mut self, options: &Value) -> Value {
        let mut options = options["publicKey"].clone();
        options["authenticatorSelection"]["userVerification"] = self.verification();
        options["rp"]["id"] = self.rp_id.into();
        let options = serde_json::from_value(options).unwrap();
        let made = self.key.perform_register(self.origin.parse().unwrap(), options, 1000).unwrap();
        let made = serde_json::to_value(made).unwrap();
        self.ids.push(made["id"].clone());
        made
    }

    pub(super) fn uses(&mut self, options: &Value) -> Value {
        let mut options = options["publicKey"].clone();
        options["userVerification"] = self.verification();
        options["rpId"] = self.rp_id.into();
        options["allowCredentials"] = self.ids.iter().map(|id| json!({ "type": "public-key", "id": id })).collect();
        let options = serde_json::from_value(options).unwrap();
        let used = self.key.perform_auth(self.origin.parse().unwrap(), options, 1000).unwrap();
        let mut used = serde_json::to_value(used).unwrap();
        used["response"]["userHandle"] = self.user.map_or(Value::Null, |user| {
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(user.as_uuid().as_bytes()).into()
        });
        used
    }
}

/// The response to a request of the script.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) token: Option<String>,
}

impl Answer {
    /// The session that a sign-in or a rotation has given.
    pub(super) fn session(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.token.as_deref().unwrap()
    }

    /// Asserts that a passkey was not accepted, and gives the reason for the user.
    pub(super) fn refusal(&self) -> &str {
        assert_eq!(self.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", self.body);
        assert!(self.token.is_none(), "no session");
        assert_eq!(self.body["errors"][0]["field"], "credential");
        self.body["detail"].as_str().unwrap()
    }
}

const REFUSED: &str = "This passkey was not accepted. Try again, or use another way.";

impl TestSite {
    pub(super) async fn asks(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.asks_with(path, &format!("handstamp_session={token}"), body).await
    }

    async fn asks_with(&self, path: &str, cookie: &str, body: &Value) -> Answer {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "cors")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
            .header("content-type", "application/json")
            .header("cookie", cookie);
        let response = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        let cookies = response.headers().get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
        let token = cookies.filter_map(|cookie| cookie.strip_prefix("handstamp_session=")).next();
        let token = token.map(|rest| rest.split(';').next().unwrap().to_owned());
        let status = response.status();
        Answer { status, token, body: serde_json::from_str(&text(response).await).unwrap() }
    }

    pub(super) async fn options(&self, of: &str, token: &str) -> Value {
        let answer = self.asks(&format!("{of}/options"), token, &json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// Finishes a ceremony that was begun with these options.
    pub(super) async fn finishes(&self, path: &str, token: &str, options: &Value, credential: Value) -> Answer {
        self.asks(path, token, &json!({ "ceremony": options["ceremony"], "credential": credential })).await
    }

    /// Adds a passkey, and returns the token of the session that goes on.
    pub(super) async fn adds(&self, token: &str, authenticator: &mut Authenticator) -> String {
        let options = self.options("/account/passkeys", token).await;
        let made = authenticator.makes(&options);
        self.finishes("/account/passkeys", token, &options, made).await.session().to_owned()
    }

    pub(super) async fn signs_in_with(&self, authenticator: &mut Authenticator) -> Answer {
        let options = self.options("/account/login/passkey", "").await;
        let used = authenticator.uses(&options);
        self.finishes("/account/login/passkey", "", &options, used).await
    }

    pub(super) async fn confirms_with(&self, token: &str, authenticator: &mut Authenticator) -> Answer {
        let options = self.options("/account/confirm/passkey", token).await;
        let used = authenticator.uses(&options);
        self.finishes("/account/confirm/passkey", token, &options, used).await
    }

    async fn session(&self, token: &str) -> Option<Arc<Session>> {
        match self.handstamp.0.site.services.sessions.find(token).await.unwrap() {
            SessionLookup::Active(session) => Some(session),
            SessionLookup::InvalidToken(_) | SessionLookup::Revoked(_) => None,
        }
    }

    /// The methods and the level of a session.
    pub(super) async fn authentication(&self, token: &str) -> (String, u8) {
        let session = self.session(token).await.unwrap();
        (session.authentication.methods().to_string(), session.authentication.assurance().get())
    }

    async fn submits_as(&self, token: &str, path: &str, fields: String) -> Response<Body> {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("accept", "text/html")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("cookie", format!("handstamp_session={token}"))
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(fields)).unwrap()).await
    }

    pub(super) async fn removes(&self, token: &str, passkey: uuid::Uuid) -> Response<Body> {
        self.submits_as(token, "/account/passkeys/remove", format!("passkey={passkey}")).await
    }

    pub(super) async fn passkeys(&self, user: UserId) -> Vec<crate::model::Passkey> {
        self.handstamp.0.site.services.store.passkeys_of(user).await.unwrap()
    }
}

/// Ada, signed in, with a passkey. Her authenticator verifies her.
pub(super) async fn ada_with_a_passkey(here: &TestSite) -> (String, Authenticator) {
    let token = here.registers().await;
    let mut authenticator = Authenticator::of(here.ada().await);
    let token = here.adds(&token, &mut authenticator).await;
    (token, authenticator)
}

#[tokio::test]
async fn a_passkey_signs_in_alone_and_phishing_resistant() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    let signed_in = here.signs_in_with(&mut authenticator).await;
    assert_eq!(signed_in.body["next"], "/account");
    assert_eq!(here.authentication(signed_in.session()).await, ("mfa pop user".to_owned(), 3));
    assert_eq!(here.opens("/account", signed_in.session()).await.status(), StatusCode::OK);

    let passkey = &here.passkeys(here.ada().await).await[0];
    assert_eq!((passkey.name.as_str(), passkey.counter, passkey.used_at), ("Firefox on Linux", 1, Some(NOW)));
    assert!(passkey.user_verified && !passkey.backup_eligible && !passkey.backed_up);
}

#[tokio::test]
async fn a_passkey_that_cannot_be_discovered_signs_in_with_the_address() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    authenticator.user = None;
    assert_eq!(here.signs_in_with(&mut authenticator).await.refusal(), REFUSED, "whose would it be?");

    let email = json!({ "email": "Ada@Example.com" });
    let options = here.asks("/account/login/passkey/options", "", &email).await.body;
    assert_eq!(options["publicKey"]["allowCredentials"], json!([{ "type": "public-key", "id": authenticator.ids[0] }]));
    let used = authenticator.uses(&options);
    assert!(here.finishes("/account/login/passkey", "", &options, used).await.token.is_some());
}

#[tokio::test]
async fn a_ceremony_signs_in_once() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    let options = here.options("/account/login/passkey", "").await;
    let used = authenticator.uses(&options);
    let body = json!({ "ceremony": options["ceremony"], "credential": used });
    let at_once = (0..20).map(|_| here.asks("/account/login/passkey", "", &body));
    let answers = futures_util::future::join_all(at_once).await;
    assert_eq!(answers.iter().filter(|answer| answer.token.is_some()).count(), 1);
    assert_eq!(here.asks("/account/login/passkey", "", &body).await.refusal(), REFUSED);
}

#[tokio::test]
async fn a_ceremony_expires_after_five_minutes() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    let options = [here.options("/account/login/passkey", "").await, here.options("/account/login/passkey", "").await];
    here.clock.advance(FIVE_MINUTES - Duration::from_secs(1));
    let used = authenticator.uses(&options[0]);
    assert!(here.finishes("/account/login/passkey", "", &options[0], used).await.token.is_some());
    here.clock.advance(Duration::from_secs(1));
    let used = authenticator.uses(&options[1]);
    let late = here.finishes("/account/login/passkey", "", &options[1], used).await;
    assert_eq!(late.refusal(), "That took too long. Please try again.");
}

#[tokio::test]
async fn the_answer_must_be_for_this_origin_relying_party_and_challenge() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    for origin in ["https://localhost", "http://localhost:8080", "http://id.localhost", "https://evil.example"] {
        authenticator.origin = origin;
        assert_eq!(here.signs_in_with(&mut authenticator).await.refusal(), REFUSED, "{origin}");
        let options = here.options("/account/passkeys", &token).await;
        let made = authenticator.makes(&options);
        let added = here.finishes("/account/passkeys", &token, &options, made).await;
        assert_eq!(added.refusal(), REFUSED, "{origin}");
        authenticator.ids.truncate(1);
    }
    authenticator.origin = ORIGIN;
    authenticator.rp_id = "evil.example";
    assert_eq!(here.signs_in_with(&mut authenticator).await.refusal(), REFUSED);
    let options = here.options("/account/passkeys", &token).await;
    let made = authenticator.makes(&options);
    assert_eq!(here.finishes("/account/passkeys", &token, &options, made).await.refusal(), REFUSED);
    authenticator.ids.truncate(1);
    authenticator.rp_id = "localhost";

    let [one, other] =
        [here.options("/account/login/passkey", "").await, here.options("/account/login/passkey", "").await];
    let used = authenticator.uses(&one);
    assert_eq!(here.finishes("/account/login/passkey", "", &other, used).await.refusal(), REFUSED);
    let mut forged = authenticator.uses(&one);
    forged["response"]["signature"] = authenticator.uses(&other)["response"]["signature"].clone();
    assert_eq!(here.finishes("/account/login/passkey", "", &one, forged).await.refusal(), REFUSED);
    assert_eq!(here.passkeys(here.ada().await).await.len(), 1);
    assert!(here.signs_in_with(&mut authenticator).await.token.is_some(), "the right one");
}

#[tokio::test]
async fn a_ceremony_serves_its_purpose_and_its_session_only() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    let other = here.signs_in_for_now().await;
    let sign_in = here.options("/account/login/passkey", "").await;
    let confirm = here.options("/account/confirm/passkey", &token).await;
    let register = here.options("/account/passkeys", &token).await;

    for (options, path, token) in [
        (&sign_in, "/account/confirm/passkey", &token),
        (&confirm, "/account/login/passkey", &token),
        (&confirm, "/account/confirm/passkey", &other),
        (&register, "/account/login/passkey", &token),
        (&register, "/account/confirm/passkey", &token),
    ] {
        let options = json!({ "ceremony": options["ceremony"], "publicKey": {
            "challenge": options["publicKey"]["challenge"], "rpId": "localhost" } });
        let used = authenticator.uses(&options);
        assert_eq!(here.finishes(path, token, &options, used).await.refusal(), REFUSED, "{path}");
    }
    let made = authenticator.makes(&register);
    for (options, token) in [(&register, &other), (&sign_in, &token), (&confirm, &token)] {
        assert_eq!(here.finishes("/account/passkeys", token, options, made.clone()).await.refusal(), REFUSED);
    }
    let mut changed = register["ceremony"].as_str().unwrap().to_owned();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    for forged in [changed.as_str(), "", "AAAA", "not base64!"] {
        let answer = json!({ "ceremony": forged, "credential": made });
        assert_eq!(here.asks("/account/passkeys", &token, &answer).await.refusal(), REFUSED, "{forged}");
    }
    assert_eq!(here.finishes("/account/passkeys", &token, &register, made).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_passkey_of_another_user_confirms_nothing_and_signs_in_to_no_named_account() {
    let here = TestSite::at(ORIGIN).await;
    let (token, _) = ada_with_a_passkey(&here).await;
    let bob = token_of(
        &here.submits("/account/register", "name=Bob&email=bob@example.com&password=plum-octave-harbour").await,
    );
    let id = here.session(&bob).await.unwrap().user.id;
    let mut authenticator = Authenticator::of(id);
    here.adds(&bob, &mut authenticator).await;
    assert_eq!(here.confirms_with(&token, &mut authenticator).await.refusal(), REFUSED);

    let email = json!({ "email": "ada@example.com" });
    let options = here.asks("/account/login/passkey/options", "", &email).await.body;
    let used = authenticator.uses(&options);
    assert_eq!(here.finishes("/account/login/passkey", "", &options, used).await.refusal(), REFUSED);

    authenticator.user = Some(here.ada().await);
    assert_eq!(here.signs_in_with(&mut authenticator).await.refusal(), REFUSED, "it names Ada");
}

#[tokio::test]
async fn without_user_verification_a_passkey_does_not_sign_in_but_is_a_second_factor() {
    let here = TestSite::at(ORIGIN).await;
    let token = here.registers().await;
    let mut authenticator = Authenticator::of(here.ada().await);
    authenticator.verifies_user = false;
    let token = here.adds(&token, &mut authenticator).await;
    let refused = here.signs_in_with(&mut authenticator).await;
    assert!(refused.refusal().starts_with("This passkey did not ask for your PIN"), "{}", refused.body);

    assert_eq!(here.authentication(&token).await, ("pwd".to_owned(), 1));
    let confirmed = here.confirms_with(&token, &mut authenticator).await;
    assert_eq!(here.authentication(confirmed.session()).await, ("pwd mfa pop".to_owned(), 2));

    // With a PIN that was set later it signs in. That session asks for the PIN again.
    authenticator.verifies_user = true;
    let signed_in = here.signs_in_with(&mut authenticator).await;
    authenticator.verifies_user = false;
    let weaker = here.confirms_with(signed_in.session(), &mut authenticator).await;
    assert!(weaker.refusal().starts_with("This passkey did not ask for your PIN"), "{}", weaker.body);
    assert!(here.passkeys(here.ada().await).await[0].user_verified);
}

#[tokio::test]
async fn a_passkey_that_has_verified_its_user_when_it_was_made_always_has_to() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    authenticator.verifies_user = false;
    assert!(here.confirms_with(&token, &mut authenticator).await.token.is_none());
}

#[tokio::test]
async fn a_counter_that_has_not_grown_is_refused() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    let [earlier, later] =
        [here.options("/account/login/passkey", "").await, here.options("/account/login/passkey", "").await];
    let from_the_copy = authenticator.uses(&earlier);
    let used = authenticator.uses(&later);
    assert!(here.finishes("/account/login/passkey", "", &later, used).await.token.is_some());
    let refused = here.finishes("/account/login/passkey", "", &earlier, from_the_copy).await;
    assert_eq!(refused.refusal(), REFUSED);
    assert!(here.signs_in_with(&mut authenticator).await.token.is_some(), "the passkey still works");
}

#[tokio::test]
async fn a_disabled_account_and_a_removed_passkey_do_not_sign_in() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    let ada = here.ada().await;
    let options = here.options("/account/login/passkey", "").await;
    let before = authenticator.uses(&options);
    here.handstamp.users().disable(ada).await.unwrap();
    assert_eq!(here.finishes("/account/login/passkey", "", &options, before).await.refusal(), REFUSED);
    here.handstamp.users().enable(ada).await.unwrap();
    assert!(here.session(&token).await.is_none(), "disabling has ended it");

    let signed_in = here.signs_in_with(&mut authenticator).await;
    let options = here.options("/account/login/passkey", "").await;
    let before = authenticator.uses(&options);
    let id = here.passkeys(ada).await[0].id;
    assert_eq!(here.removes(signed_in.session(), id).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(here.finishes("/account/login/passkey", "", &options, before).await.refusal(), REFUSED);
}

#[tokio::test]
async fn a_change_of_the_password_ends_ceremonies_of_its_sessions_and_leaves_the_passkey() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    let sign_in = here.options("/account/login/passkey", "").await;
    let confirm = here.options("/account/confirm/passkey", &token).await;
    let fields = "current_password=plum-octave-harbour&password=brass-wheels-weave".to_owned();
    let changed = here.submits_as(&token, "/account/password", fields).await;
    assert_eq!(changed.status(), StatusCode::SEE_OTHER);
    let used = authenticator.uses(&confirm);
    let confirmed = here.finishes("/account/confirm/passkey", &token, &confirm, used).await;
    assert_eq!(confirmed.status, StatusCode::UNAUTHORIZED);
    let used = authenticator.uses(&sign_in);
    assert!(here.finishes("/account/login/passkey", "", &sign_in, used).await.token.is_some());
}

#[tokio::test]
async fn a_user_without_a_password_sets_one_after_authenticating_again() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    let phone = here.signs_in_with(&mut authenticator).await.session().to_owned();
    here.execute("UPDATE users SET password_hash = NULL").await;
    here.clock.advance(Duration::from_secs(16 * 60));
    let security = text(here.opens("/account/security", &token).await).await;
    assert!(security.contains("has no password") && security.contains("href=\"/account/password\">Set a password"));
    let by_api = async |token: &str, password: &str| {
        let request = Request::put("/account/api/v1/password")
            .header("host", "localhost")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/json")
            .header("cookie", format!("handstamp_session={token}"));
        here.send(request.body(Body::from(json!({ "password": password }).to_string())).unwrap()).await
    };

    let fields = || "password=brass-wheels-weave".to_owned();
    let to_confirm = "/account/confirm?next=%2Faccount%2Fpassword";
    for refused in
        [here.opens("/account/password", &token).await, here.submits_as(&token, "/account/password", fields()).await]
    {
        assert_eq!(
            (refused.status(), &refused.headers()[header::LOCATION]),
            (StatusCode::SEE_OTHER, &to_confirm.parse().unwrap())
        );
    }
    let refused = by_api(&token, "brass-wheels-weave").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(text(refused).await.contains("reauthentication-required"));
    assert!(!here.handstamp.0.site.services.factors_of(here.ada().await).await.unwrap().has_password);

    let token = here.confirms_with(&token, &mut authenticator).await.session().to_owned();
    let before = here.session(&token).await.unwrap();
    let page = text(here.opens("/account/password", &token).await).await;
    assert!(page.contains("<h1>Set a password</h1>") && !page.contains("current_password"), "{page}");
    assert_eq!(by_api(&token, "short").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused = here.submits_as(&token, "/account/password", "password=short".to_owned()).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused = text(refused).await;
    assert!(refused.contains("<h1>Set a password</h1>") && refused.contains("password-error"), "{refused}");

    here.clock.advance(Duration::from_secs(60));
    let set = here.submits_as(&token, "/account/password", fields()).await;
    assert_eq!(
        (set.status(), &set.headers()[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/account?done=password".parse().unwrap())
    );
    let rotated = token_of(&set);
    assert!(here.session(&token).await.is_none() && here.session(&phone).await.is_none());
    let after = here.session(&rotated).await.unwrap();
    assert_eq!((after.session_id, after.authentication), (before.session_id, before.authentication));
    let mut mails = Vec::new();
    while let Some(mail) = here.handstamp.0.site.services.next_mail().await {
        mails.extend(mail.map(|mail| mail.template));
    }
    assert!(mails.contains(&"password_changed"), "{mails:?}");

    let again = here.submits_as(&rotated, "/account/password", fields()).await;
    assert_eq!(again.headers()[header::LOCATION], "/account?done=password", "a form that is sent twice");
    let wrong = here.submits_as(&rotated, "/account/password", "password=brass-wheels-weave-2".to_owned()).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(wrong).await.contains("current_password"), "there is one now");
    let signed_in = here.submits("/account/login", "email=ada@example.com&password=brass-wheels-weave").await;
    assert_eq!(signed_in.headers()[header::LOCATION], "/account");
    let passkey = here.passkeys(here.ada().await).await[0].id;
    let removed = here.removes(&rotated, passkey).await;
    assert_eq!(removed.headers()[header::LOCATION], "/account/passkeys?notice=removed", "it is not the last way in");
}

#[tokio::test]
async fn a_form_that_sets_a_password_twice_is_one_success() {
    let here = TestSite::at(ORIGIN).await;
    let token = here.registers().await;
    here.execute("UPDATE users SET password_hash = NULL").await;
    let sends = || here.submits_as(&token, "/account/password", "password=brass-wheels-weave".to_owned());
    let (first, second) = tokio::join!(sends(), sends());
    for answer in [first, second, sends().await] {
        assert_eq!(answer.headers()[header::LOCATION], "/account?done=password");
        assert!(here.session(&token_of(&answer)).await.is_some());
    }
}

#[tokio::test]
async fn an_unknown_address_gets_decoys_of_the_same_shape_each_time() {
    let here = TestSite::at(ORIGIN).await;
    let (_, authenticator) = ada_with_a_passkey(&here).await;
    here.submits("/account/register", "name=Bob&email=bob@example.com&password=plum-octave-harbour").await;
    let ask = async |email: &str| {
        let answer = here.asks("/account/login/passkey/options", "", &json!({ "email": email })).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.body
    };
    let real = ask("ada@example.com").await;
    assert_eq!(real["publicKey"]["allowCredentials"][0]["id"], authenticator.ids[0]);
    for address in ["nobody@example.com", "bob@example.com"] {
        let [first, again] = [ask(address).await, ask(&address.to_uppercase()).await];
        assert_eq!(first["publicKey"]["allowCredentials"], again["publicKey"]["allowCredentials"], "{address}");
        assert_ne!(first["publicKey"]["challenge"], again["publicKey"]["challenge"]);
        let keys = |options: &Value| -> Vec<String> {
            let names = options["publicKey"].as_object().unwrap().keys().cloned();
            let inner = options["publicKey"]["allowCredentials"][0].as_object().unwrap().keys().cloned();
            names.chain(inner).collect()
        };
        assert_eq!(keys(&first), keys(&real), "{address}");
        let length = |options: &Value| options["ceremony"].as_str().unwrap().len();
        assert_eq!(length(&first), length(&real), "the sealed state is as long");
    }
    // Some addresses would have no decoy, if it were not for the rule that each has one.
    for number in 0..50 {
        let list = &ask(&format!("user{number}@example.com")).await["publicKey"]["allowCredentials"];
        assert!(!list.as_array().unwrap().is_empty(), "{number}");
    }
    assert_eq!(
        here.asks("/account/login/passkey/options", "", &json!({ "email": "no address" })).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn no_passkey_answers_for_an_address_without_one() {
    let here = TestSite::at(ORIGIN).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    let email = json!({ "email": "nobody@example.com" });
    let options = here.asks("/account/login/passkey/options", "", &email).await.body;
    let used = authenticator.uses(&options);
    assert_eq!(here.finishes("/account/login/passkey", "", &options, used).await.refusal(), REFUSED);
}

#[tokio::test]
async fn options_exclude_what_the_user_has_and_name_the_user() {
    let here = TestSite::at(ORIGIN).await;
    let (token, authenticator) = ada_with_a_passkey(&here).await;
    let options = here.options("/account/passkeys", &token).await;
    let options = &options["publicKey"];
    assert_eq!(options["excludeCredentials"], json!([{ "type": "public-key", "id": authenticator.ids[0] }]));
    assert_eq!(options["rp"], json!({ "id": "localhost", "name": "Handstamp" }));
    let id = base64_simd::URL_SAFE_NO_PAD.encode_to_string(here.ada().await.as_uuid().as_bytes());
    assert_eq!(options["user"], json!({ "id": id, "name": "ada@example.com", "displayName": "Ada" }));
    let selection = json!({ "residentKey": "preferred", "requireResidentKey": false, "userVerification": "preferred" });
    assert_eq!(options["authenticatorSelection"], selection);
    assert_eq!((&options["timeout"], &options["attestation"]), (&json!(300_000), &json!("none")));
    assert_eq!((options.get("hints"), options.get("extensions")), (None, None));

    let sign_in = here.options("/account/login/passkey", "").await;
    let sign_in = &sign_in["publicKey"];
    assert_eq!((&sign_in["userVerification"], &sign_in["rpId"]), (&json!("required"), &json!("localhost")));
    assert_eq!((&sign_in["allowCredentials"], &sign_in["timeout"]), (&json!([]), &json!(300_000)));
}

#[tokio::test]
async fn a_passkey_belongs_to_one_account() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    let options = here.options("/account/passkeys", &token).await;
    let made = authenticator.makes(&options);
    // Another account has a passkey with the id that this one has.
    let id = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(made["id"].as_str().unwrap()).unwrap();
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    here.submits("/account/register", "name=Bob&email=bob@example.com&password=plum-octave-harbour").await;
    let sql = format!(
        "UPDATE passkeys SET credential_id = x'{id}', user_id = (SELECT id FROM users WHERE email_key = 'bob@example.com')"
    );
    here.execute(sql.leak()).await;
    let refused = here.finishes("/account/passkeys", &token, &options, made).await;
    assert_eq!(refused.refusal(), "This passkey is in use already.");
    assert!(here.passkeys(here.ada().await).await.is_empty());
}

#[tokio::test]
async fn adding_a_passkey_ends_the_other_sessions_and_leaves_the_level() {
    let here = TestSite::at(ORIGIN).await;
    let token = here.registers().await;
    let other = here.signs_in_for_now().await;
    let before = here.session(&token).await.unwrap();
    let mut authenticator = Authenticator::of(here.ada().await);
    let after = here.adds(&token, &mut authenticator).await;
    assert!(here.session(&token).await.is_none() && here.session(&other).await.is_none());
    let session = here.session(&after).await.unwrap();
    assert_eq!(session.session_id, before.session_id, "the level is the same");
    assert_eq!(
        (session.authentication, session.authentication.assurance()),
        (before.authentication, AssuranceLevel::ONE_FACTOR)
    );
}

#[tokio::test]
async fn confirming_with_a_passkey_raises_the_level_under_another_session_id() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    here.clock.advance(Duration::from_secs(1000));
    let answer = here.asks("/account/passkeys/options", &token, &json!({})).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.body["type"], "reauthentication-required");

    let before = here.session(&token).await.unwrap();
    let confirmed = here.confirms_with(&token, &mut authenticator).await.session().to_owned();
    let raised = here.session(&confirmed).await.unwrap();
    assert_eq!(here.authentication(&confirmed).await, ("pwd mfa pop user".to_owned(), 3));
    assert!(here.session(&token).await.is_none() && raised.session_id != before.session_id);
    assert_eq!(raised.authentication.at(), NOW.after(Duration::from_secs(1000)));
    here.options("/account/passkeys", &confirmed).await;

    let again = here.confirms_with(&confirmed, &mut authenticator).await;
    assert_eq!(here.session(again.session()).await.unwrap().session_id, raised.session_id, "the level is the same");
    assert!(here.session(&confirmed).await.is_none(), "the secret is another");
}

#[tokio::test]
async fn the_last_way_in_cannot_be_removed() {
    let here = TestSite::at(ORIGIN).await;
    let (token, _) = ada_with_a_passkey(&here).await;
    let ada = here.ada().await;
    let mut unverified = Authenticator::of(ada);
    unverified.verifies_user = false;
    let token = here.adds(&token, &mut unverified).await;
    here.execute("UPDATE users SET password_hash = NULL").await;
    let first = here.passkeys(ada).await.into_iter().find(|passkey| passkey.user_verified).unwrap();
    let refused = here.removes(&token, first.id).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(refused).await.contains("Without this passkey you could not sign in any more."));
    assert_eq!(here.passkeys(ada).await.len(), 2);
    assert!(here.session(&token).await.is_some(), "nothing has changed");

    let mut second = Authenticator::of(ada);
    let token = here.adds(&token, &mut second).await;
    let removed = here.removes(&token, first.id).await;
    assert_eq!(removed.status(), StatusCode::SEE_OTHER);
    assert_eq!(removed.headers()[header::LOCATION], "/account/passkeys?notice=removed");
}

#[tokio::test]
async fn removing_the_last_passkey_lowers_a_session_that_rested_on_it() {
    let here = TestSite::at(ORIGIN).await;
    let (token, mut authenticator) = ada_with_a_passkey(&here).await;
    let signed_in = here.signs_in_with(&mut authenticator).await.session().to_owned();
    let before = here.session(&signed_in).await.unwrap();
    let id = here.passkeys(here.ada().await).await[0].id;
    let removed = here.removes(&signed_in, id).await;
    let after = removed.headers().get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
    let after = after.filter_map(|cookie| cookie.strip_prefix("handstamp_session=")).next().unwrap();
    let after = after.split(';').next().unwrap();
    assert_eq!(here.authentication(after).await, (String::new(), 1));
    assert_ne!(here.session(after).await.unwrap().session_id, before.session_id);
    assert!(here.session(&token).await.is_none() && here.session(&signed_in).await.is_none());
    assert_eq!(here.removes(after, id).await.status(), StatusCode::SEE_OTHER, "a form that is sent twice");
    let unknown = here.removes(after, uuid::Uuid::nil()).await;
    assert_eq!(unknown.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_user_has_at_most_twenty_passkeys() {
    let here = TestSite::at(ORIGIN).await;
    let mut token = here.registers().await;
    let mut authenticator = Authenticator::of(here.ada().await);
    for _ in 0..20 {
        token = here.adds(&token, &mut authenticator).await;
    }
    let options = here.options("/account/passkeys", &token).await;
    let made = authenticator.makes(&options);
    let refused = here.finishes("/account/passkeys", &token, &options, made).await;
    assert!(refused.refusal().starts_with("An account has at most 20 passkeys."), "{}", refused.body);
    let page = text(here.opens("/account/passkeys", &token).await).await;
    assert!(page.contains("as many passkeys as an account can have") && !page.contains("data-passkey"));
}

#[tokio::test]
async fn refused_passkeys_are_limited_by_network_and_wrong_passwords_do_not_count() {
    let here = TestSite::with(ORIGIN, |config| config.limits.sign_in_per_network = 5).await;
    let (_, mut authenticator) = ada_with_a_passkey(&here).await;
    for _ in 0..8 {
        here.submits("/account/login", "email=ada@example.com&password=wrong").await;
    }
    for _ in 0..20 {
        assert!(here.signs_in_with(&mut authenticator).await.token.is_some(), "those that are accepted do not count");
    }
    let options = here.options("/account/login/passkey", "").await;
    authenticator.origin = "https://evil.example";
    let forged = authenticator.uses(&options);
    let answer = json!({ "ceremony": options["ceremony"], "credential": forged });
    for _ in 0..5 {
        here.asks("/account/login/passkey", "", &answer).await.refusal();
    }
    assert_eq!(here.asks("/account/login/passkey", "", &answer).await.status, StatusCode::TOO_MANY_REQUESTS);
    authenticator.origin = ORIGIN;
    assert_eq!(here.signs_in_with(&mut authenticator).await.status, StatusCode::TOO_MANY_REQUESTS);
    here.clock.advance(Duration::from_secs(900));
    assert!(here.signs_in_with(&mut authenticator).await.token.is_some());
}

#[tokio::test]
async fn a_passkey_has_the_name_that_it_is_given() {
    let here = TestSite::at(ORIGIN).await;
    let token = here.registers().await;
    let mut authenticator = Authenticator::of(here.ada().await);
    let options = here.options("/account/passkeys", &token).await;
    let made = authenticator.makes(&options);
    let body = |name: String| json!({ "ceremony": options["ceremony"], "credential": made, "name": name });
    let refused = here.asks("/account/passkeys", &token, &body("x".repeat(101))).await;
    assert_eq!(refused.body["errors"][0]["field"], "name");
    let added = here.asks("/account/passkeys", &token, &body(" My <b>key</b> ".to_owned())).await;
    assert_eq!(added.body["next"], "/account/passkeys?notice=added");
    let page = text(here.opens("/account/passkeys?notice=added", added.session()).await).await;
    assert!(page.contains("My &lt;b&gt;key&lt;&#x2f;b&gt;") && page.contains("Your passkey is added."), "{page}");
}

#[tokio::test]
async fn only_the_pages_with_passkeys_allow_the_script() {
    let here = TestSite::at(ORIGIN).await;
    let (token, _) = ada_with_a_passkey(&here).await;
    for (path, token, scripted) in [
        ("/account/login", "", true),
        ("/account/passkeys", token.as_str(), true),
        ("/account/confirm", token.as_str(), true),
        ("/account/register", "", false),
        ("/account", token.as_str(), false),
    ] {
        let response = here.opens(path, token).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert_eq!(policy.contains("script-src 'self'; connect-src 'self'"), scripted, "{path}: {policy}");
        let page = text(response).await;
        assert_eq!(page.contains("<script"), scripted, "{path}");
        if scripted {
            assert!(page.contains("<noscript>"), "{path}");
            let script = page.split("<script src=\"").nth(1).unwrap().split('"').next().unwrap();
            let script = here.opens(script, "").await;
            assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        }
    }
}

#[tokio::test]
async fn a_site_at_an_address_has_no_passkeys() {
    let here = TestSite::at("http://127.0.0.1").await;
    let request = Request::post("/account/login/passkey/options")
        .header("host", "127.0.0.1")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json");
    let response = here.send(request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let request = Request::get("/account/login").header("host", "127.0.0.1").body(Body::empty()).unwrap();
    let page = text(here.send(request).await).await;
    assert!(!page.contains("<script") && !page.contains("webauthn"), "{page}");
}

#[tokio::test]
async fn the_relying_party_may_be_a_parent_domain_and_the_origin_stays_exact() {
    let here = TestSite::with("https://id.example.com", |config| {
        config.passkeys.rp_id = Some("example.com".to_owned());
    })
    .await;
    let request = Request::post("/account/login/passkey/options")
        .header("host", "id.example.com")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json");
    let options = text(here.send(request.body(Body::from("{}")).unwrap()).await).await;
    let options: Value = serde_json::from_str(&options).unwrap();
    assert_eq!(options["publicKey"]["rpId"], "example.com");
}

const SECOND_FACTOR: &str = "/account/login/second-factor/passkey";

impl TestSite {
    /// Types the right password, and returns the cookie of the sign-in that waits.
    async fn types_the_password(&self) -> String {
        let response = self.submits("/account/login", "email=ada@example.com&password=plum-octave-harbour").await;
        assert_eq!(response.headers()[header::LOCATION], "/account/login/second-factor");
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("handstamp_pending="), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn completes(&self, pending: &str, authenticator: &mut Authenticator) -> Answer {
        let options = self.asks_with(&format!("{SECOND_FACTOR}/options"), pending, &json!({})).await.body;
        let used = authenticator.uses(&options);
        let answer = json!({ "ceremony": options["ceremony"], "credential": used, "next": "/account/profile" });
        self.asks_with(SECOND_FACTOR, pending, &answer).await
    }
}

/// A site that requires a second factor of everybody, with Ada, whose key does not verify her.
async fn site_that_requires_a_second_factor() -> (TestSite, String, Authenticator) {
    let here = TestSite::with(ORIGIN, |config| {
        config.second_factor.required = crate::SecondFactorRequired::Everybody;
    })
    .await;
    let token = here.registers().await;
    let mut key = Authenticator::of(here.ada().await);
    key.verifies_user = false;
    let token = here.adds(&token, &mut key).await;
    (here, token, key)
}

#[tokio::test]
async fn a_passkey_is_the_second_factor_that_a_site_requires() {
    let (here, token, mut key) = site_that_requires_a_second_factor().await;
    let led = here.opens("/account", &token).await;
    assert_eq!(led.headers()[header::LOCATION], "/account/confirm?assurance=2&next=%2Faccount");
    let page = text(here.opens("/account/confirm?assurance=2", &token).await).await;
    assert!(page.contains("data-url=\"/account/confirm/passkey\"") && !page.contains("name=\"password\""), "{page}");
    let fields = "password=plum-octave-harbour".to_owned();
    let refused = here.submits_as(&token, "/account/confirm", fields).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "the password would lead to a new factor");
    let confirmed = here.confirms_with(&token, &mut key).await;
    assert_eq!(here.opens("/account", confirmed.session()).await.status(), StatusCode::OK);

    let pending = here.types_the_password().await;
    let page = Request::get("/account/login/second-factor").header("host", "localhost").header("cookie", &pending);
    let page = text(here.send(page.body(Body::empty()).unwrap()).await).await;
    assert!(
        page.contains("data-url=\"/account/login/second-factor/passkey\"") && !page.contains("name=\"code\""),
        "{page}"
    );
    let completed = here.completes(&pending, &mut key).await;
    assert_eq!(here.authentication(completed.session()).await, ("pwd mfa pop".to_owned(), 2));
    assert_eq!(completed.body["next"], "/account/profile");
    let again = here.asks_with(&format!("{SECOND_FACTOR}/options"), &pending, &json!({})).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "no sign-in waits any more");
}

#[tokio::test]
async fn a_level_that_is_asked_for_is_reached_by_no_less() {
    let here = TestSite::at(ORIGIN).await;
    let (token, _) = ada_with_a_passkey(&here).await;
    for (query, password) in [("", true), ("?assurance=1", true), ("?assurance=2", false), ("?assurance=3", false)] {
        let page = text(here.opens(&format!("/account/confirm{query}"), &token).await).await;
        assert!(page.contains("data-url=\"/account/confirm/passkey\""), "{query}: {page}");
        assert_eq!(page.contains("name=\"password\""), password, "{query}");
    }
}

#[tokio::test]
async fn a_verified_passkey_as_second_factor_is_phishing_resistant() {
    let (here, _, mut key) = site_that_requires_a_second_factor().await;
    key.verifies_user = true;
    let pending = here.types_the_password().await;
    let completed = here.completes(&pending, &mut key).await;
    assert_eq!(here.authentication(completed.session()).await, ("pwd mfa pop user".to_owned(), 3));
}

#[tokio::test]
async fn a_ceremony_of_one_waiting_sign_in_serves_no_other() {
    let (here, token, mut key) = site_that_requires_a_second_factor().await;
    let token = here.confirms_with(&token, &mut key).await.session().to_owned();
    // A passkey that was made, and is not of this account.
    let mut stranger = Authenticator::of(here.ada().await);
    stranger.makes(&here.options("/account/passkeys", &token).await);
    let [one, other] = [here.types_the_password().await, here.types_the_password().await];
    let options = here.asks_with(&format!("{SECOND_FACTOR}/options"), &one, &json!({})).await.body;
    let used = key.uses(&options);
    let answer = json!({ "ceremony": options["ceremony"], "credential": used });
    here.asks_with(SECOND_FACTOR, &other, &answer).await.refusal();
    assert!(here.asks("/account/login/passkey", "", &answer).await.token.is_none());
    assert!(here.asks("/account/confirm/passkey", &token, &answer).await.token.is_none());
    here.completes(&one, &mut stranger).await.refusal();
    assert!(here.asks_with(SECOND_FACTOR, &one, &answer).await.token.is_some(), "its own");
    assert_eq!(here.asks_with(SECOND_FACTOR, &other, &answer).await.status, StatusCode::UNAUTHORIZED, "the others end");
}

#[tokio::test]
async fn a_waiting_sign_in_ends_when_the_credentials_change() {
    let (here, token, mut key) = site_that_requires_a_second_factor().await;
    let token = here.confirms_with(&token, &mut key).await.session().to_owned();
    let pending = here.types_the_password().await;
    let options = here.asks_with(&format!("{SECOND_FACTOR}/options"), &pending, &json!({})).await.body;
    let used = key.uses(&options);
    here.adds(&token, &mut key).await;
    let answer = json!({ "ceremony": options["ceremony"], "credential": used });
    let ended = here.asks_with(SECOND_FACTOR, &pending, &answer).await;
    assert!(ended.status == StatusCode::UNAUTHORIZED && ended.token.is_none());
}

#[tokio::test]
async fn a_passkey_is_no_lock_on_the_password_where_no_second_factor_is_required() {
    let here = TestSite::at(ORIGIN).await;
    ada_with_a_passkey(&here).await;
    let token = here.signs_in_for_now().await;
    assert_eq!(here.authentication(&token).await, ("pwd".to_owned(), 1));
}

#[tokio::test]
async fn where_a_second_factor_is_required_the_password_alone_changes_no_factor() {
    let (here, token, mut key) = site_that_requires_a_second_factor().await;
    for path in ["/account/passkeys/options", "/account/passkeys"] {
        let refused = here.asks(path, &token, &json!({ "ceremony": "", "credential": {} })).await;
        assert!(!refused.status.is_success() && refused.token.is_none(), "{path}: {}", refused.body);
    }
    let ada = here.ada().await;
    let id = here.passkeys(ada).await[0].id;
    assert_eq!(here.removes(&token, id).await.status(), StatusCode::FORBIDDEN);
    let app = here.submits_as(&token, "/account/totp", "code=123456".to_owned()).await;
    assert_eq!(app.status(), StatusCode::FORBIDDEN);
    let led = here.opens("/account/passkeys", &token).await;
    assert_eq!(led.headers()[header::LOCATION], "/account/confirm?assurance=2&next=%2Faccount%2Fpasskeys");
    let confirmed = here.confirms_with(&token, &mut key).await.session().to_owned();
    assert_eq!(here.removes(&confirmed, id).await.status(), StatusCode::SEE_OTHER);
}
