use super::*;

fn joined(language: &str, text: &str) -> (String, usize) {
    let (mut paragraph, mut count) = (String::new(), 0);
    for line in text.split('|') {
        count += usize::from(join(&mut paragraph, line, language, true));
    }
    (paragraph, count)
}

#[test]
fn only_hyphens_of_line_breaks_are_removed() {
    for (language, text, expected) in [
        ("de", "Die Donau-|dampfschifffahrt", "Die Donaudampfschifffahrt"),
        (
            "de",
            "Haupt-|und Nebenwege, Vor-|oder Nachteile, zwei-|bis dreimal",
            "Haupt- und Nebenwege, Vor- oder Nachteile, zwei- bis dreimal",
        ),
        ("de", "in Schleswig-|Holstein", "in Schleswig-Holstein"),
        ("de", "den-|noch, Wun-|der", "dennoch, Wunder"),
        ("de", "Donau-Dampf-|schifffahrt", "Donau-Dampfschifffahrt"),
        ("de", "Straßen-|überführung, groß-|ßügig", "Straßenüberführung, großßügig"),
        ("de", "eine E-|mail, das U-|boot", "eine E-mail, das U-boot"),
        ("en", "mother-in-|law, state-of-the-|art", "mother-in-law, state-of-the-art"),
        ("en", "pre-|and post-war, two-|to threefold", "pre- and post-war, two- to threefold"),
        ("en", "an|intro-|duction", "an introduction"),
        ("en", "COVID-|19 in 1990-|1995, 3-|fold", "COVID-19 in 1990-1995, 3-fold"),
        ("en", "a dash -|and text --|both stay —|here", "a dash - and text -- both stay — here"),
        ("en", "see http://example.org/some-|thing", "see http://example.org/some-thing"),
        ("en", "well-|\"quoted\" and (pre-|)", "well- \"quoted\" and (pre- )"),
        ("fr", "con-|naître et vis-à-|vis", "connaître et vis-à-vis"),
        ("fi", "maa-|ja metsätalous, kirjoit-|taja", "maa- ja metsätalous, kirjoittaja"),
        ("ru", "пере-|ход в Ростов-|Дон", "переход в Ростов-Дон"),
        ("el", "μετα-|φορά", "μεταφορά"),
        ("hi", "विश्व-|विद्यालय", "विश्वविद्यालय"),
        ("he", "אל-|על", "אל-על"),
        ("und", "Haupt-|und Neben-|wege", "Haupt- und Nebenwege"),
        ("de", "Un\u{2010}|kraut, Ge¬|setz, Kö\u{2E17}|nig", "Unkraut, Gesetz, König"),
        ("de", "Schleswig¬|Holstein, Haupt¬|und Nebenwege, A ¬|B", "Schleswig-Holstein, Haupt- und Nebenwege, A ¬ B"),
        ("de", "-|wort und -|", "- wort und - "),
        ("ja", "これ|は", "これは"),
        ("de", "cafe\u{301}-|haus", "cafe\u{301}haus"),
    ] {
        assert_eq!(joined(language, text).0, expected, "{language}");
    }
    assert_eq!(joined("de", "Donau-|dampf-|schiff, Haupt-|und Neben-|Wege").1, 3);
}

#[test]
fn hyphens_before_clitics_are_kept() {
    for (language, text, expected) in [
        (
            "fr",
            "Est-|ce vrai ? Dit-|il, celui-|ci, là-|bas, Peut-|être",
            "Est-ce vrai ? Dit-il, celui-ci, là-bas, Peut-être",
        ),
        (
            "fr",
            "donnez-|le, as-|tu, elle-|même, va-|t-il, vingt-|deux",
            "donnez-le, as-tu, elle-même, va-t-il, vingt-deux",
        ),
        ("fr", "vil-|le, mer-|ci, voi-|là, Fran-|ce, chi-|en", "ville, merci, voilà, France, chien"),
        ("fr", "seu-|les, va-|leur, ver-|tu, ce-|lui, européen-|nes", "seules, valeur, vertu, celui, européennes"),
        (
            "pt",
            "Disse-|lhe, tornou-|se, torna-|se, fazê-|lo, levaram-|no",
            "Disse-lhe, tornou-se, torna-se, fazê-lo, levaram-no",
        ),
        (
            "pt",
            "clas-|se, análi-|se, no-|me, qui-|lo, huma-|nos, deta-|lhe",
            "classe, análise, nome, quilo, humanos, detalhe",
        ),
        (
            "ru",
            "кто-|то, По-|русски, что-|нибудь, Кое-|кто, чуть-|чуть",
            "кто-то, По-русски, что-нибудь, Кое-кто, чуть-чуть",
        ),
        ("ru", "мес-|то, по-|иски, по-|этому, соба-|ка, ма-|ма", "место, поиски, поэтому, собака, мама"),
        ("uk", "хто-|небудь, по-|українськи, міс-|то", "хто-небудь, по-українськи, місто"),
        ("ca", "donant-|li, clas-|se", "donant-li, classe"),
        (
            "ro",
            "într-|o zi, printr-|un om, spunându-|i, al II-|lea, oraşu-|lui",
            "într-o zi, printr-un om, spunându-i, al II-lea, oraşului",
        ),
        ("bg", "най-|голям", "най-голям"),
        ("en", "self-|esteem, self-|ish, twenty-|one", "self-esteem, selfish, twenty-one"),
        ("id", "anak-|anak", "anak-anak"),
        ("es", "habi-|tante, cla-|se", "habitante, clase"),
    ] {
        assert_eq!(joined(language, text).0, expected, "{language}");
    }
}

#[test]
fn words_in_capitals_are_joined_like_others() {
    for (language, text, expected) in [
        ("en", "THE INTER-|NATIONAL BANK", "THE INTERNATIONAL BANK"),
        ("de", "HAUPT-|UND NEBENWEGE, STRASSEN-|BAHN", "HAUPT- UND NEBENWEGE, STRASSENBAHN"),
        ("fr", "EST-|CE, XIX-|XX", "EST-CE, XIX-XX"),
        ("ru", "МЕЖДУ-|НАРОДНЫЙ", "МЕЖДУНАРОДНЫЙ"),
        ("en", "Anglo-|SAXON, COVID-|19, US-|based", "Anglo-SAXON, COVID-19, US-based"),
        ("pt", "PRÉ-|E PÓS", "PRÉ- E PÓS"),
    ] {
        assert_eq!(joined(language, text).0, expected, "{language}");
    }
}

#[test]
fn a_soft_hyphen_always_joins() {
    let mut paragraph = "Donau\u{AD}".to_owned();
    assert!(join(&mut paragraph, "dampf und Haupt-", "de", false));
    assert!(!join(&mut paragraph, "wege -\u{AD}", "de", false));
    assert!(!join(&mut paragraph, "hier", "de", false));
    assert_eq!(paragraph, "Donaudampf und Haupt- wege -\u{AD} hier");
}
