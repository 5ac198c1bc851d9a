//! Messages of `prepare-text` about its result: why no document is left, and warnings.

use super::language::UNDETERMINED;
use super::look::Look;
use super::options::PrepareOptions;
use super::read::options::{DocumentRule, ParagraphRule};
use super::read::raw::MAX_DOCUMENT;
use super::read::warc;
use super::summary::Summary;

/// A single document larger than this many bytes is likely to be several.
const LONE_DOCUMENT: u64 = 1 << 20;

/// Explains why no document is left, with the number of documents that each step dropped. Returns `None` if some are
/// left.
pub(super) fn nothing_left(summary: &Summary, options: &PrepareOptions) -> Option<String> {
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
                why.push(format!("{count} {}", what[usize::from(count != 1)]));
            }
        }
        why.extend(warc::others(&counts.other_records));
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        let files = if summary.inputs == 1 { "1 file".to_owned() } else { format!("{} files", summary.inputs) };
        return Some(format!("the input ({files}) holds no document{why}"));
    }
    let clean = &options.clean;
    let mut dropped = vec![
        (counts.empty_documents, "have no line of text".to_owned()),
        (counts.short_documents, format!("are shorter than min_document_chars={}", clean.min_document_chars)),
        (
            counts.few_sentences,
            format!("have fewer sentences than min_document_sentences={}", clean.min_document_sentences),
        ),
        (
            counts.non_letters,
            format!("have a larger fraction of non-letters than max_non_letters={}", clean.max_non_letters),
        ),
        (counts.duplicate_documents, "are duplicates (dedup_documents=True)".to_owned()),
        (summary.held_out.documents, format!("are held out (eval_fraction={})", options.eval_fraction)),
    ];
    dropped.retain(|(count, _)| *count > 0);
    dropped.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut reasons: Vec<_> = dropped.into_iter().map(|(count, what)| format!("{count} {what}")).collect();
    for (count, what) in [
        (counts.boilerplate_lines, "lines matched `boilerplate`"),
        (counts.letterless_lines, "lines had neither a letter nor a digit"),
        (
            if clean.drop_incomplete_sentences { counts.incomplete_sentences } else { 0 },
            "sentences were incomplete (drop_incomplete_sentences=True)",
        ),
        (counts.duplicate_lines, "lines were duplicates (dedup_lines=True)"),
    ] {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    }
    Some(format!("no document is left of {}: {}", summary.documents_read, reasons.join(", ")))
}

/// Explains that no document is held out although some should be, and what to do.
pub(super) fn none_held_out(summary: &Summary, look: &Look, options: &PrepareOptions) -> Option<String> {
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

pub(super) fn warn(summary: &mut Summary, look: &Look, options: &PrepareOptions) {
    let advice = "pass documents='blank-line' if blank lines separate documents, or `document_separator`";
    let by_file = options.read.documents == DocumentRule::File && options.read.document_separator.is_none();
    if summary.counts.documents_cut > 0 {
        summary.warnings.push(format!(
            "documents of more than {} MiB were cut into several, which makes {} more; {advice}",
            MAX_DOCUMENT >> 20,
            summary.counts.documents_cut
        ));
    } else if by_file
        && summary.documents_read == 1
        && (summary.text_bytes > LONE_DOCUMENT || look.hides_documents())
        && summary.formats.contains_key("text")
    {
        summary.warnings.push(format!("all of the text is one document, as it is one file; {advice}"));
    } else if by_file && look.hides_documents() {
        summary.warnings.push(format!(
            "each text file is one document, though blank lines divide them into {} paragraphs; {advice}",
            look.paragraphs()
        ));
    }
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
    } else if unknown > 0 && options.clean.sentences && options.clean.language != UNDETERMINED {
        summary.warnings.push(format!(
            "the language of {unknown} of {} was not recognized; pass language=CODE for its abbreviations",
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
            "no hyphen is joined: each line of this input is a paragraph; pass paragraphs='blank-line' if lines belong \
             together"
                .into(),
        );
    }
    if options.clean.drop_incomplete_sentences && !summary.formats.contains_key("mediawiki") {
        summary.warnings.push(
            "drop_incomplete_sentences=True has no effect: no input is a MediaWiki dump, from which templates are removed"
                .into(),
        );
    }
}
