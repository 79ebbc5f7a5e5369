//! Simulated users who act until their server is killed, and then check that every confirmed change persists.

use std::time::Duration;

use crate::{SeededRng, Visitor};

/// The longest pause of a user between two acts.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);
/// How many of the latest signed-out devices are checked after each start; all are checked at the end.
const LATEST: usize = 8;

/// A simulated user with an account and some devices.
#[derive(Debug)]
pub struct User {
    url: String,
    rng: SeededRng,
    email: String,
    password: String,
    /// The cookies of the devices that are signed in.
    live: Vec<String>,
    /// Those of the devices that were signed out.
    ended: Vec<String>,
    in_doubt: Option<Act>,
}

/// An act whose response did not arrive: it is done completely, or not at all.
#[derive(Debug)]
enum Act {
    SignOut(String),
    /// All devices but this one.
    SignOutOthers(String),
    ChangePassword(String),
}

impl User {
    /// Registers a user with a random address. `None` if the server does not answer, or only with 503.
    pub async fn register(url: &str, rng: &SeededRng) -> Option<Self> {
        let email = format!("user{:x}@example.com", rng.next());
        let mut user = Self {
            url: url.to_owned(),
            rng: rng.clone(),
            password: new_password(rng),
            live: Vec::new(),
            ended: Vec::new(),
            in_doubt: None,
            email,
        };
        let fields = [("name", "Ada"), ("email", &user.email), ("password", &user.password)];
        let device = user.submit("", "/account/register", &fields, "/account").await?;
        user.live.push(device.token());
        Some(user)
    }

    /// Performs one act after another until one is not answered.
    pub async fn act_until_unanswered(mut self) -> Self {
        while self.act_once().await.is_some() {
            tokio::time::sleep(self.rng.up_to(LONGEST_PAUSE)).await;
        }
        self
    }

    async fn act_once(&mut self) -> Option<()> {
        let Some(device) = self.rng.pick(&self.live).cloned() else { return self.sign_in().await };
        match self.rng.below(8) {
            0..3 => self.sign_in().await,
            3..5 => self.sign_out(device).await,
            5 => self.sign_out_others(device).await,
            6 => self.change_password(device).await,
            _ => self.check_two_devices().await,
        }
    }

    async fn sign_in(&mut self) -> Option<()> {
        let fields = [("email", self.email.as_str()), ("password", &self.password), ("remember", "on")];
        let device = self.submit("", "/account/login", &fields, "/account").await?;
        self.live.push(device.token());
        Some(())
    }

    async fn sign_out(&mut self, device: String) -> Option<()> {
        self.live.retain(|cookie| *cookie != device);
        self.in_doubt = Some(Act::SignOut(device.clone()));
        self.submit(&device, "/account/logout", &[], "/").await?;
        self.in_doubt = None;
        self.ended.push(device);
        Some(())
    }

    async fn sign_out_others(&mut self, device: String) -> Option<()> {
        self.in_doubt = Some(Act::SignOutOthers(device.clone()));
        self.submit(&device, "/account/sessions/revoke-others", &[], "/account/sessions").await?;
        self.in_doubt = None;
        self.ended.extend(self.live.extract_if(.., |cookie| *cookie != device));
        Some(())
    }

    async fn change_password(&mut self, device: String) -> Option<()> {
        let new = new_password(&self.rng);
        self.in_doubt = Some(Act::ChangePassword(new.clone()));
        let fields = [("current_password", self.password.as_str()), ("password", &new)];
        let device = self.submit(&device, "/account/password", &fields, "/account?done=password").await?;
        self.in_doubt = None;
        self.password = new;
        self.ended.append(&mut self.live);
        self.live.push(device.token());
        Some(())
    }

    async fn check_two_devices(&self) -> Option<()> {
        for (cookies, is_live) in [(&self.live, true), (&self.ended, false)] {
            if let Some(device) = self.rng.pick(cookies) {
                assert_eq!(self.is_signed_in(device).await?, is_live, "{}", self.email);
            }
        }
        Some(())
    }

    /// Checks, after a start, that confirmed acts persist and that an unanswered act is done completely or not at all.
    pub async fn verify_after_start(&mut self, url: &str) {
        url.clone_into(&mut self.url);
        match self.in_doubt.take() {
            None => {}
            Some(Act::SignOut(device)) => self.settle(vec![device]).await,
            Some(Act::SignOutOthers(device)) => {
                let others = self.live.extract_if(.., |cookie| *cookie != device).collect();
                self.settle(others).await;
            }
            Some(Act::ChangePassword(new)) => {
                let fields = [("email", self.email.as_str()), ("password", &new)];
                if Visitor::new(url).submits("/account/login", &fields).await.status == 303 {
                    self.password = new;
                    self.ended.append(&mut self.live);
                }
            }
        }
        self.verify_devices(self.ended.len().saturating_sub(LATEST)).await;
        assert!(self.sign_in().await.is_some(), "{} signs in with the confirmed password", self.email);
    }

    /// Checks every device that was ever signed in.
    pub async fn verify_all_devices(&self) {
        self.verify_devices(0).await;
    }

    async fn verify_devices(&self, from: usize) {
        for device in &self.live {
            assert_eq!(self.is_signed_in(device).await, Some(true), "{} is signed in", self.email);
        }
        for device in &self.ended[from..] {
            assert_eq!(self.is_signed_in(device).await, Some(false), "{} was signed out", self.email);
        }
    }

    /// Records whether these devices are signed in: all are, or none is. A signed-out device stays signed out.
    async fn settle(&mut self, devices: Vec<String>) {
        let mut live = Vec::new();
        for device in &devices {
            live.push(self.is_signed_in(device).await.unwrap());
        }
        assert!(
            live.windows(2).all(|pair| pair[0] == pair[1]),
            "{}: only some devices were signed out: {live:?}",
            self.email
        );
        let found = if live.first() == Some(&true) { &mut self.live } else { &mut self.ended };
        found.extend(devices);
    }

    async fn is_signed_in(&self, device: &str) -> Option<bool> {
        let browser = Visitor::new(&self.url);
        browser.presents(device);
        let page = browser.tries(browser.request(reqwest::Method::GET, "/account")).await.ok()?;
        assert!([200, 303, 503].contains(&page.status), "{} got the status {}", self.email, page.status);
        (page.status != 503).then_some(page.status == 200)
    }

    /// Submits a form with the cookie of this device. `None` if there is no response, or only a 503.
    async fn submit(&self, device: &str, path: &str, fields: &[(&str, &str)], good: &str) -> Option<Visitor> {
        let browser = Visitor::new(&self.url);
        if !device.is_empty() {
            browser.presents(device);
        }
        let page = browser.tries(browser.form(path, fields)).await.ok()?;
        if page.status == 503 {
            return None;
        }
        assert_eq!((page.status, page.location()), (303, good), "{} at {path}: {}", self.email, page.body);
        Some(browser)
    }
}

fn new_password(rng: &SeededRng) -> String {
    format!("plum-octave-{:x}", rng.next())
}
