//! The section `import`: the secrets by which a former system hashed passwords, and which are not in its database.

use handstamp_core::{ImportSecrets, InvalidSetting};

use super::{Config, Setting};

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("import.bcrypt_pepper", |config: &mut Config, text| {
            set(config, |secrets| Ok(secrets.with_bcrypt_pepper(plain(text)?)))
        })
        .secret()
        .values("a text without control characters")
        .about("The pepper of Devise: the passwords of [imported users](../guide/from-rails.md) were hashed with it."),
        Setting::text("import.firebase_signer_key", |config: &mut Config, text| {
            set(config, |secrets| {
                secrets.with_firebase_signer_key(text).map_err(|error| InvalidSetting::new(error.to_string()))
            })
        })
        .secret()
        .values("16 to 128 bytes in base64")
        .about("The `base64_signer_key` of a Firebase project, by which the passwords of [imported users](../guide/from-firebase.md) are verified."),
        Setting::text("import.flask_security_salt", |config: &mut Config, text| {
            set(config, |secrets| Ok(secrets.with_flask_security_salt(plain(text)?)))
        })
        .secret()
        .values("a text without control characters")
        .about("`SECURITY_PASSWORD_SALT` of Flask-Security, by which the passwords of [imported users](../guide/from-flask.md) are verified."),
    ]
}

/// Refuses control characters, such as a line end that an editor has added.
fn plain(text: &str) -> Result<&str, InvalidSetting> {
    match text.chars().any(char::is_control) {
        true => Err(InvalidSetting::new("must not have control characters")),
        false => Ok(text),
    }
}

fn set(
    config: &mut Config,
    change: impl FnOnce(ImportSecrets) -> Result<ImportSecrets, InvalidSetting>,
) -> Result<(), InvalidSetting> {
    config.import_secrets = change(std::mem::take(&mut config.import_secrets))?;
    Ok(())
}
