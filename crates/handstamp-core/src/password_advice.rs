//! The reasons why a password is easy to guess, and the advice for a better one, as keys.

use zxcvbn::feedback::{Feedback, Suggestion, Warning};

/// A reason why a password is easy to guess, or an advice for a better one. Words for it are for the caller to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordAdvice {
    /// It is a row of keys of the keyboard.
    KeyboardRow,
    /// It is a short pattern of keys of the keyboard.
    KeyboardPattern,
    /// It repeats one character.
    RepeatedCharacter,
    /// It repeats a short part.
    RepeatedPart,
    /// It is one of the ten most used passwords.
    TopTen,
    /// It is one of the hundred most used passwords.
    TopHundred,
    /// Many people use it.
    Common,
    /// It is similar to a password that many people use.
    SimilarToCommon,
    /// It is a sequence, such as abcd or 6543.
    Sequence,
    /// It is a recent year.
    RecentYear,
    /// It is a single word.
    SingleWord,
    /// It is a date.
    Date,
    /// It is a name.
    NameAlone,
    /// It is a common name.
    CommonName,
    /// Use several words that are no common phrase.
    UseSeveralWords,
    /// Signs, digits and capital letters are not needed.
    LettersAreEnough,
    /// Add one or two words, better uncommon ones.
    AddWords,
    /// A capital letter helps little.
    CapitalsHelpLittle,
    /// Capital letters throughout help little.
    AllCapitalsHelpLittle,
    /// A word backwards helps little.
    ReversedWordsHelpLittle,
    /// Signs in place of letters, such as @ for a, help little.
    SubstitutionsHelpLittle,
    /// Use a longer pattern of keys with more turns.
    LongerKeyboardPattern,
    /// Avoid repeated words and characters.
    AvoidRepeats,
    /// Avoid sequences.
    AvoidSequences,
    /// Avoid recent years.
    AvoidRecentYears,
    /// Avoid years that have to do with you.
    AvoidOwnYears,
    /// Avoid dates and years that have to do with you.
    AvoidOwnDates,
}

impl PasswordAdvice {
    /// Every reason and every advice.
    pub const ALL: [Self; 27] = [
        Self::KeyboardRow,
        Self::KeyboardPattern,
        Self::RepeatedCharacter,
        Self::RepeatedPart,
        Self::TopTen,
        Self::TopHundred,
        Self::Common,
        Self::SimilarToCommon,
        Self::Sequence,
        Self::RecentYear,
        Self::SingleWord,
        Self::Date,
        Self::NameAlone,
        Self::CommonName,
        Self::UseSeveralWords,
        Self::LettersAreEnough,
        Self::AddWords,
        Self::CapitalsHelpLittle,
        Self::AllCapitalsHelpLittle,
        Self::ReversedWordsHelpLittle,
        Self::SubstitutionsHelpLittle,
        Self::LongerKeyboardPattern,
        Self::AvoidRepeats,
        Self::AvoidSequences,
        Self::AvoidRecentYears,
        Self::AvoidOwnYears,
        Self::AvoidOwnDates,
    ];

    /// The feedback of the strength estimate: the reason first, if there is one.
    pub(crate) fn of(feedback: &Feedback) -> Vec<Self> {
        let reason = feedback.warning().map(Self::from);
        reason.into_iter().chain(feedback.suggestions().iter().copied().map(Self::from)).collect()
    }
}

impl From<Warning> for PasswordAdvice {
    fn from(warning: Warning) -> Self {
        match warning {
            Warning::StraightRowsOfKeysAreEasyToGuess => Self::KeyboardRow,
            Warning::ShortKeyboardPatternsAreEasyToGuess => Self::KeyboardPattern,
            Warning::RepeatsLikeAaaAreEasyToGuess => Self::RepeatedCharacter,
            Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => Self::RepeatedPart,
            Warning::ThisIsATop10Password => Self::TopTen,
            Warning::ThisIsATop100Password => Self::TopHundred,
            Warning::ThisIsACommonPassword => Self::Common,
            Warning::ThisIsSimilarToACommonlyUsedPassword => Self::SimilarToCommon,
            Warning::SequencesLikeAbcAreEasyToGuess => Self::Sequence,
            Warning::RecentYearsAreEasyToGuess => Self::RecentYear,
            Warning::AWordByItselfIsEasyToGuess => Self::SingleWord,
            Warning::DatesAreOftenEasyToGuess => Self::Date,
            Warning::NamesAndSurnamesByThemselvesAreEasyToGuess => Self::NameAlone,
            Warning::CommonNamesAndSurnamesAreEasyToGuess => Self::CommonName,
        }
    }
}

impl From<Suggestion> for PasswordAdvice {
    fn from(suggestion: Suggestion) -> Self {
        match suggestion {
            Suggestion::UseAFewWordsAvoidCommonPhrases => Self::UseSeveralWords,
            Suggestion::NoNeedForSymbolsDigitsOrUppercaseLetters => Self::LettersAreEnough,
            Suggestion::AddAnotherWordOrTwo => Self::AddWords,
            Suggestion::CapitalizationDoesntHelpVeryMuch => Self::CapitalsHelpLittle,
            Suggestion::AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase => Self::AllCapitalsHelpLittle,
            Suggestion::ReversedWordsArentMuchHarderToGuess => Self::ReversedWordsHelpLittle,
            Suggestion::PredictableSubstitutionsDontHelpVeryMuch => Self::SubstitutionsHelpLittle,
            Suggestion::UseALongerKeyboardPatternWithMoreTurns => Self::LongerKeyboardPattern,
            Suggestion::AvoidRepeatedWordsAndCharacters => Self::AvoidRepeats,
            Suggestion::AvoidSequences => Self::AvoidSequences,
            Suggestion::AvoidRecentYears => Self::AvoidRecentYears,
            Suggestion::AvoidYearsThatAreAssociatedWithYou => Self::AvoidOwnYears,
            Suggestion::AvoidDatesAndYearsThatAreAssociatedWithYou => Self::AvoidOwnDates,
        }
    }
}
