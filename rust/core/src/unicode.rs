//! Properties of characters that several stages ask for.

use unicode_script::{Script, UnicodeScript};

/// Whether a script does not separate words by spaces (UAX #14 classes SA and ID).
pub(crate) fn is_written_without_spaces(c: char) -> bool {
    use Script::{
        Balinese, Bopomofo, Han, Hiragana, Javanese, Katakana, Khmer, Lao, Myanmar, New_Tai_Lue, Nushu, Tai_Le,
        Tai_Tham, Tai_Viet, Tangut, Thai, Tibetan, Yi,
    };
    matches!(
        c.script(),
        Balinese
            | Bopomofo
            | Han
            | Hiragana
            | Javanese
            | Katakana
            | Khmer
            | Lao
            | Myanmar
            | New_Tai_Lue
            | Nushu
            | Tai_Le
            | Tai_Tham
            | Tai_Viet
            | Tangut
            | Thai
            | Tibetan
            | Yi
    ) || c == 'ー'
}
