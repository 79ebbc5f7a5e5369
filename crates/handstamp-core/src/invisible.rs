//! The visibility of Unicode characters, which decides what names and addresses may contain.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// Whether a character is not displayed: zero-width spaces, soft hyphens, fillers, tags, marks of direction
/// (`Default_Ignorable_Code_Point`, Unicode Standard §5.21).
pub(crate) fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether an ignorable character shapes its neighbours, as some names need: joiners and variation selectors, in Persian,
/// Malayalam, Japanese and emoji among others.
pub(crate) fn is_shaping(c: char) -> bool {
    matches!(c, '\u{034F}' | '\u{180B}'..='\u{180D}' | '\u{180F}' | '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Whether a character would be visible in print. The blank pattern of Braille is not, though Unicode counts it as a symbol.
pub(crate) fn is_visible(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !is_ignorable(c) && c != '\u{2800}'
}
