//! Messages of `prepare-text` about its result: why no document is left, and warnings.

use std::collections::BTreeMap;

use super::language::UNDETERMINED;
use super::look::Look;
use super::options::PrepareOptions;
use super::output::{Target, TextCompression};
use super::quality::rules::Rule;
use super::read::options::{DocumentRule, ParagraphRule};
use super::read::raw::MAX_DOCUMENT;
use super::read::warc;
use super::summary::Summary;
use super::work::Gathered;
use crate::files::raw::size;
use crate::{Error, Result};

/// A single document larger than this many bytes is likely to be several.
const LONE_DOCUMENT: u64 = 1 << 20;

/// Completes the summary of a run, whose formats, warnings and written documents are known, with what was gathered.
///
/// # Errors
/// [`Error::Input`] if no document is left, or none is held out although some should be. A dry run gets a warning instead,
/// because it must show the counts and samples.
pub(super) fn conclude(
    summary: &mut Summary,
    gathered: Gathered,
    training: &Target,
    options: &PrepareOptions,
    is_dry_run: bool,
) -> Result<()> {
    let Gathered { counts, languages, without_stop_words, look, documents_read, text_bytes } = gathered;
    *summary = Summary { text_bytes, documents_read, languages, counts, ..std::mem::take(summary) };
    let refuse = |summary: &mut Summary, why: Option<String>| match why {
        Some(why) if is_dry_run => {
            summary.warnings.push(why);
            Ok(())
        }
        Some(why) => Err(Error::input(why)),
        None => Ok(()),
    };
    let why = nothing_left(summary, options);
    refuse(summary, why)?;
    warn(summary, &look, &without_stop_words, options);
    let why = none_held_out(summary, &look, options);
    refuse(summary, why)?;
    if options.eval_fraction == 0.0 {
        summary.warnings.extend(stale(training));
    }
    Ok(())
}

/// Returns a warning if there is a held-out set of an earlier command.
fn stale(training: &Target) -> Option<String> {
    let stale = training.held_out(None, TextCompression::Auto);
    let is_stale = stale.path().exists() || size(stale.path()).is_ok_and(|it| it.is_some());
    is_stale.then(|| {
        format!(
            "{} is from an earlier command; its documents may now be in the training text: remove it",
            stale.path().display()
        )
    })
}

/// Explains why no document is left, with the number of documents that each step dropped. Returns `None` if some are
/// left.
fn nothing_left(summary: &Summary, options: &PrepareOptions) -> Option<String> {
    if summary.kept.documents > 0 {
        return None;
    }
    let counts = &summary.counts;
    if summary.documents_read == 0 {
        let mut why = Vec::new();
        for (count, what) in [
            (
                counts.bad_records,
                ["record that could not be read (skip_bad=True)", "records that could not be read (skip_bad=True)"],
            ),
            (counts.redirects, ["redirect", "redirects"]),
            (counts.other_pages, ["page that is not an article", "pages that are not articles"]),
        ] {
            if count > 0 {
                why.push(format!("{count} {}", plural(count, what)));
            }
        }
        why.extend(warc::others(&counts.other_records));
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        let files = if summary.inputs == 1 { "1 file".to_owned() } else { format!("{} files", summary.inputs) };
        return Some(format!("the input ({files}) contains no document{why}"));
    }
    let clean = &options.clean;
    let mut dropped = vec![
        (counts.other_languages, "in other languages than those of `keep_language`".to_owned()),
        (counts.unknown_languages, "whose language was not recognized".to_owned()),
        (counts.empty_documents, "without text".to_owned()),
        (counts.short_documents, format!("shorter than min_document_chars={}", clean.min_document_chars)),
        (
            counts.few_sentences,
            format!("with fewer sentences than min_document_sentences={}", clean.min_document_sentences),
        ),
        (
            counts.non_letters,
            format!("with a larger fraction of non-letters than max_non_letters={}", clean.max_non_letters),
        ),
        (
            counts.duplicate_documents,
            format!("{} (dedup_documents=True)", plural(counts.duplicate_documents, ["duplicate", "duplicates"])),
        ),
        (
            counts.near_duplicate_documents,
            format!(
                "{} (dedup_near=True)",
                plural(counts.near_duplicate_documents, ["near-duplicate", "near-duplicates"])
            ),
        ),
        (summary.held_out.documents, format!("held out (eval_fraction={})", options.eval_fraction)),
    ];
    dropped.extend(Rule::ALL.map(|rule| (counts.quality.of(rule), format!("{} (quality='gopher')", rule.fault()))));
    dropped.retain(|(count, _)| *count > 0);
    dropped.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let documents: Vec<_> = dropped.into_iter().map(|(count, what)| format!("{count} {what}")).collect();
    let mut lines = Vec::new();
    for (count, what) in [
        (counts.boilerplate_lines, ["line that matches `boilerplate`", "lines that match `boilerplate`"]),
        (counts.letterless_lines, ["line without letters or digits", "lines without letters or digits"]),
        (
            if clean.drop_incomplete_sentences { counts.incomplete_sentences } else { 0 },
            [
                "incomplete sentence (drop_incomplete_sentences=True)",
                "incomplete sentences (drop_incomplete_sentences=True)",
            ],
        ),
        (counts.duplicate_lines, ["duplicate line (dedup_lines=True)", "duplicate lines (dedup_lines=True)"]),
    ] {
        if count > 0 {
            lines.push(format!("{count} {}", plural(count, what)));
        }
    }
    let also = if lines.is_empty() { String::new() } else { format!("; also dropped: {}", lines.join(", ")) };
    Some(format!("no document is left of {}; dropped: {}{also}", summary.documents_read, documents.join(", ")))
}

/// Says to how many documents the rule about stop words was not applied, by language.
fn without_stop_words(documents: &BTreeMap<String, u64>) -> Option<String> {
    let codes: Vec<_> = documents.keys().map(String::as_str).collect();
    let count: u64 = documents.values().sum();
    (count > 0).then(|| {
        format!(
            "the quality rule about stop words was not applied to {count} {}, because there is no list for their language \
             ({})",
            plural(count, ["document", "documents"]),
            codes.join(", ")
        )
    })
}

fn plural(count: u64, forms: [&'static str; 2]) -> &'static str {
    forms[usize::from(count != 1)]
}

/// Explains that no document is held out although some should be, and what to do.
fn none_held_out(summary: &Summary, look: &Look, options: &PrepareOptions) -> Option<String> {
    (options.eval_fraction > 0.0 && summary.held_out.documents == 0).then(|| {
        let count = summary.kept.documents;
        let documents = if count == 1 { "1 document".to_owned() } else { format!("{count} documents") };
        let rule =
            if look.hides_documents() { ", or documents='blank-line' if blank lines separate documents" } else { "" };
        format!(
            "eval_fraction={} holds out none of {documents}; pass a larger `eval_fraction`{rule}, or drop `eval_fraction`",
            options.eval_fraction
        )
    })
}

fn warn(summary: &mut Summary, look: &Look, no_stop_words: &BTreeMap<String, u64>, options: &PrepareOptions) {
    let advice = "pass documents='blank-line' if blank lines separate documents, or `document_separator`";
    let by_file = options.read.documents == DocumentRule::File && options.read.document_separator.is_none();
    let added = summary.counts.documents_cut;
    if added > 0 {
        summary.warnings.push(format!(
            "documents longer than {} MiB were split, which adds {added} {}; {advice}",
            MAX_DOCUMENT >> 20,
            plural(added, ["document", "documents"])
        ));
    } else if by_file
        && summary.documents_read == 1
        && (summary.text_bytes > LONE_DOCUMENT || look.hides_documents())
        && summary.formats.contains_key("text")
    {
        summary.warnings.push(format!("the whole text is one document, because it is one file; {advice}"));
    } else if by_file && look.hides_documents() {
        summary.warnings.push(format!(
            "each text file is one document, although blank lines divide the text into {} paragraphs; {advice}",
            look.paragraphs()
        ));
    }
    summary.notes.extend(without_stop_words(no_stop_words));
    let unknown = summary.languages.get(UNDETERMINED).copied().unwrap_or(0);
    if let Some(what) = look.mixed() {
        let documents = if by_file && summary.formats.contains_key("text") {
            " and documents='blank-line', if blank lines separate documents"
        } else {
            ""
        };
        summary.warnings.push(format!(
            "{what}; pass language='each'{documents}, or prepare the languages one by one with language=CODE"
        ));
    } else if unknown > 0
        && options.filters.keep_language.is_empty()
        && options.clean.sentences
        && options.clean.language != UNDETERMINED
    {
        summary.warnings.push(format!(
            "the language of {unknown} of {} was not recognized; pass language=CODE to recognize the abbreviations of \
             that language",
            if summary.documents_read == 1 {
                "1 document".to_owned()
            } else {
                format!("{} documents", summary.documents_read)
            }
        ));
    }
    let joins_text = options.read.document_separator.is_some() || options.read.documents == DocumentRule::File;
    let joins_all = options.read.paragraphs == ParagraphRule::BlankLine;
    if options.clean.join_hyphens && !joins_all && !(joins_text && summary.formats.contains_key("text")) {
        summary.warnings.push(
            "join_hyphens=True has no effect: each line of this input is a paragraph; pass paragraphs='blank-line' if \
             paragraphs span lines"
                .into(),
        );
    }
    if options.clean.drop_incomplete_sentences && !summary.formats.contains_key("mediawiki") {
        summary.warnings.push(
            "drop_incomplete_sentences=True has no effect: it applies only to MediaWiki dumps, and no input is one"
                .into(),
        );
    }
}
