//! Joins the lines of a paragraph, and the words hyphenated at their ends.
//!
//! A soft hyphen at the end of a line always breaks a word, in any text, so it is always removed. Other hyphens are
//! joined only on request. Whether such a hyphen belongs to the word is a guess from its surroundings.

mod clitics;
#[cfg(test)]
mod tests;

use super::sentences::{is_combining, is_wide_mark, is_word_character};
use crate::unicode::is_written_without_spaces;

/// How many bytes before a hyphen to search for the beginning of its word.
const LOOK_BACK: usize = 128;

/// The invisible hyphen that marks where a word may be broken.
const SOFT: char = '\u{AD}';

/// Hyphens at line ends: the keyboard's, Unicode's, the Armenian one, those of Fraktur, and the sign that OCR programs
/// write.
const HYPHENS: [char; 6] = ['-', '\u{2010}', '\u{58A}', '\u{2E17}', '\u{2E40}', '¬'];

/// The sign for a hyphen in OCR output. It is never part of the text itself.
const RECOGNIZED: char = '¬';

/// What a hyphen at the end of a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hyphen {
    /// The line break: the hyphen is removed, and the halves are joined.
    OfTheBreak,
    /// The word: the hyphen is kept, and the next line follows without a space, as in Schleswig-Holstein.
    OfTheWord,
    /// An omitted part of a word, as in "Haupt- und Nebenwege", or a dash: the hyphen and the space are kept.
    Open,
}

/// Appends the next line of a paragraph in `language`. Inserts a space, except in scripts written without spaces and
/// after some hyphens. Returns whether a hyphen joined the two lines.
pub(super) fn join(paragraph: &mut String, line: &str, language: &str, join_hyphens: bool) -> bool {
    if let Some(head) = paragraph.strip_suffix(SOFT)
        && head.ends_with(char::is_alphanumeric)
        && line.starts_with(char::is_alphanumeric)
    {
        paragraph.truncate(head.len());
        paragraph.push_str(line);
        return true;
    }
    if join_hyphens && let Some(head) = paragraph.strip_suffix(HYPHENS) {
        let (end, kind) = (head.len(), kind(head, line, language));
        if paragraph.ends_with(RECOGNIZED) && head.ends_with(char::is_alphanumeric) {
            paragraph.truncate(end);
            paragraph.push('-');
        }
        match kind {
            Hyphen::OfTheBreak => paragraph.truncate(end),
            Hyphen::OfTheWord => {}
            Hyphen::Open => {
                add_after_space(paragraph, line);
                return false;
            }
        }
        paragraph.push_str(line);
        return true;
    }
    add_after_space(paragraph, line);
    false
}

fn add_after_space(paragraph: &mut String, line: &str) {
    let touches = |c: Option<char>| c.is_some_and(is_written_without_spaces);
    let between_such = |c: Option<char>| c.is_some_and(|c| is_written_without_spaces(c) || is_wide_mark(c));
    let (last, first) = (paragraph.chars().next_back(), line.chars().next());
    let without = (touches(last) && between_such(first)) || (between_such(last) && touches(first));
    if !paragraph.is_empty() && !without {
        paragraph.push(' ');
    }
    paragraph.push_str(line);
}

/// Guesses what the hyphen between `head` and `line` belongs to.
fn kind(head: &str, line: &str, language: &str) -> Hyphen {
    let near = &head[head.ceil_char_boundary(head.len().saturating_sub(LOOK_BACK))..];
    let (Some(before), Some(after)) = (near.chars().next_back(), line.chars().next()) else { return Hyphen::Open };
    if !is_word_character(before) || !after.is_alphanumeric() {
        return Hyphen::Open;
    }
    let word = line.split(|c: char| !is_word_character(c)).next().unwrap_or_default();
    let token = &near[near.rfind(char::is_whitespace).map_or(0, |space| space + 1)..];
    let part = token.rsplit(|c: char| !is_word_character(c)).next().unwrap_or_default();
    let in_capitals = is_in_capitals(part) && is_in_capitals(word);
    // In a text set in capitals, conjunctions are capitals too.
    let is_capital_word = is_in_capitals(part) && !word.contains(char::is_lowercase);
    let small_word = if is_capital_word { word.to_lowercase() } else { word.to_owned() };
    if conjunctions(language).contains(&small_word.as_str()) {
        return Hyphen::Open;
    }
    let is_address = token.contains("://") || token.contains('@') || token.starts_with("www.");
    // A word is never broken after its first letter. Short words inside a compound are its own parts: mother-in-law.
    let is_inner = token.len() > part.len() && token[..token.len() - part.len()].ends_with(HYPHENS);
    let letters = part.chars().filter(|c| c.is_alphanumeric()).count();
    if is_address || !before.is_alphabetic() && !is_combining(before) || letters < 2 || (is_inner && letters < 4) {
        return Hyphen::OfTheWord;
    }
    if clitics::keep_hyphen(&part.to_lowercase(), &small_word, language) {
        return Hyphen::OfTheWord;
    }
    if in_capitals {
        // Roman numerals, for example centuries: XIX-XX.
        let is_number = |word: &str| word.bytes().all(|b| b"IVXLCDM".contains(&b));
        return if is_number(part) && is_number(word) { Hyphen::OfTheWord } else { Hyphen::OfTheBreak };
    }
    // After an abbreviation in capitals, the rest is an ending: DVD-ul.
    let is_break = (after.is_lowercase() && !is_in_capitals(part)) || is_indic(after);
    if is_break { Hyphen::OfTheBreak } else { Hyphen::OfTheWord }
}

/// Whether a word has several letters, and all are capitals.
fn is_in_capitals(word: &str) -> bool {
    word.chars().filter(|c| c.is_uppercase()).nth(1).is_some()
        && !word.contains(|c: char| c.is_lowercase() || c.is_numeric())
}

/// Whether a script is hyphenated and has no capitals.
fn is_indic(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{DFF}')
}

/// Words after a hyphen that stands for a part of the following word: "Haupt- und Nebenwege".
fn conjunctions(language: &str) -> &'static [&'static str] {
    match language {
        "de" | "gsw" | "nds" | "lb" => &["und", "oder", "bzw", "beziehungsweise", "sowie", "bis", "u", "o", "an"],
        "en" => &["and", "or", "nor", "to", "versus", "vs"],
        "fr" => &["et", "ou", "ni"],
        "nl" | "af" => &["en", "of", "tot"],
        "sv" => &["och", "eller", "till", "samt"],
        "da" | "nb" | "nn" | "no" | "fo" => &["og", "eller", "til", "samt"],
        "is" => &["og", "eða"],
        "fi" => &["ja", "tai", "sekä", "eli"],
        "et" => &["ja", "või"],
        "hu" => &["és", "vagy", "illetve"],
        "es" | "gl" => &["y", "e", "o", "u", "ou", "ni"],
        "pt" => &["e", "ou", "nem"],
        "it" => &["e", "ed", "o", "od", "né"],
        "ca" => &["i", "o", "ni"],
        "ro" => &["și", "şi", "sau"],
        "pl" => &["i", "oraz", "lub", "albo", "czy"],
        "cs" | "sk" => &["a", "i", "nebo", "alebo", "či", "až"],
        "bs" | "hr" | "sh" | "sr" => &["i", "ili", "и", "или"],
        "sl" => &["in", "ali"],
        "lt" => &["ir", "ar", "arba"],
        "lv" => &["un", "vai"],
        "ru" | "be" => &["и", "или", "либо", "і", "або"],
        "uk" => &["і", "й", "та", "або", "чи"],
        "bg" | "mk" => &["и", "или"],
        "el" => &["και", "ή"],
        "tr" | "az" => &["ve", "veya", "ya", "və"],
        "hy" => &["և", "կամ"],
        // An unknown language may be any of these.
        _ => &["und", "oder", "and", "or", "et", "ou", "och", "og", "y", "e", "i", "и", "или"],
    }
}
