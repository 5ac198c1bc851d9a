//! Kinds of characters that sentences, hyphens and wikitext are read by.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Whether a character is written on another: an accent, a vowel sign.
pub(in crate::prepare) fn is_combining(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether a character is part of a word: a letter, a digit, or what is written on them.
pub(in crate::prepare) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining(c)
}

/// Whether a sign ends a sentence.
pub(in crate::prepare) fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '．' | '｡' | '।' | '॥' | '؟' | '۔' | '։' | '።' | '။' | '។')
        || is_shad(c)
}

/// Whether a sign ends a sentence or a clause of Tibetan.
pub(in crate::prepare) fn is_shad(c: char) -> bool {
    matches!(c, '\u{F0D}'..='\u{F12}' | '\u{F14}')
}

/// Whether a quotation mark or a bracket may close what a sentence ends in. Those that open in one language close in
/// another: „so“, »so«.
pub(in crate::prepare) fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '›' | '“' | '‘' | '«' | '‹')
        || matches!(c, '）' | '］' | '｝' | '」' | '』' | '】' | '》' | '〉' | '〕' | '〗' | '〙' | '｣')
}
