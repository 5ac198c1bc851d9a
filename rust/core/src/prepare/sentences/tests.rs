use proptest::prelude::*;

use super::*;

fn split(language: &str, paragraph: &str) -> Vec<String> {
    let mut found = Vec::new();
    Splitter::default().split(language, paragraph, |sentence| found.push(sentence.to_owned()));
    found
}

#[test]
fn abbreviations_numbers_quotes_and_ellipses() {
    for (language, text) in [
        ("en", "Dr. Smith paid $3.50 to J. R. R. Tolkien, e.g. in St. Louis, No. 5 of the U.S. Army.|He left."),
        ("en", "\"Is it so?\"|She laughed.|(It was late.)|Nobody came."),
        ("en", "it was late.|nobody came."),
        ("en", "He left…|They stayed… and waited."),
        ("en", "\"Is it far?\" he asked.|They left (why?) early.|They came!|we saw."),
        ("en", "Well... perhaps.|No!|Version 2.0 of example.com is out."),
        ("de", "Am 3. Oktober kam z. B. Dr. Maier.|Er blieb ca. 5 Tage.|Im 19. Jahrhundert starb er 1850.|Gut."),
        ("fr", "M. Dupont est parti.|« Vraiment ? »|Oui."),
        ("ru", "А. С. Пушкин родился в Москве.|Он писал стихи."),
        ("ja", "彼は来た。|「本当？」|はい。"),
        ("zh", "他来了。|真的吗？|是的！"),
        ("hi", "वह आया।|वह गया।"),
        ("ar", "هل جاء؟|نعم."),
        ("und", "One came.|Two went."),
        ("xx-unknown", "One came.|Two went."),
    ] {
        let expected: Vec<_> = text.split('|').collect();
        let space = if matches!(language, "ja" | "zh") { "" } else { " " };
        assert_eq!(split(language, &expected.join(space)), expected, "{language}");
    }
}

#[test]
fn words_are_not_split() {
    for (language, text) in [
        ("en", "Open https://example.org/find?q=cats&lang=en to see it.|The page is short."),
        ("en", "At Yahoo!Mail or Yahoo!, a!=b, x?.Y, vec![a], f!(b) and 3.Part.|What?!no!|So."),
        ("en", "it is so?yes it is.|he left?!?|we saw."),
        ("de", "Es endete.[1]|Dann!²|Schön!😀|Gut.†|So war es?</i>|Ja."),
        ("ru", "Слово!Дело и 1.Первое.|Конец."),
        ("el", "Τι?Ναι είναι.|Τέλος."),
        ("en", "See A..Z, 1..N, a..b and ...What.|So."),
        ("ko", "이것은 Yahoo!메일이다.|다음."),
    ] {
        let expected: Vec<_> = text.split('|').collect();
        assert_eq!(split(language, &expected.join(" ")), expected, "{language}");
    }
    for (language, text) in [
        ("en", "They left...|Then we slept."),
        ("ja", "これはYahoo!です。|次です!|はい?|そう。"),
        ("ja", "https://x.jp/検索?q=nekoです。|次です。"),
        ("zh", "他来了!|我喜欢Python.|它很好。"),
        ("hi", "वह आया।|वह गया।"),
        ("ar", "هل جاء؟|نعم."),
        ("ur", "وہ آیا۔|وہ گیا۔"),
        ("hy", "Նա եկավ։|Նա գնաց։"),
        ("am", "እሱ መጣ።|እሷ ሄደች።"),
        ("my", "သူလာသည်။|သူသွားသည်။"),
        ("km", "គាត់មក។|គាត់ទៅ។"),
    ] {
        let expected: Vec<_> = text.split('|').collect();
        assert_eq!(split(language, &expected.concat()), expected, "{language}");
    }
}

#[test]
fn languages_without_rules_do_not_get_english_ones() {
    // "no." is an abbreviation in English.
    assert_eq!(split("und", "Ha detto di no. Poi basta.").len(), 2);
    assert_eq!(split("sw", "Alisema no. Kisha basi.").len(), 2);
    assert!(has_rules("gsw", 0) && has_rules("en", 0) && !has_rules("sw", 0) && !has_rules("und", 0));
}

#[test]
fn long_runs_take_no_longer_than_others() {
    // Some took hours when they were searched again for each of their characters.
    for run in [
        "…", "AA A. ", "A. ", ". ", "\" ", "(a. ", "Am 3. ", "Mr. ", "「", "» ", "a.b.c.d", "a?b!", "3.A", "x?(",
        "a!😀", "a?[1]", "?<b", "!\"", "a!「", "あ?a",
    ] {
        for language in ["en", "de", "und"] {
            let text = run.repeat((1 << 20) / run.len());
            let started = std::time::Instant::now();
            split(language, &text);
            assert!(started.elapsed().as_secs() < 600, "{run:?} {language}");
        }
    }
}

#[test]
fn marks_are_not_sentences() {
    assert_eq!(split("en", "He came. *** ? !! Then he left. \""), ["He came. *** ? !!", "Then he left. \""]);
    assert_eq!(split("en", "..."), ["..."]);
    assert_eq!(split("en", "... ! *** He came. Then he left."), ["... !", "*** He came.", "Then he left."]);
    assert!(split("en", "  \t ").is_empty());
}

#[test]
fn long_sentences_are_split_between_words() {
    let cuts = |text: &str, limit| {
        let mut pieces = Vec::new();
        split_long(text, limit, |piece| pieces.push(piece.to_owned()));
        pieces
    };
    assert_eq!(cuts("one two three", 7), ["one two", "three"]);
    assert_eq!(cuts("one two three", 8), ["one two", "three"]);
    assert_eq!(cuts("one,two,three", 8), ["one,two,", "three"]);
    assert_eq!(cuts("abcdefgh", 4), ["abcd", "efgh"]);
    assert_eq!(cuts("日本語の文", 7), ["日本", "語の", "文"]);
    assert_eq!(cuts("e\u{301}e\u{301}e\u{301}", 4), ["e\u{301}", "e\u{301}", "e\u{301}"]);
}

proptest! {
    #[test]
    fn nothing_is_lost(
        text in "[ .!?a-zA-Z\"'()\\[\\]0-9,;éßЖ।。「」…\u{301}\u{200d}\t]{0,200}",
        language in prop::sample::select(vec!["en", "de", "ru", "ja", "und", "el", "hy"]),
    ) {
        let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(squeeze(&split(language, &text).concat()), squeeze(&text));
    }

    #[test]
    fn any_text_is_split(text in any::<String>(), language in prop::sample::select(WITH_RULES.to_vec())) {
        let count = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        prop_assert_eq!(count(&split(language, &text).concat()), count(&text));
    }

    #[test]
    fn cuts_fit(text in any::<String>(), limit in 64_usize..100) {
        let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let mut all = String::new();
        split_long(&text, limit, |piece| {
            assert!(piece.len() <= limit && !piece.is_empty());
            all.push_str(piece);
        });
        prop_assert_eq!(squeeze(&all), squeeze(&text));
    }
}

#[test]
fn names_and_abbreviations_before_scripts_without_spaces() {
    for (language, text) in [
        ("zh", "他在Yahoo!奇摩拍賣買書。|我用Yahoo!|我喜欢它。"),
        ("zh", "Dr.王来了。|我喜欢Python.|它很好。"),
        ("ja", "St.ルチアとJ.リーグとProf.山田。|Yahoo!知恵袋です。|次です!|はい。"),
    ] {
        let expected: Vec<_> = text.split('|').collect();
        assert_eq!(split(language, &expected.concat()), expected, "{language}");
    }
    for (language, text) in [
        ("th", "ในปี พ.ศ. 2550 ดร.สมชาย และ น.ส.มาลี ไป จ.เชียงใหม่ เขากลับบ้านแล้ว.|เธอไปไหน?|ไม่รู้!|จบแล้ว"),
        ("lo", "ທ່ານ ດຣ. ສົມໄຊ ແລະ ນ.ສ.ມາລີ ໄປ ຂ.ວຽງຈັນ"),
        ("km", "លោក ស. សុខ នៅ ភ.ព. ហើយ"),
    ] {
        let expected: Vec<_> = text.split('|').collect();
        assert_eq!(split(language, &expected.join(" ")), expected, "{language}");
    }
}

#[test]
fn tibetan_ends_at_shads() {
    let text = "༄༅། །བོད་ཡིག་ནི་བོད་པའི་ཡི་གེ་ཡིན།|དེ་ནི་གཉིས་པ་ཡིན། །|གསུམ་པ།།|བཞི་པ༎|ལྔ་པ";
    let expected: Vec<_> = text.split('|').collect();
    assert_eq!(split("bo", &expected.join(" ")), expected);
    assert_eq!(split("bo", &expected.concat()).len(), expected.len());
}

#[test]
fn one_set_of_closing_marks() {
    // Each closes a quotation that ends in an ellipsis, or a quoted question in the middle of a sentence.
    for closer in ['"', '\'', ')', ']', '”', '’', '»', '“', '‘', '«', '›', '』', '）', '】'] {
        assert!(is_closer(closer), "{closer}");
        assert_eq!(split("de", &format!("Er ging…{closer} Dann kam sie.")).len(), 2, "{closer}");
    }
    for closer in ['"', ')', '”', '»', '“', '›'] {
        assert_eq!(split("de", &format!("So?{closer} fragte er.")).len(), 1, "{closer}");
    }
}
