//! The settings of the secrets from which the signing keys are derived.

use handstamp_core::{InvalidSetting, SecretKey, SessionTokens};

use super::setting::parse;
use super::{Config, Setting};

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("secret_key", |config: &mut Config, text| {
            config.secret_key = parse(text)?;
            Ok(())
        })
        .secret()
        .values(format!("at least {} random bytes, as from `openssl rand -base64 32`", SecretKey::MIN_BYTES))
        .default_is("required")
        .about("The secret from which all signing keys are derived."),
        Setting::list(
            "secret_key_fallbacks",
            |config: &mut Config| config.secret_key_fallbacks.clear(),
            |config, text| {
                config.secret_key_fallbacks.push(parse(text)?);
                Ok(())
            },
        )
        .check(|config| {
            let tokens = SessionTokens::new(&config.secret_key, &config.secret_key_fallbacks);
            tokens.map(drop).map_err(|_| InvalidSetting::new("must differ from secret_key and from one another"))
        })
        .secret()
        .values("a list of keys as for `secret_key`")
        .about("Earlier secrets, which still verify and no longer sign."),
    ]
}
