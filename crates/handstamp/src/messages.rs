//! The words of all messages to users, in English. Pages, the API and the errors of the library take them from here.

use std::fmt;

use handstamp_core::{DisplayName, EmailError, NameError, Password, PasswordAdvice, PasswordError};

use crate::model::{GROUPS_PER_USER, Message};

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(error) => email(error, f),
            Self::EmailTaken => f.write_str("This e-mail address already has an account. You can sign in instead."),
            Self::Name(NameError::Empty) => f.write_str("Enter your name."),
            Self::Name(NameError::TooLong) => write!(f, "Use at most {} characters.", DisplayName::MAX_LENGTH),
            Self::Name(NameError::ControlCharacter) => {
                f.write_str("Leave out line breaks and other invisible characters.")
            }
            Self::NewPassword(PasswordError::TooShort { min_length }) => {
                write!(f, "Use at least {min_length} characters.")
            }
            Self::NewPassword(PasswordError::Guessable { advice }) => {
                f.write_str("This password is easy to guess.")?;
                advice.iter().try_for_each(|advice| write!(f, " {}", words_of(*advice)))
            }
            Self::NewPassword(PasswordError::Common) => {
                f.write_str("This is one of the most common passwords. Choose another one.")
            }
            Self::NewPassword(PasswordError::Breached) => f.write_str(
                "This password is in a list of passwords from data breaches, or our check cannot tell it from one of them. \
                 Choose another one.",
            ),
            Self::PasswordTooLong => write!(f, "Use at most {} characters.", Password::MAX_LENGTH),
            Self::WrongCredentials => f.write_str("The e-mail address or the password is wrong."),
            Self::WrongCurrentPassword => f.write_str("This is not your current password."),
            Self::WrongPassword => f.write_str("This is not your password."),
            Self::WrongCode => {
                f.write_str("This code is wrong or no longer valid. After five wrong codes you need a new mail.")
            }
            Self::WrongFactorCode => f.write_str(
                "This code is wrong, or was used before. Type the newest code of the app, and check that the clock of your phone is right.",
            ),
            Self::HasSecondFactor => f.write_str("The user has a second factor. Send them to the sign-in page."),
            Self::NoSecondFactor => f.write_str("Set up an authenticator app first."),
            Self::TryAgain => f.write_str("That did not work. Try again later."),
            Self::FactorRequired => f.write_str("Confirm with a code of your authenticator app, a recovery code or a passkey."),
            Self::EmailUnchanged => f.write_str("This is your address already."),
            Self::NoMail => f.write_str("This site sends no mail. Ask the people who run it."),
            Self::LinkInvalid => f.write_str("This link is no longer valid."),
            Self::PasskeyRefused => f.write_str("This passkey was not accepted. Try again, or use another way."),
            Self::PasskeyExpired => f.write_str("That took too long. Please try again."),
            Self::PasskeyUnverified => f.write_str(
                "This passkey did not ask for your PIN, fingerprint or face. To sign in with it alone, set one up on the device that \
                 has it.",
            ),
            Self::PasskeyTaken => f.write_str("This passkey is in use already."),
            Self::TooManyPasskeys => f.write_str("An account has at most 20 passkeys. Remove one that you do not use any more."),
            Self::LastIdentity => f.write_str(
                "Without this you could not sign in any more. Set a password or add a passkey first.",
            ),
            Self::NoSuchProvider => f.write_str("There is no such way to sign in here."),
            Self::LastWayIn => f.write_str(
                "Without this passkey you could not sign in any more. Set a password or add another passkey first.",
            ),
            Self::ReauthenticationRequired => f.write_str("Confirm first that it is you."),
            Self::GroupName(error) => error.fmt(f),
            Self::TooManyGroups => write!(f, "An account is in {GROUPS_PER_USER} groups at most."),
            Self::RegistrationClosed => f.write_str("Registration is closed."),
            Self::UserDisabled => f.write_str("This account is disabled."),
            Self::NoSuchUser => f.write_str("there is no account of that address"),
            Self::NoSuchSession => f.write_str("there is no such session"),
            Self::OwnAccount => f.write_str(
                "This is your own account, and you could lock yourself out. Use the pages of your account, or ask another administrator.",
            ),
            Self::LastAdministrator => f.write_str(
                "This is the last member of the group admins who can sign in. Add another user to the group first.",
            ),
            Self::NoMailForOperators => {
                f.write_str("This site sends no mail. The command handstamp user prints links instead.")
            }
            Self::NoFactors => f.write_str("There is no second factor and no passkey."),
            Self::NoSessions => f.write_str("The user is signed in nowhere."),
            Self::NoAccount => f.write_str("There is no account of this address."),
            Self::TimeMalformed => f.write_str("Enter a date and a time, such as 2027-01-15T08:00."),
            Self::OtherAddress => f.write_str("This is not the address of this account."),
        }
    }
}

fn email(error: &EmailError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        EmailError::Empty => f.write_str("Enter your e-mail address."),
        EmailError::TooLong => f.write_str("This e-mail address is too long."),
        EmailError::Invisible => f.write_str(
            "There is an invisible character in this e-mail address. Type it instead of pasting it, as in name@example.com.",
        ),
        EmailError::NotAscii(c) if !c.is_whitespace() && !c.is_control() => write!(
            f,
            "An e-mail address cannot have “{c}” before the @ here. Use letters from a to z, digits and signs, as in name@example.com."
        ),
        EmailError::Malformed | EmailError::NotAscii(_) => {
            f.write_str("Enter an e-mail address such as name@example.com.")
        }
    }
}

fn words_of(advice: PasswordAdvice) -> &'static str {
    match advice {
        PasswordAdvice::KeyboardRow => "It is a row of keys of the keyboard.",
        PasswordAdvice::KeyboardPattern => "It is a short pattern of keys of the keyboard.",
        PasswordAdvice::RepeatedCharacter => "It repeats one character.",
        PasswordAdvice::RepeatedPart => "It repeats a short part.",
        PasswordAdvice::TopTen => "It is one of the ten most used passwords.",
        PasswordAdvice::TopHundred => "It is one of the hundred most used passwords.",
        PasswordAdvice::Common => "Many people use it.",
        PasswordAdvice::SimilarToCommon => "It is similar to a password that many people use.",
        PasswordAdvice::Sequence => "It is a sequence, such as abcd or 6543.",
        PasswordAdvice::RecentYear => "It is a recent year.",
        PasswordAdvice::SingleWord => "It is a single word.",
        PasswordAdvice::Date => "It is a date.",
        PasswordAdvice::NameAlone => "It is a name.",
        PasswordAdvice::CommonName => "It is a common name.",
        PasswordAdvice::UseSeveralWords => "Use several words that are no common phrase.",
        PasswordAdvice::LettersAreEnough => "Signs, digits and capital letters are not needed.",
        PasswordAdvice::AddWords => "Add one or two words, better uncommon ones.",
        PasswordAdvice::CapitalsHelpLittle => "A capital letter helps little.",
        PasswordAdvice::AllCapitalsHelpLittle => "Capital letters throughout help little.",
        PasswordAdvice::ReversedWordsHelpLittle => "A word backwards helps little.",
        PasswordAdvice::SubstitutionsHelpLittle => "Signs in place of letters, such as @ for a, help little.",
        PasswordAdvice::LongerKeyboardPattern => "Use a longer pattern of keys with more turns.",
        PasswordAdvice::AvoidRepeats => "Avoid repeated words and characters.",
        PasswordAdvice::AvoidSequences => "Avoid sequences.",
        PasswordAdvice::AvoidRecentYears => "Avoid recent years.",
        PasswordAdvice::AvoidOwnYears => "Avoid years that have to do with you.",
        PasswordAdvice::AvoidOwnDates => "Avoid dates and years that have to do with you.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advice_for_a_password_has_words() {
        assert!(PasswordAdvice::ALL.iter().all(|advice| words_of(*advice).ends_with('.')));
    }
}
