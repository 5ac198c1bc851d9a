//! Tests what templates leave: signs, numbers, words, spaces and holes.

use super::*;

#[test]
fn templates_with_words() {
    is("{{convert|5|to|10|km|mi|abbr=on}} away", "5 to 10 km away");
    is("a {{lang|fr|mot ''juste''}}, {{Lang|de|[[Wort|Wörter]]}}.", "a mot juste, Wörter.");
    is("{{nowrap|a {{x}} b}} {{chem|H|2|O}}", "a b H2O");
    is("{{x|{{lang|fr|mot}}}}{{lang|fr}}{{convert|x|km}}", "");
    is("{{lang|fr|a\nb}} c", "c");
}

/// Returns the prose of a page in this language. `|` marks the words next to which something is missing.
fn of_site(language: &str, wikitext: &str) -> String {
    let mut site = site();
    site.language = Some(language.into());
    let mut out = String::new();
    let holes = prose(wikitext, &site, &mut out);
    assert!(holes.is_sorted());
    for hole in holes.into_iter().rev() {
        assert!(out.is_char_boundary(hole) && !out[hole..].starts_with([' ', '\n']), "{hole} {out:?}");
        out.insert(hole, '|');
    }
    out.trim_end().to_owned()
}

#[test]
fn templates_that_stand_for_a_sign() {
    for (language, wikitext, expected) in [
        ("en", "1848{{snd}}27, a{{spaced ndash}}b{{Spnd}} c {{Snds}}d", "1848 – 27, a – b – c – d"),
        ("en", "a{{ndash}}b{{mdash}}c {{em dash}} d{{--}}e", "a–b—c — d—e"),
        ("en", "5{{nbsp}}km, 5{{Nbsp|3}}km{{ thinsp }}a{{pad|2em}}b{{0}}c{{hair space}}d", "5 km, 5 km a b c d"),
        ("en", "a{{shy}}b{{wbr}}c{{zwsp}}d{{zwj}}e", "abcd\u{200d}e"),
        ("en", "A{{·}}B{{•}}C {{bull}} D{{middot}}E", "A · B • C • D · E"),
        ("en", "a{{=}}b{{pipe}}c{{!}}d {{(}}e{{)}} {{[}}f{{]}} {{'}}{{\\}}{{#}}", "a=b|c|d {e} [f] ' / #"),
        ("en", "{{Template:Snd}}a{{template: em_dash }}b{{Em&#32;dash}}c{{Em<!-- x -->  dash}}d", "– a—b—c—d"),
        ("en", "[[a{{!}}b]] [[c{{!}}d|e]] {{nowrap|[[f{{!}}g]]{{snd}}h}}", "b d|e g – h"),
        ("de", "a{{--}}b, c{{0}}d{{0|00}}e, {{Vorlage:Snd}}f, g{{nnbsp}}h", "a – b, c d e, – f, g h"),
        ("de", "Ort{{·}}Ort", "Ort · Ort"),
        (
            "fr",
            "a{{tiret}}b, le {{s|XIX}}, l{{'}}an, <ref>x</ref>{{,}}<ref>y</ref> 2{{e}}",
            "a–b, le XIXe siècle, l'an, 2e",
        ),
        ("ru", "Москва{{тире}}город, 5{{nbsp}}км, А{{·}}Б{{--}}В", "Москва — город, 5 км, А · Б — В"),
        ("pl", "a{{spacja}}b{{półpauza}}c", "a b–c"),
        ("it", "a{{spazi|3}}b{{Template:ndash}}c", "a b–c"),
        ("nl", "de 19{{e}} eeuw", "de 19e eeuw"),
        ("ja", "東京{{・}}大阪", "東京・大阪"),
        ("es", "a{{raya}}b{{Plantilla:Nbsp}}c", "a—b c"),
        ("xx", "a{{snd}}b{{nbsp}}c", "a – b c"),
    ] {
        assert_eq!(of_site(language, wikitext), expected, "{language}: {wikitext}");
    }
    is("one\n{{!}} a cell\n{{!-}}\ntwo", "one\ntwo");
    let mut named = site();
    named.language = Some("xx".into());
    assert!(!named.is_template("bildersammlung") && named.is_file("bildersammlung"));
    let header = HEADER.replace("key=\"4\"", "key=\"10\"").replace("Wikipedia", "Muster");
    let mut out = String::new();
    prose("a{{Muster:Snd}}b", &Site::parse(header.as_bytes()).unwrap(), &mut out);
    assert_eq!(out, "a – b\n");
}

#[test]
fn templates_with_numbers_and_words() {
    for (language, wikitext, expected) in [
        ("en", "{{convert|5|km|mi}}, {{Cvt|5|-|10|km}}, {{convert|2|x|3|m|ft}}", "5 km, 5–10 km, 2 × 3 m"),
        (
            "en",
            "{{convert|5|ft|8|in|m|abbr=on}}, {{convert|20|C}}, {{convert|7|sqmi|km2|0}}",
            "5 ft 8 in, 20 °C, 7 sq mi",
        ),
        ("en", "{{convert|5|and|7|km2}} {{convert|{{formatnum:1234}}|ft}}", "5 and 7 km² 1234 ft"),
        ("en", "{{formatnum:12345}} {{FORMATNUM:6|R}} {{val|5|u=km}} {{val|u=kg|7}}", "12345 6 5 km 7 kg"),
        ("en", "{{nowrap|1=a = b}} {{nobr|c|d}} {{nowrap|1=e|f}}", "a = b c f"),
        ("en", "one{{small| two}} {{small|\nthree\n}}", "one two three"),
        (
            "en",
            "{{lang|de|Wort}} {{lang-de|Wort}} {{langx|de|Wort}} {{lang-sr-cyr|а}} {{Lang|fr|text=mot}}",
            "Wort Wort Wort а mot",
        ),
        ("en", "{{transl|ru|Moskva}} {{transliteration|ru|ISO|Moskva}}", "Moskva Moskva"),
        ("en", "{{ill|A|de|B}} {{interlanguage link|A|de|B|lt=C}} {{w|D|E}}", "A C E"),
        (
            "en",
            "{{USS|Enterprise|CV-6}}, {{HMS|Hood}}, {{SMS|Emden||2}}, {{ship|MS|Sea|x}}",
            "USS Enterprise (CV-6), HMS Hood, Emden, MS Sea (x)",
        ),
        ("en", "{{frac|1|2}} {{frac|5|1|2}} {{frac|8}} {{sfrac|a|b}}", "1/2 5 1/2 1/8 a/b"),
        (
            "en",
            "{{circa}} 5, {{c.|1850}}, {{US$|5}}, {{€|6}}, {{GBP|7}} {{reign|1|2}}",
            "c. 5, c. 1850, US$5, €6, £7 r. 1–2",
        ),
        (
            "en",
            "{{as of|2012|5}}, {{As of|2012|lc=y}}, {{as of|2012|May|6}}",
            "As of May 2012, as of 2012, As of 6 May 2012",
        ),
        ("en", "{{abbr|a|b}} x{{sup|2}} {{tooltip|c|d}} {{key press|Ctrl|C}}", "a x2 c Ctrl+C"),
        ("en", "{{chem2|H2O}} {{angbr|a}} {{sclass|Nimitz|aircraft carrier}}", "H2O ⟨a⟩ Nimitz-class aircraft carrier"),
        (
            "de",
            "{{enS|word}}, {{lang|la|verbum}}, {{\"|Zitat}}, {{Höhe|1234|DE-NN|link=true}}",
            "word, verbum, „Zitat“, 1234 m",
        ),
        ("de", "{{Zitat|Text=Ja.|Autor=X}} {{nowrap|5 m}} {{FormatNum|12345}}", "„Ja.“ 5 m 12345"),
        (
            "fr",
            "au {{s|XIX|e}}, {{s-|I|er}}, {{-s|V|e}}, {{sp|XV|e|au|XX|e|s}}",
            "au XIXe siècle, Ier siècle, Ve siècle av. J.-C., XVe au XXe siècles",
        ),
        (
            "fr",
            "{{unité|5|km}}, {{unité|10|m|3}}, {{nombre|1000|habitants}}, {{1er}} {{date|14|juillet|1789}}",
            "5 km, 10 m3, 1000 habitants, 1er 14 juillet 1789",
        ),
        (
            "fr",
            "{{lien|langue=en|trad=Foo|fr=Bar|texte=Baz}}, {{Lien|fr=Bar|lang=en}}, {{refnec|oui}}",
            "Baz, Bar, oui",
        ),
        (
            "ru",
            "{{s|5 км}} {{nobr|6 км}} {{число|7|км}} {{lang-en|word}} {{iw|А|Б|en|A}} {{нп5|В||en|C}}",
            "5 км 6 км 7 км word Б В",
        ),
        ("es", "{{unidad|5|km}} {{esd|6 km}} el {{siglo|XIX||s}}", "5 km 6 km el siglo XIX"),
        ("it", "{{M|5|km}} {{M|6||km}} {{M|7|ul=km}} {{senza fonte|vero}}", "5 km 6 km 7 km vero"),
        ("pl", "{{nowrap|5 km}} {{j|6 km}}{{fakt|data=2012}}.", "5 km 6 km."),
        ("pt", "{{fmtn|5|km}} no {{séc|XIX}}", "5 km no século XIX"),
        ("ja", "{{仮リンク|甲|en|A}}と{{仮リンク|乙|en|B|label=丙}}", "甲と丙"),
        ("zh", "{{le|甲|A}}{{link-en|乙|B|丙}}{{tsl|en|C|丁}}", "甲丙丁"),
    ] {
        assert_eq!(of_site(language, wikitext), expected, "{language}: {wikitext}");
    }
}

#[test]
fn values_that_choose_what_is_shown() {
    for (language, wikitext, expected) in [
        ("en", "{{HMS|Hood|51|6}}, {{USS|Iowa|BB-61|2}}, {{SS|Sea|1905|1}}", "HMS Hood, Iowa, 1905"),
        (
            "en",
            "{{SS|Sea|1905|3}}, {{USS|Iowa|BB-61|5}}, {{USS|Iowa|BB-61|7}}",
            "Sea (1905), USS BB-61, USS Iowa (BB-61)",
        ),
        ("en", "a {{HMS|Hood|51|4}} b {{HMS|Hood||1}} c {{sclass|Iowa|battleship|1}} d", "a |b |c |d"),
        ("en", "{{ship|MS|Sea|x|6}}, {{ship|MS|Sea|x|2}}, {{ship||Sea|x}}", "MS Sea, Sea, Sea (x)"),
        (
            "en",
            "{{center|A line of it.}} It is {{sic|teh}} one{{sic}}, the other{{sic|!}}.",
            "A line of it. It is teh one, the other.",
        ),
        (
            "de",
            "Das {{Patent|Land=DE|V-Nr=123|Titel=Rad}} galt, {{Patent|Titel=Rad}} auch.",
            "Das Patent DE123: Rad galt, Patent: Rad auch.",
        ),
        (
            "fr",
            "Au {{XIXe siècle}}, au {{Ier siècle}} et au {{Modèle:IVe siècle av. J.-C.}}",
            "Au XIXe siècle, au Ier siècle et au IVe siècle av. J.-C.",
        ),
        ("fr", "Au {{XIXe sicle}} b {{e siècle}} c", "Au |b |c"),
        ("en", "It is {{XIXe siècle}} here.", "It is |here."),
    ] {
        assert_eq!(of_site(language, wikitext), expected, "{language}: {wikitext}");
    }
}

#[test]
fn superscripts_after_a_digit() {
    for (wikitext, expected) in [
        ("10<sup>6</sup>, 10<sup>−6</sup>/s, 10<SUP class=\"a\">3</SUP>/l", "10^6, 10^−6/s, 10^3/l"),
        (
            "It is 3<sup>1</sup>/<sub>2</sub>, 3<sup>1</sup>⁄<sub>2</sub>, 3{{sup|1}}/{{sub|2}}",
            "It is 3 1/2, 3 1⁄2, 3 1/2",
        ),
        (
            "SO4<sup>2−</sup>, O2<sup>-</sup>, NH4<sup>+</sup>, PO4{{sup|3-}}, 5<sup>th</sup>",
            "SO42−, O2-, NH4+, PO43-, 5th",
        ),
        ("It is 5<sup>2", "It is 5^2"),
    ] {
        assert_eq!(of_site("en", wikitext), expected, "{wikitext}");
    }
    // The end is not searched far away or on another line.
    let far = format!("It is 5<sup>2{}</sup>/<sub>3</sub>", " und so weiter".repeat(9));
    assert!(of_site("en", &far).starts_with("It is 5^2 und"));
    assert_eq!(of_site("en", &"5<sup>6 a ".repeat(2000)).matches("5^6 a").count(), 2000);
}

#[test]
fn removed_templates_leave_their_space() {
    for (wikitext, expected) in [
        ("far{{x}}away", "fa|r away"),
        ("5{{citation needed}}km, word<ref>x</ref>word, a[[File:x.png|9px]]b", "5 km, word word, a b"),
        ("foo<!-- x -->bar [[foo]]<nowiki/>bar foo<includeonly>x</includeonly>bar", "foobar foobar foobar"),
        ("word{{x}}, word {{x}}. Then{{x}}!", "wor|d, word|. The|n!"),
        ("It ends.{{cn}}Then it continues.{{x}} More.", "It ends. Then it continues. More."),
        ("东{{x}}京 and ก{{x}}ข", "|东京 and |กข"),
    ] {
        assert_eq!(of_site("en", wikitext), expected, "{wikitext}");
    }
}

#[test]
fn holes() {
    for (wikitext, expected) in [
        // The word and sentence with a hole
        ("It is {{x}} here. It is whole.", "It is |here. It is whole."),
        ("{{x}} people came. {{y}} left.", "|people came. |left."),
        ("It came to {{x}}", "It came t|o"),
        ("It is <math>a</math> long, <chem>H2O</chem> too.", "It is |long, |too."),
        ("The sum\n<math>a</math>\nis big.", "The sum |is big."),
        ("The sum is\n:<math>a</math>\nWhole.", "The sum i|s\nWhole."),
        ("The sum: {{{{x}}|a}} b {{#invoke:x|y}} c", "The sum: |b |c"),
        // No hole: notes, boxes, and what is alone in brackets
        (
            "It is{{sfn|A|2012}} here{{cn|date=May 2012}}{{Efn|x}}, {{Coord|1|2}} {{anchor|a}}too{{rp|5}}.",
            "It is here, too.",
        ),
        ("It is.{{x}} It was. {{x}}\n\nIt {{#tag:ref|x}}is.", "It is. It was.\nIt is."),
        ("{{x}}\nIt is.\n{{y|a=b\n|c=d\n}}It was.", "It is. It was."),
        ("Oslo ({{x}}; {{y}}) is ({{x}}, big) a city ({{x}}).", "Oslo is (big) a city."),
        ("It {{DEFAULTSORT:x}}is {{lang|fr|un {{sfn|x}} mot}}.", "It is un mot."),
        ("* {{x}} one\n== {{x}} a ==\n1 {{x}} 2\n\nIt is.", "It is."),
        // A hole among shown words
        ("It is {{nowrap|a {{x}} b}}.", "It is a |b."),
        ("It is {{lang|fr}} here {{convert|x|km}} too {{nowrap}}.", "It is |here |too|."),
        ("It is {{never closed", "It i|s"),
    ] {
        assert_eq!(of_site("en", wikitext), expected, "{wikitext}");
    }
    for (language, wikitext) in [
        ("de", "Es ist{{Belege fehlen}} so{{Fußnote|1}}."),
        ("fr", "Il est{{quand ?}} là{{sfn|A}}."),
        ("es", "Es{{cita requerida}} así{{¿cuándo?}}."),
        ("it", "È{{quando}} così{{cita web|url=x}}."),
        ("nl", "Het is{{bron?|2012}} zo{{feit}}."),
        ("sv", "Det är{{källa behövs}} så."),
        ("pl", "To jest{{fakt}} tak{{r|x}}{{odn|a}}."),
        ("pt", "É{{carece de fontes}} assim{{quem?}}."),
        ("ru", "Это{{нет АИ|1|2}} так{{кто?}}{{sfn|А}}."),
        ("uk", "Це{{джерело?}} так{{fact}}."),
        ("ja", "これは{{要出典}}本{{Sfn|A}}です。"),
        ("zh", "这是{{来源请求}}书{{efn|a}}。"),
        ("vi", "Đó là{{cần chú thích}} sách{{khi nào?}}."),
        ("ar", "هذا{{بحاجة لمصدر}} كتاب."),
    ] {
        let found = of_site(language, wikitext);
        assert!(!found.contains(['|', '{']) && found.ends_with(['.', '。']), "{language}: {found}");
    }
}

#[test]
fn doubts_keep_the_words_they_question() {
    for (language, wikitext, expected) in [
        ("en", "A {{citation needed span|text that matters|date=May 2012}}.", "A text that matters."),
        (
            "en",
            "A {{clarify span|b}}, {{dubious span|text=c d}}, {{cnspan|e f}}, {{Disputed span|g}}.",
            "A b, c d, e f, g.",
        ),
        ("en", "A {{which span|b c}}, {{promotional inline span|d}}.", "A b c, d."),
        // A template that only adds a note shows no value. A long value may belong to the sentence.
        ("en", "A{{cn|May 2012}}{{when|date=May 2012|reason=it is not said}} b{{dubious|Why}}.", "A b."),
        ("en", "A {{citation needed|of the town}} b.", "A |b."),
        ("en", "A {{unknown-inline|of the town}} b{{some source needed|5}}.", "A |b."),
        (
            "ru",
            "Это {{Нет АИ 2|утверждение важное|1}} и {{нет АИ|12|05|2012}}{{уточнить 2|другое}}.",
            "Это утверждение важное и другое.",
        ),
        ("ru", "Это{{уточнить|что именно тут}} так.", "Эт|о так."),
        ("pl", "To {{Fakt|zdanie wazne|data=x}}{{kto?}}.", "To zdanie wazne."),
        ("nl", "Het {{Bron?|tekst|2010}}{{feit||2010}}{{bron?|2012}}.", "Het tekst."),
        ("sv", "Det {{källa behövs|påstående|datum=x}}{{källa behövs|datum=2012-05}}.", "Det påstående."),
        (
            "fr",
            "La {{citation nécessaire|phrase}}, {{quand|en mille}}, {{qui|certains}}{{qui|date=mai 2012}}.",
            "La phrase, en mille, certains.",
        ),
        ("zh", "这{{來源請求|重要文字|time=2012-05-05T}}{{fact|2012年5月}}。", "这重要文字。"),
        (
            "ja",
            "これ{{要出典|重要な文}}と{{要出典範囲|重要|date=2012年5月}}{{要出典|2012年5月}}{{いつ範囲|昔}}。",
            "これ重要な文と重要昔。",
        ),
        ("es", "Un {{cita requerida|texto}}{{cita requerida|20 de mayo de 2012}}.", "Un texto."),
        (
            "pt",
            "Um {{carece de fontes|texto longo|data=maio de 2012}}{{carece de fontes|data=maio de 2012}}.",
            "Um texto longo.",
        ),
        ("pt", "Um {{carece de fontes|texto}} b.", "Um |b."),
        ("it", "Un {{citazione necessaria|testo}}{{senza fonte|maggio 2012}} {{chi|alcuni}}.", "Un testo alcuni."),
        // Words that cannot be read leave a hole.
        ("fr", "La {{quand|en\nmille}} b.", "La |b."),
    ] {
        assert_eq!(of_site(language, wikitext), expected, "{language}: {wikitext}");
    }
    let long = format!("Un {{{{cita requerida|{}}}}} b.", "texto ".repeat(500));
    assert_eq!(of_site("es", &long), "Un |b.");
}

#[test]
fn numbers_are_complete_or_a_hole() {
    for (language, wikitext, expected) in [
        (
            "en",
            "{{val|5.3|e=6|u=kg}}, {{val|5.3|0.2|u=kg}}, {{val|5.3|0.2|0.1|e=-3}}",
            "5.3 × 10^6 kg, 5.3 ± 0.2 kg, (5.3 +0.2 −0.1) × 10^-3",
        ),
        ("en", "{{val|1.234|(56)|ul=m|up=s}}, {{val|5|-|10|u=%}}, {{val|5|fmt=commas}} a", "1.234(56) m/s, 5–10%, 5 a"),
        ("en", "a {{val|5|x=6}} b {{val|many}} c {{val|e=6|u=m}}", "a |b |c 10^6 m"),
        (
            "en",
            "{{convert|5|e6km2}}, {{convert|5|,|6|km}} a {{convert|5|km|mi|disp=number}} b {{convert|5|till|6|km}} c",
            "5 million km², 5, 6 km a |b |c",
        ),
        (
            "en",
            "10{{sup|6}} and 10<sup>−6</sup>, 5<sup>th</sup> x<sup>2</sup> 5{{frac|1|2}} {{10^|3}} 5{{e|3}}",
            "10^6 and 10^−6, 5th x2 5 1/2 10^3 5 × 10^3",
        ),
        (
            "en",
            "{{circa|1850|1860}} {{prime|H}} com{{shy|pli|cated}} a {{dagger|b}} c",
            "c. 1850 – c. 1860 H′ complicated a |c",
        ),
        (
            "fr",
            "{{unité|5.3|e=6|m/s}}, {{unité|5|à=6|km}}, {{unité|5|±=0.1|km}} a {{unité|5|zz=6|km}} b {{unité|5|+=6|km}} c",
            "5.3 × 10^6 m/s, 5 à 6 km, 5 ± 0.1 km a |b |c",
        ),
        (
            "fr",
            "le {{n°|5}}, {{numéro|42}}, {{n°}} 6, {{numéros|7|8}}, {{1er|janvier}}, {{M.|Dupont}}, {{euro|5}}, 10{{exp|6}}",
            "le no 5, no 42, no 6, nos 7 et 8, 1er janvier, M. Dupont, 5 €, 10^6",
        ),
        ("it", "{{M|5|0.2|km}} {{M|5||km}} {{M|5|e=3|ul=m}}", "5 ± 0.2 km 5 km 5 × 10^3 m"),
        ("es", "a {{unidad|5|km}} {{unidad|5|e=6|km}} b {{unidad|5|km|2|3}} c", "a 5 km 5 × 10^6 km b |c"),
        ("pt", "{{Ill|en|Foo}} {{ill|Foo|en|Bar}} a{{ill|en}} b {{séc|XIX|XX}} c", "Foo Foo a b |c"),
        ("pl", "{{j|en|Foo}} {{j|6 km}}{{j|en}}.", "Foo 6 km."),
        ("ru", "5{{e|6}} {{число|7|км}}", "5 · 10^6 7 км"),
    ] {
        assert_eq!(of_site(language, wikitext), expected, "{language}: {wikitext}");
    }
}
