//! Classes of characters, shared by the code for sentences, hyphens and wikitext.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Whether a character is written onto another, such as an accent or a vowel sign.
pub(in crate::prepare) fn is_combining(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether a character is part of a word: a letter, a digit, or a mark on one.
pub(in crate::prepare) fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || is_combining(c)
}

pub(in crate::prepare) fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '．' | '｡' | '।' | '॥' | '؟' | '۔' | '։' | '።' | '။' | '។')
        || is_shad(c)
}

/// Whether a character ends a Tibetan sentence or clause.
pub(in crate::prepare) fn is_shad(c: char) -> bool {
    matches!(c, '\u{F0D}'..='\u{F12}' | '\u{F14}')
}

/// Whether a quotation mark or bracket may follow the end of a sentence. Some marks close in one language and open in
/// another: „so“, »so«.
pub(in crate::prepare) fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '›' | '“' | '‘' | '«' | '‹')
        || matches!(c, '）' | '］' | '｝' | '」' | '』' | '】' | '》' | '〉' | '〕' | '〗' | '〙' | '｣')
}
