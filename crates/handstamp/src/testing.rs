//! A site for the tests of an application (feature `test-util`): in a temporary folder, with cheap password hashes and a clock
//! that stands still until the test advances it.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use handstamp::CurrentUser;
//! use handstamp::testing::TestSite;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let site = TestSite::open().await;
//! let app: Router = Router::new()
//!     .route("/", get(async |user: CurrentUser| user.email().to_owned()))
//!     .with_state(site.handstamp().clone());
//!
//! let cookie = site.signed_in("ada@example.com", &["staff"]).await;
//! let request = || Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
//! assert_eq!(app.clone().oneshot(request()).await.unwrap().status(), 200);
//!
//! site.clock().advance(Duration::from_secs(30 * 86_400));
//! assert_eq!(app.oneshot(request()).await.unwrap().status(), 401, "the session has expired");
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use handstamp_core::{Argon2Params, AssuranceLevel, Timestamp, UserId};

use crate::context::Context;
use crate::environment::{Environment, ManualClock};
use crate::{Config, Error, Handstamp, NewUser};

/// When the clock of a [`TestSite`] begins: 15 January 2027, 08:00 UTC.
const BEGINNING: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// A site for tests, whose public URL is `http://localhost`. Its folder is deleted when it is dropped.
pub struct TestSite {
    handstamp: Handstamp,
    clock: Arc<ManualClock>,
    folder: PathBuf,
}

impl TestSite {
    /// The password of the users that [`user`](Self::user) creates.
    pub const PASSWORD: &str = "plum-octave-harbour";

    /// Opens a site with the default settings.
    ///
    /// # Panics
    /// When it cannot be opened, as where temporary files cannot be written.
    pub async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    /// Opens a site with settings of its own, such as templates or a public URL.
    ///
    /// # Panics
    /// When it cannot be opened, or a setting is invalid.
    pub async fn open_with(set: impl FnOnce(&mut Config)) -> Self {
        let name: [u8; 8] = Environment::system().random();
        let folder = std::env::temp_dir().join(format!("handstamp-test-{:016x}", u64::from_be_bytes(name)));
        let mut config = Config::in_folder(&folder, "http://localhost").expect("the temporary folder can be written");
        config.hashing.params = Argon2Params::new(8, 1, 1).expect("these are the least parameters that are valid");
        set(&mut config);
        let clock = Arc::new(ManualClock::new(BEGINNING));
        let environment = Environment { clock: clock.clone(), ..Environment::system() };
        let handstamp = Handstamp::open_with(config, environment).await.expect("the site of the test can be opened");
        Self { handstamp, clock, folder }
    }

    /// The site itself.
    pub fn handstamp(&self) -> &Handstamp {
        &self.handstamp
    }

    /// The clocks of the site.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The temporary folder with the database.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The user with this address, created with [`PASSWORD`](Self::PASSWORD) unless it exists, and added to these groups. The name
    /// is the part of the address before the `@`.
    ///
    /// # Panics
    /// When the address or a group is invalid.
    pub async fn user(&self, email: &str, groups: &[&str]) -> UserId {
        let users = self.handstamp.users();
        let found = users.find_by_email(email).await.expect("the database of the test can be read");
        let id = match found {
            Some(user) => user.id,
            None => {
                let name = email.split('@').next().unwrap_or_default();
                let new = NewUser { name, email, password: Self::PASSWORD };
                users.create(new).await.expect("the address is valid")
            }
        };
        if !groups.is_empty() {
            users.change_groups(id, groups, &[]).await.expect("the groups are valid");
        }
        id
    }

    /// The `Cookie` header of a new session of a [`user`](Self::user).
    ///
    /// # Panics
    /// When the address or a group is invalid, or the user is disabled.
    pub async fn signed_in(&self, email: &str, groups: &[&str]) -> String {
        let user = self.user(email, groups).await;
        self.handstamp.test_cookie(user).await.expect("the user is not disabled")
    }

    /// The same for a session at an assurance level of 1 to 3, for what [`CurrentUser::require_assurance`] guards.
    ///
    /// [`CurrentUser::require_assurance`]: crate::CurrentUser::require_assurance
    ///
    /// # Panics
    /// When the address, a group or the level is invalid, or the user is disabled.
    pub async fn signed_in_at(&self, level: u8, email: &str, groups: &[&str]) -> String {
        let user = self.user(email, groups).await;
        let level = AssuranceLevel::parse(&level.to_string()).expect("a level is 1, 2 or 3");
        self.handstamp.test_cookie_at(user, level).await.expect("the user is not disabled")
    }
}

impl Drop for TestSite {
    fn drop(&mut self) {
        // A folder that stays is one of many in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Handstamp {
    /// The `Cookie` header of a new session of a user, for requests of a test.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub async fn test_cookie(&self, user: UserId) -> Result<String, Error> {
        self.test_cookie_at(user, AssuranceLevel::ONE_FACTOR).await
    }

    async fn test_cookie_at(&self, user: UserId, level: AssuranceLevel) -> Result<String, Error> {
        let site = self.shared_site();
        let begun = site.services.sign_in_at(&Context::operator(), user, true, &[], level).await?;
        Ok(format!("{}={}", site.cookies.session_name(), begun.token.text.expose()))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_test_site_signs_users_in_and_leaves_nothing_behind() {
        let site = TestSite::open_with(|config| config.site_name = "Tested".to_owned()).await;
        let cookie = site.signed_in("ada@example.com", &["staff"]).await;
        assert_eq!(site.user("ada@example.com", &["board"]).await, site.user("ada@example.com", &[]).await);
        let open = async |path: &str| {
            let request = Request::get(path).header("host", "localhost").header("cookie", &cookie);
            let router = site.handstamp().standalone_router();
            router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
        };
        assert_eq!(open("/account/sessions").await.status(), 200);
        let ada = site.user("ada@example.com", &[]).await;
        assert_eq!(site.handstamp().users().get(ada).await.unwrap().groups, ["board", "staff"]);
        let folder = site.folder().to_owned();
        assert!(folder.join("handstamp.db").exists());
        drop(site);
        assert!(!folder.exists());
    }
}
