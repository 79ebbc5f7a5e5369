//! The setting `admin`: the pages of administration.

use super::{Config, Setting};

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::flag("admin", |config: &Config| config.admin, |config, admin| config.admin = admin).about(
            "Whether members of the group `admins` administer the site at `/account/admin`. The last of them who can sign in cannot be removed.",
        ),
    ]
}
