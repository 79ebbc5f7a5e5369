//! The ceremonies of passkeys (Web Authentication Level 3): their options, their state, and the verification of what an
//! authenticator answers.
//!
//! The browser carries the state of a ceremony, sealed. So options cost no statement, and nothing is stored for a visitor who asks for
//! many. The seal binds a ceremony to its purpose and to the session or the pending sign-in; the act that it allows records its id, so
//! it allows one.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use handstamp_core::{
    DecoyPasskeys, EmailAddress, KeyRingError, OneTimeId, Sealer, SecretKey, SessionSecretHash, Timestamp, UserId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use webauthn_rs::fake::{FakePasskeyDistribution, WebauthnFakeCredentialGenerator};
use webauthn_rs::prelude::{
    Credential, DiscoverableAuthentication, ParsedAttestation, Passkey as StoredPasskey, PublicKeyCredential,
    RegisterPublicKeyCredential, SecurityKeyRegistration, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::config::Config;
use crate::environment::Environment;
use crate::model::{CeremonyId, Passkey, PasskeyUse, UsedCeremony};

/// The answer of a browser for a passkey that it uses: the JSON of `PublicKeyCredential.toJSON()`.
pub(crate) type PasskeyAssertion = PublicKeyCredential;
/// The same for a new passkey.
pub(crate) type PasskeyAttestation = RegisterPublicKeyCredential;

/// How long a ceremony can be completed. Browsers are asked to give up after the same time.
pub(super) const VALIDITY: Duration = Duration::from_secs(300);

/// The longest id of a passkey (WebAuthn Level 3, 7.1).
const MAX_CREDENTIAL_ID_BYTES: usize = 1023;
/// The longest stored form of a passkey. Those with an RSA key take two kilobytes.
const MAX_CREDENTIAL_BYTES: usize = 8192;

/// The purpose of a ceremony, and who may complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A sign-in by the passkey alone, in any browser.
    SignIn,
    /// The second factor of a pending sign-in.
    SecondFactor(OneTimeId),
    /// Another authentication in a session.
    Confirm(SessionSecretHash),
    /// A new passkey of the user of a session.
    Register(SessionSecretHash),
}

impl Purpose {
    /// The text that is sealed with a ceremony: it opens for the same purpose only.
    fn context(self) -> Vec<u8> {
        match self {
            Self::SignIn => b"sign_in".to_vec(),
            Self::SecondFactor(pending) => [b"second_factor ".as_slice(), pending.as_bytes()].concat(),
            Self::Confirm(session) => [b"confirm ".as_slice(), session.as_bytes()].concat(),
            Self::Register(session) => [b"register ".as_slice(), session.as_bytes()].concat(),
        }
    }
}

/// Whether the authenticator has to verify the user, as by a PIN or a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserVerification {
    Required,
    Preferred,
}

/// The options of a ceremony, for the browser.
#[derive(Debug, Serialize)]
pub(crate) struct CeremonyOptions {
    /// The sealed state, which comes back with the answer.
    ceremony: String,
    /// The JSON for `PublicKeyCredential.parseCreationOptionsFromJSON()` or `.parseRequestOptionsFromJSON()`.
    #[serde(rename = "publicKey")]
    public_key: Value,
}

/// Why a passkey was refused, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The ceremony is not one of ours, or was begun for another purpose, session or pending sign-in.
    Ceremony,
    Expired,
    /// The ceremony was completed before.
    Replayed,
    /// No account has this passkey.
    Unknown,
    /// It is the passkey of another user than the one who was asked for.
    User,
    Challenge,
    Origin,
    RpId,
    /// The user was to be verified, and was not.
    UserVerification,
    /// The signature counter has not grown, so there may be a copy of the passkey.
    Counter,
    /// The signature or the format is wrong.
    Invalid,
    /// The account is disabled.
    Disabled,
    /// The account or the passkey has changed meanwhile.
    Changed,
}

impl Refusal {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ceremony => "ceremony",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::Unknown => "unknown",
            Self::User => "user",
            Self::Challenge => "challenge",
            Self::Origin => "origin",
            Self::RpId => "rp_id",
            Self::UserVerification => "user_verification",
            Self::Counter => "counter",
            Self::Invalid => "invalid",
            Self::Disabled => "disabled",
            Self::Changed => "changed",
        }
    }
}

impl From<WebauthnError> for Refusal {
    fn from(error: WebauthnError) -> Self {
        match error {
            WebauthnError::MismatchedChallenge => Self::Challenge,
            WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => Self::Origin,
            WebauthnError::InvalidRPIDHash => Self::RpId,
            WebauthnError::UserNotVerified => Self::UserVerification,
            WebauthnError::CredentialPossibleCompromise => Self::Counter,
            _ => Self::Invalid,
        }
    }
}

/// The state of a ceremony.
#[derive(Serialize, Deserialize)]
struct State<S> {
    id: Uuid,
    /// The user who was asked for; none if any passkey may answer.
    user: Option<Uuid>,
    expires_at: u64,
    state: S,
}

/// A ceremony that was opened, with the library's part of its state.
pub(super) struct Ceremony<S> {
    pub(super) used: UsedCeremony,
    /// The user who was asked for; none if any passkey may answer. For a decoy it is one that does not exist.
    pub(super) user: Option<UserId>,
    state: S,
}

/// A new passkey, as its authenticator made it.
pub(super) struct NewCredential {
    pub(super) credential_id: Vec<u8>,
    pub(super) credential: String,
    pub(super) counter: u32,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) user_verified: bool,
}

/// Begins and verifies the ceremonies of a site.
pub(crate) struct Ceremonies {
    webauthn: Webauthn,
    sealer: Sealer,
    decoys: DecoyPasskeys,
}

impl Ceremonies {
    /// The ceremonies of a site; none if its host is an address, for which browsers make no passkeys.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, KeyRingError> {
        let (secret, fallbacks): (&SecretKey, &[SecretKey]) = (&config.secret_key, &config.secret_key_fallbacks);
        let origin = Url::parse(&config.public_url.to_string()).expect("a public URL is a URL");
        let rp_id = config.passkeys.rp_id(&config.public_url);
        let Ok(builder) = WebauthnBuilder::new(rp_id, &origin) else { return Ok(None) };
        let built = builder.rp_name(&config.site_name).timeout(VALIDITY).build();
        let webauthn = built.expect("a relying party with an id and an origin is complete");
        let (sealer, decoys) = (Sealer::for_ceremonies(secret, fallbacks)?, DecoyPasskeys::new(secret));
        Ok(Some(Self { webauthn, sealer, decoys }))
    }

    /// Options to make a passkey for a user, whose name and address the authenticator shows. Those that the user has are excluded.
    pub(super) fn begin_registration(
        &self,
        environment: &Environment,
        now: Timestamp,
        purpose: Purpose,
        (user, email, name): (UserId, &str, &str),
        existing: &[Passkey],
    ) -> CeremonyOptions {
        let exclude = existing.iter().map(|passkey| passkey.credential_id.clone()).collect();
        // Of the kinds of this library a "security key" is the one that may be made without user verification: an old key without
        // a PIN is a second factor then.
        let begun = self.webauthn.start_securitykey_registration(
            user.as_uuid(),
            email,
            // The library requires a name.
            if name.is_empty() { email } else { name },
            Some(exclude),
            None,
            None,
        );
        let (options, state) = begun.expect("a user has an id, an address and a name");
        let mut options = plain_options(&options.public_key);
        // Any authenticator is welcome. With an address, passkeys that cannot be discovered sign in as well.
        options["authenticatorSelection"] =
            json!({ "residentKey": "preferred", "requireResidentKey": false, "userVerification": "preferred" });
        self.options(environment, now, purpose, Some(user), &state, options)
    }

    /// Options to use one of these passkeys of a user, or, without a user, any that the browser has.
    pub(super) fn begin_authentication(
        &self,
        environment: &Environment,
        now: Timestamp,
        purpose: Purpose,
        user: Option<UserId>,
        allowed: Vec<Vec<u8>>,
        verification: UserVerification,
    ) -> CeremonyOptions {
        // The passkeys are not part of the state: it would be as long as they are many, and an answer is verified with the row that is
        // stored then. The state of both kinds is the same but for whether the user is verified.
        let (begun, state) = match verification {
            UserVerification::Required => {
                let (begun, state) = self.webauthn.start_discoverable_authentication().expect("it has no input");
                (begun, serde_json::to_value(&state))
            }
            UserVerification::Preferred => {
                let (begun, state) = self.webauthn.start_securitykey_authentication(&[]).expect("it has no input");
                (begun, serde_json::to_value(&state))
            }
        };
        let state = state.expect("the state of a ceremony is JSON");
        let mut options = plain_options(&begun.public_key);
        let allowed =
            allowed.into_iter().map(|id| json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode_to_string(id) }));
        options["allowCredentials"] = allowed.collect();
        self.options(environment, now, purpose, user, &state, options)
    }

    fn options(
        &self,
        environment: &Environment,
        now: Timestamp,
        purpose: Purpose,
        user: Option<UserId>,
        state: &impl Serialize,
        public_key: Value,
    ) -> CeremonyOptions {
        let id = uuid::Builder::from_random_bytes(environment.random()).into_uuid();
        let expires_at = now.after(VALIDITY).unix_seconds();
        let state = State { id, user: user.map(|user| user.as_uuid()), expires_at, state };
        let state = serde_json::to_vec(&state).expect("the state of a ceremony is JSON");
        let sealed = self.sealer.seal(&environment.random(), &state, &purpose.context());
        CeremonyOptions { ceremony: URL_SAFE_NO_PAD.encode_to_string(sealed), public_key }
    }

    /// Opens a ceremony, which must have been begun for this purpose.
    fn open<S: DeserializeOwned>(
        &self,
        ceremony: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Ceremony<S>, Refusal> {
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(ceremony).map_err(|_| Refusal::Ceremony)?;
        let opened = self.sealer.open(&sealed, &purpose.context()).ok_or(Refusal::Ceremony)?;
        // A state of another version of the library is as good as expired.
        let State { id, user, expires_at, state } =
            serde_json::from_slice(&opened.value).map_err(|_| Refusal::Expired)?;
        let expires_at = Timestamp::from_unix_seconds(expires_at);
        if now >= expires_at {
            return Err(Refusal::Expired);
        }
        let used = UsedCeremony { id: CeremonyId(id.into_bytes()), began_at: expires_at.before(VALIDITY), expires_at };
        Ok(Ceremony { used, user: user.map(UserId::from_uuid), state })
    }

    /// Opens a ceremony in which a passkey is used.
    pub(super) fn open_authentication(
        &self,
        ceremony: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Ceremony<DiscoverableAuthentication>, Refusal> {
        self.open(ceremony, purpose, now)
    }

    /// Verifies the answer of an authenticator that has made a passkey.
    pub(super) fn finish_registration(
        &self,
        ceremony: &str,
        purpose: Purpose,
        answer: &PasskeyAttestation,
        now: Timestamp,
    ) -> Result<(UsedCeremony, NewCredential), Refusal> {
        let Ceremony { used, state, .. } = self.open::<SecurityKeyRegistration>(ceremony, purpose, now)?;
        let made = Credential::from(self.webauthn.finish_securitykey_registration(answer, &state)?);
        // No vendor is preferred, so the certificates of an authenticator are of no use.
        let made = Credential { attestation: ParsedAttestation::default(), transports: None, ..made };
        let mut new = NewCredential {
            credential_id: made.cred_id.to_vec(),
            credential: String::new(),
            counter: made.counter,
            backup_eligible: made.backup_eligible,
            backed_up: made.backup_state,
            user_verified: made.user_verified,
        };
        new.credential = to_text(&StoredPasskey::from(made));
        if new.credential_id.len() > MAX_CREDENTIAL_ID_BYTES || new.credential.len() > MAX_CREDENTIAL_BYTES {
            return Err(Refusal::Invalid);
        }
        Ok((used, new))
    }

    /// Verifies that a passkey has answered a ceremony, and returns its use. Whether it may answer this one is for
    /// [`belongs_to`] to say.
    pub(super) fn finish_authentication(
        &self,
        ceremony: Ceremony<DiscoverableAuthentication>,
        passkey: &Passkey,
        answer: &PasskeyAssertion,
        now: Timestamp,
    ) -> Result<VerifiedUse, Refusal> {
        let mut stored: StoredPasskey = serde_json::from_str(&passkey.credential).map_err(|_| Refusal::Invalid)?;
        let result = self.webauthn.finish_discoverable_authentication_v2(answer, ceremony.state, &stored)?;
        stored.update_credential(&result);
        let used = PasskeyUse {
            ceremony: ceremony.used,
            passkey: passkey.id,
            counter: result.counter(),
            credential: to_text(&stored),
            backed_up: result.backup_state(),
            user_verified: result.user_verified(),
            now,
        };
        Ok(VerifiedUse { used, user_verified: result.user_verified() })
    }

    /// The ids of passkeys for an address that has none: they look like real ones, and are the same each time. At least one, since a
    /// list without one would let the browser offer any passkey.
    pub(super) fn decoys(&self, email: &EmailAddress) -> Vec<Vec<u8>> {
        let seed = self.decoys.seed(email);
        let generator = WebauthnFakeCredentialGenerator::<FakePasskeyDistribution>::new(&seed)
            .expect("32 bytes are a key of HMAC-SHA-256");
        let mut lists = (0_u8..=u8::MAX).map(|number| generator.generate(&[number]).unwrap_or_default());
        let list = lists.find(|list| !list.is_empty()).unwrap_or_default();
        list.into_iter().map(|id| id.to_vec()).collect()
    }
}

/// The use of a passkey, whose signature was verified.
pub(super) struct VerifiedUse {
    pub(super) used: PasskeyUse,
    /// Whether the authenticator has verified the user this time.
    pub(super) user_verified: bool,
}

/// Checks that a passkey may answer a ceremony (WebAuthn Level 3, 7.2, step 6). It must be one of the user who was asked for, and the
/// authenticator must name no other. Without a user who was asked for, the authenticator must name its owner.
pub(super) fn belongs_to<S>(
    ceremony: &Ceremony<S>,
    passkey: &Passkey,
    answer: &PasskeyAssertion,
) -> Result<(), Refusal> {
    let owner = passkey.user_id;
    let named = answer.get_user_unique_id();
    let is_named = named.map(|handle| handle == owner.as_uuid().as_bytes());
    let is_owner = match ceremony.user {
        Some(user) => user == owner && is_named != Some(false),
        None => is_named == Some(true),
    };
    if is_owner { Ok(()) } else { Err(Refusal::User) }
}

fn to_text(passkey: &StoredPasskey) -> String {
    serde_json::to_string(passkey).expect("a credential is JSON")
}

/// The options of the library without its hints and extensions: any authenticator is welcome, and how a passkey is protected is left to
/// the browser. With the protection that the library asks for, a key without a PIN makes passkeys that it never uses.
fn plain_options(options: &impl Serialize) -> Value {
    let mut options = serde_json::to_value(options).expect("options are JSON");
    if let Some(options) = options.as_object_mut() {
        options.retain(|name, _| name != "hints" && name != "extensions");
    }
    options
}
