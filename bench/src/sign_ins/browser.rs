//! A browser whose user signs in, by a password or by a passkey.

use std::net::SocketAddr;

use handstamp_bench::client::{Client, HOST, post_json, post_with};
use handstamp_testing::PasskeyAuthenticator;
use serde_json::{Value, json};

const SIGN_IN: &str = "/account/login/passkey";
const ADD: &str = "/account/passkeys";

/// A browser with an account of its own, which has a password and a passkey.
pub struct Browser {
    client: Client,
    /// The address that it comes from.
    from: String,
    /// The account, as a form has it.
    credentials: String,
    cookies: String,
    authenticator: PasskeyAuthenticator,
}

impl Browser {
    /// # Panics
    /// When the account or its passkey is refused.
    pub fn new(address: SocketAddr, number: usize) -> Self {
        let credentials = format!("email=user{number}%40example.com&password=plum-octave-harbour");
        let mut browser = Self {
            client: Client::new(address),
            from: format!("10.{number}.0.1"),
            credentials,
            cookies: String::new(),
            authenticator: PasskeyAuthenticator::device_bound(&format!("http://{HOST}")),
        };
        let form = format!("name=Somebody&{}", browser.credentials);
        browser.submits("/account/register", &form);
        let options = browser.asks(&format!("{ADD}/options"), &json!({}));
        let made = browser.authenticator.makes(&options);
        browser.asks(ADD, &json!({ "ceremony": options["ceremony"], "credential": made }));
        browser
    }

    /// # Panics
    /// When it is refused.
    pub fn signs_in_by_password(&mut self) {
        let form = format!("{}&remember=on", self.credentials);
        self.submits("/account/login", &form);
    }

    /// # Panics
    /// When it is refused.
    pub fn signs_in_by_passkey(&mut self) {
        let options = self.asks(&format!("{SIGN_IN}/options"), &json!({}));
        let used = self.authenticator.uses(&options);
        self.asks(SIGN_IN, &json!({ "ceremony": options["ceremony"], "credential": used, "remember": true }));
    }

    /// Submits a form that begins a session.
    fn submits(&mut self, path: &str, form: &str) {
        let request = post_with(path, &self.from, &self.cookies, form);
        self.sends(path, &request, 303);
    }

    /// Sends a request of the script of passkeys.
    fn asks(&mut self, path: &str, body: &Value) -> Value {
        let request = post_json(path, &self.from, &self.cookies, &body.to_string());
        self.sends(path, &request, 200);
        let received = self.client.received();
        let head = received.windows(4).position(|four| four == b"\r\n\r\n").expect("it is a whole answer");
        serde_json::from_slice(&received[head + 4..]).expect("it is JSON")
    }

    fn sends(&mut self, path: &str, request: &[u8], expected: u16) {
        let answer = self.client.ask(request).expect("it answers");
        assert_eq!(answer.status, expected, "{path}: {:?}", str::from_utf8(self.client.received()));
        let cookies = answer.cookies();
        if !cookies.is_empty() {
            self.cookies = cookies;
        }
    }
}
