//! Each rule has a document that just passes and one that just fails. The limits are computed by hand.

use super::rules::{Quality, QualityCounts};
use super::*;
use crate::prepare::filters::FilterOptions;

/// Whether a document breaks a rule, if no other rule is applied.
fn breaks(rule: Rule, text: &str, language: &str) -> bool {
    let options = FilterOptions {
        quality: Quality::Gopher,
        quality_skip: Rule::ALL.into_iter().filter(|other| *other != rule).collect(),
        ..FilterOptions::default()
    };
    let mut judge = Judge::new(options.rules()).unwrap();
    // What is left of a document before must not matter.
    judge.begin();
    for line in ["# ...", "# ...", "", "# ..."] {
        judge.line(line);
    }
    judge.fault("a b a b a b the of # …", "en");
    judge.begin();
    text.lines().for_each(|line| judge.line(line.trim()));
    judge.fault(text, language).is_some()
}

fn check(rule: Rule, passes: &str, fails: &str) {
    assert!(!breaks(rule, passes, "en"), "{rule:?} passes: {passes:?}");
    assert!(breaks(rule, fails, "en"), "{rule:?} fails: {fails:?}");
}

/// Returns different words with this many characters in total.
fn filler(first: char, chars: usize) -> String {
    let mut words: Vec<_> = (0..chars / 4)
        .map(|index| {
            let letters = [index / 676, index / 26, index].map(|it| char::from(b'a' + (it % 26) as u8));
            format!("{first}{}", letters.iter().collect::<String>())
        })
        .collect();
    if !chars.is_multiple_of(4) {
        words.push(first.to_string().repeat(chars % 4));
    }
    words.join(" ")
}

/// Returns text of `chars` characters, not counting spaces, in which `size` words of two letters occur twice.
fn twice(size: usize, chars: usize) -> String {
    let words: Vec<_> = (0..size).map(|index| format!("{}z", char::from(b'a' + index as u8))).collect();
    let rest = chars - 4 * size;
    let words = words.join(" ");
    format!("{words} {} {words} {}", filler('x', rest / 2), filler('y', rest - rest / 2))
}

#[test]
fn words() {
    check(Rule::Words, &"word ".repeat(50), &"word ".repeat(49));
    check(Rule::Words, &"word, ".repeat(100_000), &"word, ".repeat(100_001));
    // Signs are not words, hyphens separate words, and an apostrophe does not.
    check(Rule::Words, &"well-known — ".repeat(25), &"don't — ".repeat(49));
}

#[test]
fn words_of_scripts_without_spaces() {
    let words = |text: &str| {
        let mut words = Words::default();
        words.read(text, None);
        words.all().len()
    };
    assert_eq!(words("我们 在 北京 大学 学习"), words("我们在北京大学学习"));
    assert_eq!(words("我们在北京大学学习。"), 5);
    assert_eq!(words("東京に行きました。"), words("東京 に 行き まし た"));
    assert_eq!(words("ภาษาไทยไม่ง่าย"), words("ภาษา ไทย ไม่ ง่าย"));
    assert_eq!(words("ພາສາລາວ"), 2);
    assert_eq!(words("اللغة العربية جميلة"), 3);
    assert_eq!(words("3,000.5 www.example.org 🙂 # …"), 2);
}

#[test]
fn word_length() {
    check(Rule::WordLength, &"abc ".repeat(10), &format!("{}ab", "abc ".repeat(9)));
    let ten = "abcdefghij ";
    check(Rule::WordLength, &ten.repeat(10), &format!("{}abcdefghijk", ten.repeat(9)));
    // Combining marks are not counted: nine words of ten characters, and one of ten and a mark.
    assert!(!breaks(Rule::WordLength, &format!("{}abcdefghij\u{301}", ten.repeat(9)), "fr"));
    for dense in ["我们在北京大学学习。", "나 는 너 를 본다", "ฉันรักคุณมาก", "東京に行きました"]
    {
        assert!(!breaks(Rule::WordLength, dense, "und"), "{dense}");
    }
    // Half of the characters are not most of them.
    assert!(breaks(Rule::WordLength, "我们 ab", "zh") && !breaks(Rule::WordLength, "我们在 ab", "zh"));
    assert!(!breaks(Rule::WordLength, "***", "en"), "without words, only their number is wrong");
}

#[test]
fn symbols() {
    let words = "word ".repeat(50);
    check(Rule::Symbols, &format!("{words}# # # # #"), &format!("{words}# # # # ##"));
    check(Rule::Symbols, &format!("{words}… … ... ......"), &format!("{words}… … ... ...... …"));
    // Hash signs and ellipses are compared one by one.
    assert!(!breaks(Rule::Symbols, &format!("{words}##### …………… "), "en"));
}

#[test]
fn bullets() {
    let lines = "- one\n• two\n* three\n◦ four\n- five\n- six\n- seven\n- eight\n- nine\n";
    check(Rule::Bullets, &format!("{lines}ten"), &format!("{lines}- ten"));
    // Blank lines are not counted, and a dash begins speech.
    check(Rule::Bullets, &format!("{lines}\n— ten"), &format!("{lines}\n\n- ten"));
}

#[test]
fn ellipses() {
    let lines = "one\ntwo\nthree\nfour\nfive\nsix\nseven…\neight...\nnine… \n";
    check(Rule::Ellipses, &format!("{lines}ten… more"), &format!("{lines}ten…"));
}

#[test]
fn alphabetic() {
    let words = "one two three four five six B7 ";
    check(Rule::Alphabetic, &format!("{words} eight 9 10.5"), &format!("{words} 8 9 10.5"));
}

#[test]
fn stop_words() {
    check(Rule::StopWords, "the cat of cats", "the cat the cats");
    check(Rule::StopWords, "cats to be", "The Of And With");
    for (language, passes, fails) in [
        ("de", "der Hund und Katze", "Hund Katze Hund"),
        ("ru", "это не дом", "собака улица фонарь"),
        ("zh", "我们的书和他们", "北京大学图书馆"),
        ("nb", "jeg er hjemme", "hund katt"),
    ] {
        assert!(stop_words::words_of(language).is_some(), "{language}");
        assert!(!breaks(Rule::StopWords, passes, language), "{passes}");
        assert!(breaks(Rule::StopWords, fails, language), "{fails}");
    }
    // Without a list, the rule does not apply.
    for language in ["und", "kn", "nds", "xx", ""] {
        assert!(stop_words::words_of(language).is_none(), "{language}");
        assert!(!breaks(Rule::StopWords, "cats", language), "{language}");
    }
}

#[test]
fn repeated_lines() {
    // Three of ten lines, and four of eleven.
    let long = (0..6).map(|index| format!("line {index} {}\n", "x".repeat(90))).collect::<Vec<_>>().concat();
    check(Rule::RepeatedLines, &format!("{long}{}", "a\n".repeat(4)), &format!("{long}{}", "a\n".repeat(5)));
    // One of four lines, with 20 of 100 characters, and of 99.
    let line = "b".repeat(20);
    let other = |chars: usize| format!("{line}\n{}\n\n{}\n{line}\n", "c".repeat(30), "d".repeat(chars));
    check(Rule::RepeatedLines, &other(30), &other(29));
    assert!(!breaks(Rule::RepeatedLines, "", "en"));
}

#[test]
fn repeated_paragraphs() {
    let long = (0..6).map(|index| format!("line {index} {}\n\n", "x".repeat(90))).collect::<Vec<_>>().concat();
    check(Rule::RepeatedParagraphs, &format!("{long}{}", "a\n\n".repeat(4)), &format!("{long}{}", "a\n\n\n".repeat(5)));
    // A paragraph of two lines with ten characters each.
    let twice = format!("{}\n{}\n\n", "b".repeat(10), "e".repeat(10));
    let other = |chars: usize| format!("{twice}{}\n\n{}\n\n{twice}", "c".repeat(30), "d".repeat(chars));
    check(Rule::RepeatedParagraphs, &other(30), &other(29));
    // The same lines in another order, and lines of one paragraph, are no repeated paragraphs.
    assert!(!breaks(Rule::RepeatedParagraphs, "a\nb\n\nb\na", "en"));
    assert!(!breaks(Rule::RepeatedParagraphs, &"a\n".repeat(9), "en"));
}

#[test]
fn top_ngrams() {
    // 8 of 40 characters are 20%, 12 of 67 are 17.9%, 16 of 100 are 16%.
    for (size, chars) in [(2, 40), (3, 67), (4, 100)] {
        check(Rule::TopNgrams, &twice(size, chars), &twice(size, chars - 1));
    }
    // An n-gram that occurs once is not the most common one.
    assert!(!breaks(Rule::TopNgrams, "one two", "en"));
    // 3 times 4 characters of 60 are 20%. The one that occurs twice, with 14, is less common.
    let rare = "longest pairing";
    let text = |chars: usize| {
        let pairs = format!("az bz {} az bz {} az bz", filler('x', 12), filler('y', 4));
        format!("{pairs} {} {rare} {} {rare}", filler('v', 2), filler('w', chars - 12 - 16 - 2 - 28))
    };
    assert_eq!(text(60).chars().filter(|c| *c != ' ').count(), 60);
    assert!(breaks(Rule::TopNgrams, &text(59), "en") && !breaks(Rule::TopNgrams, &text(60), "en"));
}

#[test]
fn repeated_ngrams() {
    // The second of two occurrences has 2 characters per word: 10 of 67 are 14.9%, and 20 of 200 are 10%.
    for (size, chars) in [(5, 67), (6, 86), (7, 108), (8, 134), (9, 164), (10, 200)] {
        check(Rule::RepeatedNgrams, &twice(size, chars), &twice(size, chars - 1));
    }
    // Four words that are repeated are no n-gram of five.
    assert!(!breaks(Rule::RepeatedNgrams, &twice(4, 20), "en"));
    // N-grams that overlap are counted once: of 12 equal words, at most the last ten are repeated n-grams of any size.
    let text = |chars: usize| format!("{}{}", "a ".repeat(12), filler('x', chars - 12));
    check(Rule::RepeatedNgrams, &text(100), &text(99));
}

#[test]
fn the_first_broken_rule_counts_and_skipped_rules_do_not() {
    let mut options = FilterOptions { quality: Quality::Gopher, ..FilterOptions::default() };
    let fault = |options: &FilterOptions| {
        let mut judge = Judge::new(options.rules())?;
        judge.begin();
        ["- a"; 3].iter().for_each(|line| judge.line(line));
        judge.fault("- a\n- a\n- a\n", "en")
    };
    let mut found = Vec::new();
    while let Some(rule) = fault(&options) {
        found.push(rule);
        options.quality_skip.push(rule);
    }
    let all = [Rule::Words, Rule::WordLength, Rule::Bullets, Rule::StopWords, Rule::RepeatedLines, Rule::TopNgrams];
    assert_eq!(found, all);
    options.quality_skip = Rule::ALL.to_vec();
    assert!(Judge::new(options.rules()).is_none());
    options = FilterOptions::default();
    assert!(Judge::new(options.rules()).is_none(), "off by default");
}

#[test]
fn counts_have_the_names_of_samples() {
    let mut counts = QualityCounts::default();
    for (number, rule) in (1..).zip(Rule::ALL) {
        *counts.of_mut(rule) = number;
    }
    let mut twice = counts;
    twice.add(&counts);
    let names = serde_json::to_value(twice).unwrap();
    assert_eq!(names.as_object().unwrap().len(), Rule::ALL.len());
    for (number, rule) in (1..).zip(Rule::ALL) {
        let reason = serde_json::to_value(crate::prepare::options::Reason::Quality(rule)).unwrap();
        assert_eq!(names[reason.as_str().unwrap()], 2 * number, "{rule:?}");
    }
}
