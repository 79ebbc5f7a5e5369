//! Simulated users for kills of the server: each acts until then, and checks afterwards that every confirmed change persists.

use std::time::Duration;

use crate::chance::Chance;
use crate::visitor::Visitor;

/// The longest pause of a user between two acts.
const A_MOMENT: Duration = Duration::from_millis(40);
/// How many of the latest signed-out devices are checked after each start; all are checked at the end.
const LATEST: usize = 8;

/// A simulated user with an account and some devices.
pub struct Person {
    url: String,
    chance: Chance,
    email: String,
    password: String,
    /// The cookies of the devices that are signed in.
    live: Vec<String>,
    /// Those of the devices that were signed out.
    ended: Vec<String>,
    in_doubt: Option<Act>,
}

/// An act whose response did not arrive: it is done completely, or not at all.
enum Act {
    SignsOut(String),
    /// All devices but this one.
    SignsOthersOut(String),
    ChangesPasswordTo(String),
}

impl Person {
    pub async fn registers(url: &str, chance: &Chance) -> Option<Self> {
        let email = format!("person{:x}@example.com", chance.next());
        let mut person = Self {
            url: url.to_owned(),
            chance: chance.clone(),
            password: new_password(chance),
            live: Vec::new(),
            ended: Vec::new(),
            in_doubt: None,
            email,
        };
        let fields = [("name", "Ada"), ("email", &person.email), ("password", &person.password)];
        let device = person.asks("", "/account/register", &fields, "/account").await?;
        person.live.push(device.token());
        Some(person)
    }

    /// Performs one act after another until one is not answered.
    pub async fn works(mut self) -> Self {
        while self.does_something().await.is_some() {
            tokio::time::sleep(self.chance.up_to(A_MOMENT)).await;
        }
        self
    }

    async fn does_something(&mut self) -> Option<()> {
        let Some(device) = self.chance.pick(&self.live).cloned() else { return self.signs_in().await };
        match self.chance.below(8) {
            0..3 => self.signs_in().await,
            3..5 => self.signs_out(device).await,
            5 => self.signs_others_out(device).await,
            6 => self.changes_password(device).await,
            _ => self.looks_around().await,
        }
    }

    async fn signs_in(&mut self) -> Option<()> {
        let fields = [("email", self.email.as_str()), ("password", &self.password), ("remember", "on")];
        let device = self.asks("", "/account/login", &fields, "/account").await?;
        self.live.push(device.token());
        Some(())
    }

    async fn signs_out(&mut self, device: String) -> Option<()> {
        self.live.retain(|cookie| *cookie != device);
        self.in_doubt = Some(Act::SignsOut(device.clone()));
        self.asks(&device, "/account/logout", &[], "/").await?;
        self.in_doubt = None;
        self.ended.push(device);
        Some(())
    }

    async fn signs_others_out(&mut self, device: String) -> Option<()> {
        self.in_doubt = Some(Act::SignsOthersOut(device.clone()));
        self.asks(&device, "/account/sessions/revoke-others", &[], "/account/sessions").await?;
        self.in_doubt = None;
        self.ended.extend(self.live.extract_if(.., |cookie| *cookie != device));
        Some(())
    }

    async fn changes_password(&mut self, device: String) -> Option<()> {
        let new = new_password(&self.chance);
        self.in_doubt = Some(Act::ChangesPasswordTo(new.clone()));
        let fields = [("current_password", self.password.as_str()), ("password", &new)];
        let device = self.asks(&device, "/account/password", &fields, "/account?done=password").await?;
        self.in_doubt = None;
        self.password = new;
        self.ended.append(&mut self.live);
        self.live.push(device.token());
        Some(())
    }

    async fn looks_around(&self) -> Option<()> {
        for (cookies, is_live) in [(&self.live, true), (&self.ended, false)] {
            if let Some(device) = self.chance.pick(cookies) {
                assert_eq!(self.is_signed_in(device).await?, is_live, "{}", self.email);
            }
        }
        Some(())
    }

    /// Checks, after a start, that confirmed acts persist and that an unanswered act is done completely or not at all.
    pub async fn finds_all_as_it_was(&mut self, url: &str) {
        url.clone_into(&mut self.url);
        match self.in_doubt.take() {
            None => {}
            Some(Act::SignsOut(device)) => self.sort_out(vec![device]).await,
            Some(Act::SignsOthersOut(device)) => {
                let others = self.live.extract_if(.., |cookie| *cookie != device).collect();
                self.sort_out(others).await;
            }
            Some(Act::ChangesPasswordTo(new)) => {
                let fields = [("email", self.email.as_str()), ("password", &new)];
                if Visitor::new(url).submits("/account/login", &fields).await.status == 303 {
                    self.password = new;
                    self.ended.append(&mut self.live);
                }
            }
        }
        self.tries_all(self.ended.len().saturating_sub(LATEST)).await;
        assert!(self.signs_in().await.is_some(), "{} signs in with the confirmed password", self.email);
    }

    /// Checks every device that was ever signed in.
    pub async fn tries_everything(&self) {
        self.tries_all(0).await;
    }

    async fn tries_all(&self, from: usize) {
        for device in &self.live {
            assert_eq!(self.is_signed_in(device).await, Some(true), "{} is signed in", self.email);
        }
        for device in &self.ended[from..] {
            assert_eq!(self.is_signed_in(device).await, Some(false), "{} was signed out", self.email);
        }
    }

    /// Records whether these devices are signed in: all are, or none is. A signed-out device stays signed out.
    async fn sort_out(&mut self, devices: Vec<String>) {
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
    async fn asks(&self, device: &str, path: &str, fields: &[(&str, &str)], good: &str) -> Option<Visitor> {
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

fn new_password(chance: &Chance) -> String {
    format!("plum-octave-{:x}", chance.next())
}
