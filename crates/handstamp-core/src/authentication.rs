//! The authentication of a session: its methods, its assurance level and its time.

use std::fmt;

use crate::{InvalidSetting, Timestamp};

/// How and when the user of a session authenticated: the methods, the assurance level that they reach together, and the time
/// when the user last proved who they are. Nodes cache it for each session, so it is packed into eight bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Authentication(u64);

/// The bits of the packed form: the time in the upper 40, then the methods, then the level.
const TIME_SHIFT: u32 = 24;
const METHODS_SHIFT: u32 = 8;
const MAX_TIME: u64 = (1 << 40) - 1;

impl Authentication {
    /// An authentication by these methods. A time beyond the year 36,000 is stored as the last second that fits.
    pub fn new(methods: AuthenticationMethods, assurance: AssuranceLevel, at: Timestamp) -> Self {
        let time = at.unix_seconds().min(MAX_TIME) << TIME_SHIFT;
        Self(time | u64::from(methods.0) << METHODS_SHIFT | u64::from(assurance.0))
    }

    /// An authentication by password at this time.
    pub fn by_password(at: Timestamp) -> Self {
        Self::new(AuthenticationMethods::PASSWORD, AssuranceLevel::ONE_FACTOR, at)
    }

    /// This authentication with a second factor: a code of an authenticator app, or a recovery code. Without a first factor the
    /// level stays as it is.
    #[must_use]
    pub fn with_code(self, at: Timestamp) -> Self {
        let second = AuthenticationMethods::ONE_TIME_CODE.and(AuthenticationMethods::MULTIPLE_FACTORS);
        if self.methods() == AuthenticationMethods::default() {
            return Self::new(self.methods(), self.assurance(), at);
        }
        Self::new(self.methods().and(second), self.assurance().max(AssuranceLevel::TWO_FACTORS), at)
    }

    /// This authentication without codes, after the authenticator app was removed. The level of a passkey stays.
    #[must_use]
    pub fn without_codes(self) -> Self {
        if self.methods().contain(AuthenticationMethods::POSSESSION_OF_KEY.and(AuthenticationMethods::USER_PRESENCE)) {
            let methods = AuthenticationMethods(self.methods().0 & !AuthenticationMethods::ONE_TIME_CODE.0);
            return Self::new(methods, self.assurance(), self.at());
        }
        let methods = self.methods().0 & !AuthenticationMethods::MULTIPLE_FACTORS.0;
        let others = AuthenticationMethods(methods & !AuthenticationMethods::ONE_TIME_CODE.0);
        // Without another method the first factor was a mailed code.
        let is_only_codes = others == AuthenticationMethods::default();
        let left = if is_only_codes { AuthenticationMethods(methods) } else { others };
        Self::new(left, AssuranceLevel::ONE_FACTOR, self.at())
    }

    /// The methods that were used.
    pub fn methods(self) -> AuthenticationMethods {
        AuthenticationMethods((self.0 >> METHODS_SHIFT) as u16)
    }

    /// The level that the methods reach together.
    pub fn assurance(self) -> AssuranceLevel {
        AssuranceLevel(self.0 as u8)
    }

    /// When the user last proved who they are, in this session.
    pub fn at(self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0 >> TIME_SHIFT)
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at level {}, {:?}", self.methods(), self.assurance().get(), self.at())
    }
}

/// A set of authentication methods, by their names in RFC 8176 §2. `fed` is not among those: Microsoft Entra ID uses it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationMethods(u16);

/// Each method with its bit. A bit is never used for another method.
const METHODS: [(&str, u16); 6] = [("pwd", 1), ("otp", 2), ("mfa", 4), ("pop", 8), ("user", 16), ("fed", 32)];

impl AuthenticationMethods {
    /// A password.
    pub const PASSWORD: Self = Self(1);
    /// A one-time code: a mailed one, that of an authenticator app, or a recovery code.
    pub const ONE_TIME_CODE: Self = Self(2);
    /// More than one factor.
    pub const MULTIPLE_FACTORS: Self = Self(4);
    /// The proof that the user has a key: a passkey.
    pub const POSSESSION_OF_KEY: Self = Self(8);
    /// The authenticator of a passkey has verified that the user was present.
    pub const USER_PRESENCE: Self = Self(16);
    /// A sign-in through another provider, whatever the user did there.
    pub const FEDERATED: Self = Self(32);

    /// The methods of both sets.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of these methods are in the set.
    pub const fn contain(self, methods: Self) -> bool {
        self.0 & methods.0 == methods.0
    }

    /// The methods in a stored text, separated by spaces. A name that only a newer version knows is left out.
    pub fn from_stored(text: &str) -> Self {
        let bits = text.split(' ').filter_map(|name| METHODS.iter().find(|(known, _)| *known == name));
        Self(bits.fold(0, |set, (_, bit)| set | bit))
    }

    /// The names of the methods.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        METHODS.iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(name, _)| *name)
    }
}

/// The names, separated by spaces, as they are stored.
impl fmt::Display for AuthenticationMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            f.write_str(if index > 0 { " " } else { "" })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// An authenticator assurance level of NIST SP 800-63B-4: 1 is one factor, 2 two factors, 3 phishing-resistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssuranceLevel(u8);

impl AssuranceLevel {
    /// One factor.
    pub const ONE_FACTOR: Self = Self(1);
    /// Two factors.
    pub const TWO_FACTORS: Self = Self(2);
    /// Phishing-resistant: a passkey whose authenticator has verified the user.
    pub const PHISHING_RESISTANT: Self = Self(3);

    /// Parses a level.
    ///
    /// # Errors
    /// When it is not `1`, `2` or `3`.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        match text {
            "1" => Ok(Self(1)),
            "2" => Ok(Self(2)),
            "3" => Ok(Self(3)),
            _ => Err(InvalidSetting::new("must be 1, 2 or 3")),
        }
    }

    /// A stored level. A number that is none counts as one factor, the least there is.
    pub fn from_stored(level: i64) -> Self {
        u8::try_from(level).ok().filter(|level| (1..=3).contains(level)).map_or(Self::ONE_FACTOR, Self)
    }

    /// The level as a number from 1 to 3.
    pub fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authentication_has_what_it_was_made_of() {
        let time = Timestamp::from_unix_seconds;
        for at in [0, 1, 1_800_000_000, MAX_TIME] {
            for (methods, level) in [(0, 1), (1, 2), (u16::MAX, 3)] {
                let made = Authentication::new(AuthenticationMethods(methods), AssuranceLevel(level), time(at));
                assert_eq!((made.methods().0, made.assurance().0, made.at()), (methods, level, time(at)));
            }
        }
        assert_eq!(Authentication::by_password(time(u64::MAX)).at(), time(MAX_TIME));
    }

    #[test]
    fn methods_are_stored_by_name_and_unknown_names_are_left_out() {
        assert_eq!(AuthenticationMethods::PASSWORD.to_string(), "pwd");
        assert_eq!(AuthenticationMethods::from_stored("pwd"), AuthenticationMethods::PASSWORD);
        assert_eq!(AuthenticationMethods::from_stored("face pwd"), AuthenticationMethods::PASSWORD);
        assert_eq!(AuthenticationMethods::from_stored("face").to_string(), "");
    }

    #[test]
    fn a_code_is_a_second_factor_beside_a_first_one_only() {
        use AuthenticationMethods as Methods;
        let (then, now) = (Timestamp::from_unix_seconds(1), Timestamp::from_unix_seconds(2));
        let passkey = Methods::POSSESSION_OF_KEY.and(Methods::USER_PRESENCE).and(Methods::MULTIPLE_FACTORS);
        for (methods, level, with, level_with, without) in [
            (Methods::PASSWORD, 1, "pwd otp mfa", 2, ("pwd", 1)),
            (Methods::ONE_TIME_CODE, 1, "otp mfa", 2, ("otp", 1)),
            (Methods::default(), 1, "", 1, ("", 1)),
            (passkey, 3, "otp mfa pop user", 3, ("mfa pop user", 3)),
        ] {
            let raised = Authentication::new(methods, AssuranceLevel(level), then).with_code(now);
            assert_eq!(
                (raised.methods().to_string().as_str(), raised.assurance().get(), raised.at()),
                (with, level_with, now)
            );
            assert_eq!(raised.with_code(now), raised, "a second code adds nothing");
            let lowered = raised.without_codes();
            assert_eq!((lowered.methods().to_string().as_str(), lowered.assurance().get()), without);
        }
    }

    #[test]
    fn a_stored_level_out_of_bounds_is_the_least() {
        let levels = [-1, 0, 1, 2, 3, 4, 257].map(|level| AssuranceLevel::from_stored(level).get());
        assert_eq!(levels, [1, 1, 1, 2, 3, 1, 1]);
    }
}
