//! QR codes as inline SVG (ISO/IEC 18004).

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// The most bytes of a text. A version 40 code of level M takes 2,331 of them; a code that a camera reads easily takes fewer.
const MAX_BYTES: usize = 1000;

/// The code of a text as an `<svg>` element; empty for a text that is too long.
pub(super) fn svg(text: &str) -> String {
    if text.len() > MAX_BYTES {
        return String::new();
    }
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else { return String::new() };
    let svg = code.render::<svg::Color<'_>>().min_dimensions(200, 200).build();
    // An element within a page has no XML declaration.
    svg.find("<svg").map_or_else(String::new, |start| svg[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_an_element_without_style_or_script() {
        let svg = svg("otpauth://totp/Notes:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Notes");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("style") && !svg.contains("script") && !svg.contains("GEZDGNBV"));
        assert_eq!(super::svg(&"a".repeat(MAX_BYTES + 1)), "");
    }
}
