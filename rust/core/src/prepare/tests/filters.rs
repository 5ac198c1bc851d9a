//! Properties of the filters by language and quality on any documents.

use proptest::prelude::*;

use super::{Case, json_line};
use crate::prepare::filters::FilterOptions;
use crate::prepare::options::Reason;
use crate::prepare::quality::rules::{Quality, Rule};
use crate::prepare::summary::Counts;

const SENTENCES: [&str; 8] = [
    "The committee met on Tuesday and decided that nothing would change.",
    "Der Ausschuss traf sich am Dienstag und beschloss nichts.",
    "委员会星期二开会决定在冬天之前不作任何改变。",
    "- item",
    "And so on...",
    "# # #",
    "12 34 56",
    "",
];

fn documents() -> impl Strategy<Value = Vec<String>> {
    let sentence = prop_oneof![prop::sample::select(&SENTENCES[..]).prop_map(str::to_owned), "\\PC{0,40}"];
    let document = prop::collection::vec((sentence, "[ \n]{1,2}"), 0..12)
        .prop_map(|parts| parts.into_iter().map(|(text, space)| text + &space).collect::<String>());
    prop::collection::vec(document, 1..12)
}

/// Returns the documents that are kept, and the counts.
fn run(texts: &[String], filters: FilterOptions, threads: usize) -> (Vec<String>, Counts) {
    let texts: String = texts.iter().map(|text| json_line(text)).collect();
    // The last document passes every filter, because a corpus must not be empty.
    let mut case = Case::new(&[("a.jsonl", &format!("{texts}{}", json_line(super::ENGLISH)))]);
    case.options.dedup_documents = false;
    case.options.filters = filters;
    let counts = case.run_with(threads, None, &mut crate::NoProgress).unwrap().counts;
    (case.text().split_terminator("\n\n").map(str::to_owned).collect(), counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn without_rules_nothing_changes(texts in documents()) {
        let plain = run(&texts, FilterOptions::default(), 1);
        let none = FilterOptions { min_language_confidence: 1.0, ..FilterOptions::default() };
        prop_assert_eq!(&run(&texts, none, 1), &plain);
    }

    #[test]
    fn rules_only_drop_documents_and_count_each_of_them(
        texts in documents(),
        quality_skip in prop::sample::subsequence(Rule::ALL.to_vec(), 0..11),
        languages in prop::sample::subsequence(vec!["en", "de", "zh"], 0..4),
    ) {
        let plain = run(&texts, FilterOptions::default(), 1);
        let keep_language: Vec<_> = languages.into_iter().chain(["en"]).map(str::to_owned).collect();
        for keep_language in [Vec::new(), keep_language] {
            let filters = FilterOptions {
                keep_language,
                quality: Quality::Gopher,
                quality_skip: quality_skip.clone(),
                ..FilterOptions::default()
            };
            let (kept, counts) = run(&texts, filters.clone(), 1);
            prop_assert_eq!(&run(&texts, filters, 3), &(kept.clone(), counts));
            let by_rule: u64 = Rule::ALL.iter().map(|rule| counts.quality.of(*rule)).sum();
            let dropped = by_rule + counts.other_languages + counts.unknown_languages + counts.empty_documents;
            prop_assert_eq!(kept.len() as u64 + dropped, texts.len() as u64 + 1);
            for rule in &quality_skip {
                prop_assert_eq!(counts.quality.of(*rule), 0);
            }
            let mut all = plain.0.iter();
            for document in &kept {
                prop_assert!(all.any(|other| other == document), "kept in the same order: {:?}", document);
            }
        }
    }
}

#[test]
fn a_dry_run_has_samples_of_what_the_filters_drop() {
    let texts =
        [super::ENGLISH, "Der Ausschuss traf sich am Dienstag und beschloss nichts.", "12 34", "The cat of cats."];
    let mut case = Case::new(&[("a.jsonl", &texts.map(json_line).concat())]);
    case.options.filters =
        FilterOptions { keep_language: vec!["en".into()], quality: Quality::Gopher, ..FilterOptions::default() };
    case.options.filters.min_language_confidence = 0.0;
    case.dry_run = true;
    let summary = case.run().unwrap();
    assert_eq!(summary.samples[&Reason::OtherLanguages], [texts[1]]);
    assert_eq!(summary.samples[&Reason::UnknownLanguages], [texts[2]]);
    assert_eq!(summary.samples[&Reason::Quality(Rule::Words)], [format!("{}\n", texts[3]).trim_end()]);
    assert_eq!((summary.kept.documents, summary.counts.quality.of(Rule::Words)), (1, 1));
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["samples"]["quality_words"][0], texts[3]);
    assert_eq!(json["counts"]["quality_words"], 1);
}

#[test]
fn rules_to_skip_need_rules_that_are_left() {
    let error = |quality, quality_skip| {
        let error = FilterOptions { quality, quality_skip, ..FilterOptions::default() }.check().unwrap_err();
        assert_eq!(error.facts().option, Some("quality_skip"));
        error.to_string()
    };
    assert_eq!(
        error(Quality::None, vec![Rule::Words]),
        "quality_skip has no effect without quality='gopher'; pass quality='gopher', or no `quality_skip`"
    );
    assert_eq!(
        error(Quality::Gopher, Rule::ALL.to_vec()),
        "quality_skip names all rules of quality='gopher', so that none is left; pass fewer rules, or neither `quality` nor \
         `quality_skip`"
    );
    let all_but_one =
        FilterOptions { quality: Quality::Gopher, quality_skip: Rule::ALL[1..].into(), ..FilterOptions::default() };
    all_but_one.check().unwrap();
}
