//! The lines of a paragraph put together, and the hyphens at their ends.
//!
//! A soft hyphen at a line's end is the half of a word in any text, so it always goes. Other hyphens are joined only if
//! that is asked for: whether a hyphen belongs to the word is a guess, by what stands around it.

mod clitics;
#[cfg(test)]
mod tests;

use super::sentences::{is_combining, is_of_word, is_wide_mark};
use crate::unicode::is_written_without_spaces;

/// Bytes before a hyphen in which its word is looked for.
const LOOK_BACK: usize = 128;

/// The invisible hyphen that marks where a word may be broken.
const SOFT: char = '\u{AD}';

/// Hyphens at the ends of lines: that of keyboards, Unicode's own, the Armenian one, those of Fraktur, and the sign that
/// text recognition puts there.
const HYPHENS: [char; 6] = ['-', '\u{2010}', '\u{58A}', '\u{2E17}', '\u{2E40}', '¬'];

/// The one that stands for a hyphen only.
const RECOGNIZED: char = '¬';

/// What a hyphen at a line's end stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hyphen {
    /// The line break: it goes, and the halves are joined.
    OfTheBreak,
    /// The word: it stays, and the next line follows it without a space, as in Schleswig-Holstein.
    OfTheWord,
    /// A word that is left out, as in "Haupt- und Nebenwege", or a dash: it stays, and so does the space.
    Open,
}

/// Appends the next line of a paragraph in `language`: after a space, but for scripts that are written without, and for
/// hyphens. True if a hyphen joined the two.
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

/// What the hyphen between `head` and `line` stands for.
fn kind(head: &str, line: &str, language: &str) -> Hyphen {
    let near = &head[head.ceil_char_boundary(head.len().saturating_sub(LOOK_BACK))..];
    let (Some(before), Some(after)) = (near.chars().next_back(), line.chars().next()) else { return Hyphen::Open };
    if !is_of_word(before) || !after.is_alphanumeric() {
        return Hyphen::Open;
    }
    let word = line.split(|c: char| !is_of_word(c)).next().unwrap_or_default();
    let token = &near[near.rfind(char::is_whitespace).map_or(0, |space| space + 1)..];
    let part = token.rsplit(|c: char| !is_of_word(c)).next().unwrap_or_default();
    let in_capitals = is_in_capitals(part) && is_in_capitals(word);
    // A text in capitals has its conjunctions in capitals too.
    let is_capital_word = is_in_capitals(part) && !word.contains(char::is_lowercase);
    let small_word = if is_capital_word { word.to_lowercase() } else { word.to_owned() };
    if conjunctions(language).contains(&small_word.as_str()) {
        return Hyphen::Open;
    }
    let is_address = token.contains("://") || token.contains('@') || token.starts_with("www.");
    // A word is never broken after its first letter. Short words within a compound are its own: mother-in-law.
    let is_inner = token.len() > part.len() && token[..token.len() - part.len()].ends_with(HYPHENS);
    let letters = part.chars().filter(|c| c.is_alphanumeric()).count();
    if is_address || !before.is_alphabetic() && !is_combining(before) || letters < 2 || (is_inner && letters < 4) {
        return Hyphen::OfTheWord;
    }
    if clitics::keep_hyphen(&part.to_lowercase(), &small_word, language) {
        return Hyphen::OfTheWord;
    }
    if in_capitals {
        // Numbers, as of centuries: XIX-XX.
        let is_number = |word: &str| word.bytes().all(|b| b"IVXLCDM".contains(&b));
        return if is_number(part) && is_number(word) { Hyphen::OfTheWord } else { Hyphen::OfTheBreak };
    }
    // What follows an abbreviation in capitals is its ending: DVD-ul.
    let is_break = (after.is_lowercase() && !is_in_capitals(part)) || is_indic(after);
    if is_break { Hyphen::OfTheBreak } else { Hyphen::OfTheWord }
}

/// Whether a word has several letters, all of them capitals.
fn is_in_capitals(word: &str) -> bool {
    word.chars().filter(|c| c.is_uppercase()).nth(1).is_some()
        && !word.contains(|c: char| c.is_lowercase() || c.is_numeric())
}

/// Scripts that are hyphenated and have no capitals.
fn is_indic(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{DFF}')
}

/// The words before which a hyphen stands for a part that the next word has too.
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
        // What is not known may be any of these.
        _ => &["und", "oder", "and", "or", "et", "ou", "och", "og", "y", "e", "i", "и", "или"],
    }
}
