//! An OpenID Connect provider that is right in everything, until a test changes what it answers.

mod http;
mod keys;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use keys::{Keys, base64, random_text};

/// A running provider. Its behaviour is a JSON document, which [`changes`](Self::changes) replaces in part:
///
/// | member | effect |
/// | --- | --- |
/// | `discovery`, `token`, `userinfo`, `callback` | replace members of these answers; null removes one |
/// | `header`, `claims` | the same for ID tokens |
/// | `sign` | `alg` and `key`: how ID tokens and logout tokens are signed; `kid`: the id of the key |
/// | `jwks` | the published keys: their names by their ids |
/// | `documents` | answers by paths, instead of those of a provider |
/// | `takes_codes_again` | true: a code can be exchanged any number of times |
/// | `apple` | `key_id`, `team_id` and `audience`: the client secret has to be signed by the key of Apple's client |
/// | `client` | the id of the client |
/// | `faults` | by endpoint, such as `jwks`: `status`, `location`, `type`, `date`, `body`, `bytes` (length), `delay` and `drip` (ms) |
///
/// The endpoints are `discovery`, `authorize`, `token`, `jwks`, `userinfo` and `document`. The keys are `rsa-1`, `rsa-2`, `p256`,
/// `p384` and `ed25519`.
///
/// Dropping it stops the provider.
#[derive(Debug)]
pub struct FakeProvider {
    state: Arc<State>,
    port: u16,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug)]
struct State {
    url: String,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    behaviour: Value,
    /// The parameters of the requests for authorization by their codes, which are taken once.
    codes: BTreeMap<String, BTreeMap<String, String>>,
    access_tokens: Vec<String>,
    requests: Vec<(String, Value)>,
    complaints: Vec<String>,
}

impl FakeProvider {
    /// The id of the client that is a site of a test.
    pub const CLIENT: &str = "handstamp";
    /// The secret of the client.
    pub const SECRET: &str = "secret-of-the-client";
    /// The subject of the user who signs in, until a test changes it.
    pub const SUBJECT: &str = "248289761001";

    /// Starts a provider.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let behaviour = json!({
            "sign": { "alg": "RS256", "key": "rsa-1", "kid": "first" },
            "jwks": { "first": "rsa-1" },
        });
        let state = State {
            url: format!("http://127.0.0.1:{port}"),
            parts: Mutex::new(Parts { behaviour, ..Parts::default() }),
        };
        // The first request should not wait until the keys are made.
        Keys::shared();
        let mut provider = Self { state: Arc::new(state), port, running: None };
        provider.run(listener);
        provider
    }

    fn run(&mut self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let state = Arc::clone(&self.state);
        // A thread of its own, since tests block theirs while they start programs.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(http::serve(listener, state, stopped));
        });
        self.running = Some((stop, thread));
    }

    /// Stops the provider: connections are refused.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again, on the same port, with everything it knew.
    ///
    /// # Panics
    /// If another program has the port meanwhile.
    pub fn start_again(&mut self) {
        self.stop();
        self.run(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
    }

    /// The URL of the provider, which is its issuer.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Replaces parts of its behaviour, member by member. A null removes the member from the answer.
    pub fn changes(&self, patch: Value) {
        merge(&mut self.state.parts().behaviour, patch, false);
    }

    /// The behaviour, to be put back by [`behaves`](Self::behaves).
    pub fn behaviour(&self) -> Value {
        self.state.parts().behaviour.clone()
    }

    /// Replaces its behaviour.
    pub fn behaves(&self, behaviour: Value) {
        self.state.parts().behaviour = behaviour;
    }

    /// Lets another user sign in from now on.
    pub fn signs_in_as(&self, subject: &str, email: &str) {
        self.changes(
            json!({ "claims": { "sub": subject, "email": email }, "userinfo": { "sub": subject, "email": email } }),
        );
    }

    /// Takes a request for authorization and returns the URL that the provider redirects the browser to.
    ///
    /// # Panics
    /// If a parameter is wrong.
    pub fn answers(&self, url: &str) -> String {
        let (redirect_uri, fields) = self.answers_with_fields(url);
        url::Url::parse_with_params(&redirect_uri, &fields).unwrap().into()
    }

    /// The same, for an answer by a form: the URL that it is sent to, and its fields.
    pub fn answers_with_fields(&self, url: &str) -> (String, Vec<(String, String)>) {
        let parameters = parameters_of(url);
        self.state.authorizes(&parameters).unwrap_or_else(|error| panic!("{error}: {url}"))
    }

    /// How many requests an endpoint has got.
    pub fn requests(&self, endpoint: &str) -> usize {
        self.state.parts().requests.iter().filter(|(name, _)| name == endpoint).count()
    }

    /// The newest request of an endpoint: an object with its `headers` and the `fields` of its query or form.
    ///
    /// # Panics
    /// If there was none.
    pub fn newest_request(&self, endpoint: &str) -> Value {
        let parts = self.state.parts();
        let found = parts.requests.iter().rev().find(|(name, _)| name == endpoint);
        found.unwrap_or_else(|| panic!("{endpoint} got no request")).1.clone()
    }

    /// The faults in requests of the site, which then got an error.
    pub fn complaints(&self) -> Vec<String> {
        self.state.parts().complaints.clone()
    }

    /// A logout token of the back channel, for these claims beside those that every one has. `patch` may have `header`, `claims`
    /// and `sign`, as the behaviour has them.
    pub fn logout_token(&self, patch: &Value) -> String {
        let now = now();
        let claims = json!({
            "iss": self.state.url, "aud": Self::CLIENT, "iat": now, "exp": now + 120, "jti": random_text(),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let mut behaviour = json!({ "sign": self.state.parts().behaviour["sign"] });
        merge(&mut behaviour, patch.clone(), false);
        token(json!({ "typ": "logout+jwt" }), claims, &behaviour)
    }

    /// The private key for the setting `key_file` of Apple.
    pub fn apple_key() -> String {
        Keys::shared().apple_pem()
    }

    /// A published key with this name, as a JSON Web Key.
    pub fn public_key(name: &str) -> Value {
        Keys::shared().public(name)
    }

    /// The time, in seconds since 1970.
    pub fn now() -> u64 {
        now()
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap()
    }

    /// Takes the parameters of a request for authorization, and returns the redirect URI with the parameters of the answer.
    fn authorizes(&self, parameters: &BTreeMap<String, String>) -> Result<(String, Vec<(String, String)>), String> {
        let mut parts = self.parts();
        parts.requests.push(("authorize".to_owned(), json!({ "fields": parameters })));
        let get = |name: &str| parameters.get(name).map_or("", String::as_str);
        let is_pkce = get("code_challenge").len() == 43 && get("code_challenge_method") == "S256";
        for (is_right, what) in [
            (get("response_type") == "code", "response_type"),
            (get("client_id") == Self::client(&parts), "client_id"),
            (!get("state").is_empty(), "state"),
            (is_pkce, "code_challenge"),
            (get("redirect_uri").ends_with("/callback"), "redirect_uri"),
        ] {
            if !is_right {
                parts.complaints.push(format!("authorize: {what}"));
                return Err(format!("the {what} is wrong"));
            }
        }
        let code = random_text();
        let mut answer = json!({ "code": code, "state": get("state"), "iss": self.url });
        merge(&mut answer, parts.behaviour["callback"].clone(), true);
        parts.codes.insert(code, parameters.clone());
        let Value::Object(fields) = answer else { unreachable!("it is written above as an object") };
        let fields = fields.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect();
        Ok((get("redirect_uri").to_owned(), fields))
    }

    fn client(parts: &Parts) -> String {
        parts.behaviour["client"].as_str().unwrap_or(FakeProvider::CLIENT).to_owned()
    }

    /// The ID token for the parameters of a request for authorization.
    fn id_token(&self, parts: &Parts, request: &BTreeMap<String, String>) -> String {
        let now = now();
        let claims = json!({
            "iss": self.url, "sub": FakeProvider::SUBJECT, "aud": Self::client(parts), "iat": now, "exp": now + 300,
            "nonce": request.get("nonce"), "auth_time": now,
            "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true,
        });
        token(json!({ "typ": "JWT" }), claims, &parts.behaviour)
    }
}

/// A signed token: its header and its claims, with the parts of a behaviour that replace members of them.
fn token(mut header: Value, mut claims: Value, behaviour: &Value) -> String {
    let sign = |name: &str| behaviour["sign"][name].as_str().unwrap_or_default();
    header["alg"] = sign("alg").into();
    header["kid"] = sign("kid").into();
    merge(&mut header, behaviour["header"].clone(), true);
    merge(&mut claims, behaviour["claims"].clone(), true);
    let message = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature = Keys::shared().sign(sign("alg"), sign("key"), message.as_bytes());
    format!("{message}.{}", base64(&signature))
}

/// Replaces members by those of a patch. A null of the patch removes a member, or stays.
fn merge(target: &mut Value, patch: Value, removes: bool) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = Map::new().into();
            }
            for (name, value) in patch {
                let members = target.as_object_mut().expect("it was made one above");
                if value.is_null() && removes {
                    members.remove(&name);
                } else {
                    merge(members.entry(name).or_insert(Value::Null), value, removes);
                }
            }
        }
        // The behaviour has no such part.
        Value::Null if removes => {}
        value => *target = value,
    }
}

fn parameters_of(url: &str) -> BTreeMap<String, String> {
    let url = url::Url::parse(url).unwrap_or_else(|error| panic!("{url:?}: {error}"));
    url.query_pairs().into_owned().collect()
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLBACK: &str = "http://localhost/account/with/acme/callback";

    async fn get(url: &str) -> (u16, String) {
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Asks for a code, and exchanges it with this secret.
    async fn exchanges(provider: &FakeProvider, secret: &str, verifier: &str) -> (u16, Value) {
        let request = url::Url::parse_with_params(
            &format!("{}/authorize", provider.url()),
            [
                ("response_type", "code"),
                ("client_id", FakeProvider::CLIENT),
                ("redirect_uri", CALLBACK),
                ("state", "of the browser"),
                ("nonce", "of the request"),
                // RFC 7636, appendix B.
                ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
                ("code_challenge_method", "S256"),
            ],
        );
        let answer = parameters_of(&provider.answers(request.unwrap().as_str()));
        assert_eq!(answer["state"], "of the browser");
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &answer["code"]),
            ("redirect_uri", CALLBACK),
            ("client_id", FakeProvider::CLIENT),
            ("client_secret", secret),
            ("code_verifier", verifier),
        ];
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = reqwest::Client::new().post(format!("{}/token", provider.url())).body(body).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    fn claims_of(answer: &Value) -> Value {
        let claims = answer["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_provider_gives_tokens_to_its_client_and_to_no_other() {
        const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let provider = FakeProvider::start();
        let (status, answer) = exchanges(&provider, FakeProvider::SECRET, VERIFIER).await;
        let claims = claims_of(&answer);
        assert_eq!((status, &claims["nonce"], &claims["iss"]), (200, &json!("of the request"), &json!(provider.url())));
        assert!(provider.complaints().is_empty());
        assert_eq!(exchanges(&provider, "another", VERIFIER).await.0, 401);
        assert_eq!(exchanges(&provider, FakeProvider::SECRET, "another").await.0, 400);
        assert_eq!(provider.complaints().len(), 2);
    }

    #[tokio::test]
    async fn a_change_replaces_members_and_a_null_removes_them() {
        let provider = FakeProvider::start();
        let right = provider.behaviour();
        provider
            .changes(json!({ "claims": { "iss": "https://evil.example", "email": null }, "token": { "scope": null } }));
        let (_, answer) =
            exchanges(&provider, FakeProvider::SECRET, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").await;
        let claims = claims_of(&answer);
        assert_eq!(
            (&claims["iss"], claims.get("email"), answer.get("scope")),
            (&json!("https://evil.example"), None, None)
        );
        provider.behaves(right);
        let discovery = format!("{}/.well-known/openid-configuration", provider.url());
        assert!(get(&discovery).await.1.contains(&format!("\"jwks_uri\":\"{}/keys\"", provider.url())));
        provider.changes(json!({ "faults": { "discovery": { "status": 500, "bytes": 100_000 } } }));
        let (status, body) = get(&discovery).await;
        assert_eq!((status, body.len(), provider.requests("discovery")), (500, 100_000, 2));
    }

    #[tokio::test]
    async fn a_stopped_provider_refuses_connections_until_it_starts_again() {
        let mut provider = FakeProvider::start();
        let keys = format!("{}/keys", provider.url());
        provider.stop();
        assert!(reqwest::get(&keys).await.is_err());
        provider.start_again();
        assert!(get(&keys).await.1.contains("\"kid\":\"first\""));
    }
}
