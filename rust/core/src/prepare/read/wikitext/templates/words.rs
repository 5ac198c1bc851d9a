//! Templates in the middle of a sentence with values that are text.

use super::{
    Row,
    Shows::{self, All, AsOf, Coded, Form, Fraction, Marked, Measure, Nothing, Number, Passage, Raised, Ship, Val},
};

#[rustfmt::skip]
pub(super) const WORDS: &[Row] = &[
    // Formatting, which does not change the words
    ("", Form("{1/text}"), &[
        "nowrap", "nobr", "nobreak", "nwr", "j", "nobold", "normal", "noitalic", "small", "smaller",
        "big", "bigger", "large", "larger", "em", "strong", "bold", "italic", "underline",
        "strikethrough", "strike", "smallcaps", "small caps", "sc", "sc1", "smcap", "smallcaps2", "allcaps",
        "tt", "mono", "monospace", "code", "kbd", "samp", "var", "mvar", "math", "serif", "sans-serif",
        "overline", "sub", "subscript", "highlight", "unicode", "polytonic",
        "abbr", "abbrv", "abbreviation", "tooltip", "h:title", "hover title",
        "visible anchor", "vanchor", "proper name", "typo", "ce", "chem2",
        "quote", "blockquote", "bquote", "cquote", "quotation",
        "sans serif", "IAST", "center", "centre",
    ]),
    ("", Raised("{1/text}"), &["sup", "superscript"]),
    ("", All(""), &["chem", "linktext", "not a typo", "as written", "gaps"]),
    ("", All("+"), &["key press", "key", "keypress", "button"]),
    ("", Form("{2/1}"), &["color", "font color", "fontcolor", "colour", "sort", "script"]),
    ("", Form("{name/1}"), &["flag", "flagu", "noflag"]),
    ("", Form("{1} {2}"), &["sortname"]),
    ("", Form("‘{1}’"), &["gloss"]),
    ("", Form("⟨{1}⟩"), &["angbr", "angle bracket", "grapheme"]),
    ("", Form("[{1}]"), &["bracket", "brackets", "sqbr"]),

    // Numbers and units
    ("", Measure, &["convert", "cvt", "convertir"]),
    ("", Form("{1}"), &["formatnum"]),
    ("", Val, &["val"]),
    ("", Number("<{prefix}>{1/text}<{suffix}>"), &["nts"]),
    ("", Fraction, &["frac", "fraction", "fract", "sfrac", "bruch", "дробь", "fracción", "frazione"]),
    ("", Form("${1}"), &["$"]),
    ("", Form("US${1}"), &["US$", "USD"]),
    ("", Form("A${1}"), &["A$", "AUD", "AU$"]),
    ("", Form("C${1}"), &["C$", "CAD", "CA$"]),
    ("", Form("NZ${1}"), &["NZ$", "NZD"]),
    ("", Form("HK${1}"), &["HK$", "HKD"]),
    ("", Form("S${1}"), &["S$", "SGD"]),
    ("", Form("£{1}"), &["£", "GBP"]),
    ("", Form("€{1}"), &["€", "EUR"]),
    ("", Form("¥{1}"), &["¥", "JPY", "CNY", "RMB"]),
    ("", Form("₹{1}"), &["INR", "₹"]),
    ("", Form("₩{1}"), &["KRW", "₩"]),
    ("", Form("₱{1}"), &["PHP", "₱"]),
    ("", Form("₽{1}"), &["RUB", "₽"]),
    ("de fr es it nl pl sv pt ru", Form("{1} €"), &["€", "EUR"]),
    ("", Form("c.< {1}>< – c. {2}>"), &["circa", "c.", "ca.", "circ"]),
    ("", Form("fl.< {1}><–{2}>"), &["floruit", "fl."]),
    ("", Form("r. {1}<–{2}>"), &["reign", "r."]),
    ("", Form("b. {1}"), &["b."]),
    ("", Form("d. {1}"), &["d."]),
    ("en", AsOf, &["as of"]),
    ("", Marked("{1}"), &["sic"]),
    ("", Form("ISBN {1}"), &["ISBN"]),
    ("", Form("ISSN {1}"), &["ISSN"]),
    ("", Form("10^{1}"), &["10^"]),
    ("en", Form(" × 10^{1}"), &["e"]),
    ("ru uk", Form(" · 10^{1}"), &["e"]),

    // Words in other languages, without the English name of the language
    ("", Form("{2/text/texte/testo/текст}"), &["lang", "langue", "lang2", "langx", "wikt-lang", "rtl-lang", "ltr-lang"]),
    ("", Form("{3/2}"), &["transl", "transliteration", "translit"]),
    ("", Form("{1/3/2}"), &["nihongo", "nihongo foot", "nihongo3"]),
    ("", Form("{2/1}"), &["w", "wikt"]),
    ("", Coded("{lt/2}", "{lt/1}"), &["ill", "interlanguage link", "link-interwiki", "red link"]),
    ("", Form("{1}"), &["hebrew", "arabic", "lj", "runic"]),

    // Ships. Templates named after a prefix are in SHIPS.
    ("", Ship(None), &["ship"]),
    ("", Number("{1}-class< {2}>"), &["sclass", "sclass-", "sclass2", "sclass2-"]),

    // German
    ("de", Form("„{1/text/Text}“"), &["\"", "Zitat", "Zitat-de"]),
    ("de", Form("“{1/Text}”"), &["Zitat-en", "\"-en"]),
    ("de", Form("«{1/Text}»"), &["Zitat-fr", "Zitat-it", "Zitat-es", "\"-fr"]),
    ("de", Form("{1}"), &["FormatNum", "Kapitälchen"]),
    // The abbreviation of the reference level would look like the end of a sentence.
    ("de", Form("{1} m"), &["Höhe"]),
    ("de", Marked("{2}"), &["Audio", "Audio2"]),
    ("de", Form("Patent< {Land}{V-Nr}><: {Titel}>"), &["Patent"]),

    // French
    ("fr", Form("{1}{2|e} siècle"), &["s", "s-"]),
    ("fr", Form("{1}{2|e}"), &["s mini"]),
    ("fr", Form("{1}{2|e} et {3}{4|e} siècles"), &["s2", "s2-"]),
    ("fr", Form("{1}{2|e} {3|et} {4}{5|e} siècle<{6}>"), &["sp", "sp-"]),
    ("fr", Form("{1}{2|e} siècle av. J.-C."), &["-s", "-s-"]),
    ("fr", Number("{1}< à {à}>< et {et}>< ou {ou}>< × {×/x}>< × {××/xx}>< ± {±/+-}>< × 10^{e}>< {2}><{3}><⋅{4}><{5}>"), &["unité", "unite", "unité2"]),
    ("fr", Number("{1}< {2}>"), &["nombre", "nb"]),
    ("fr", Form("no {1|}"), &["n°", "no", "numéro"]),
    ("fr", Form("nos {1|}< et {2}>"), &["nos", "numéros", "n°s"]),
    ("fr", Form("1er< {1}>< {2}>"), &["1er"]),
    ("fr", Form("M.< {1}>"), &["M."]),
    ("fr", Form("MM.< {1}>"), &["MM."]),
    ("fr", Form("Mme< {1}>"), &["Mme"]),
    ("fr", Form("Mmes< {1}>"), &["Mmes"]),
    ("fr", Form("Mlle< {1}>"), &["Mlle"]),
    ("fr", Form("Dr< {1}>"), &["Dr"]),
    ("fr", Form("Mgr< {1}>"), &["Mgr"]),
    ("fr", Form("Me< {1}>"), &["Me"]),
    ("fr", Form("St< {1}>"), &["St"]),
    ("fr", Form("Ste< {1}>"), &["Ste"]),
    ("fr", Form("<{1} >€"), &["euro", "euros"]),
    ("fr", Raised("{1}"), &["exp", "exposant"]),
    ("fr", Form("{1}< {2}>< {3}>"), &["date", "date-", "date de naissance", "date de décès"]),
    ("fr", Form("{1} h< {2}>< min {3} s>"), &["heure", "heures"]),
    ("fr", Form("{1}"), &[
        "ind", "indice", "petites capitales", "petite capitale", "pc", "pc2",
        "romanisation", "abréviation", "abréviation discrète", "abbr", "unicode", "souligner",
        "formatnum", "minuscules", "capitales", "mono", "rom-maj",
    ]),
    ("fr", Form("« {1/citation/texte} »"), &["citation", "guillemets", "guil", "quote"]),
    ("fr", Form("« {2/texte/1} »"), &["citation étrangère"]),
    ("fr", Form("« {1} »"), &["citation bloc", "cit"]),
    ("fr", Form("– {1} –"), &["incise"]),
    ("fr", Form("{texte/fr/1/trad}"), &["lien"]),
    ("fr", Form("p. {1}"), &["p."]),
    ("fr", Form("vol. {1}"), &["vol."]),
    ("fr", Form("chap. {1}"), &["chap."]),
    ("fr", Form("{1}< {2}>"), &["tmp"]),
    ("fr", Marked("{1}"), &[
        "référence nécessaire", "refnec", "réf nécessaire", "référence souhaitée", "refsou", "référence insuffisante", "refins",
        "référence non conforme", "refnc", "passage non neutre", "pas clair", "incompréhensible", "précision nécessaire",
        "refconf", "référence à confirmer", "passage à actualiser",
    ]),

    // Spanish
    ("es", Number("{1}< × 10^{e}>< {2}><{3}>"), &["unidad"]),
    ("es", Form("{1}"), &["esd", "nowrap", "versalita", "versalitas", "formatnum"]),
    ("es", Form("{3=s:siglo }{3=S:Siglo }{1}{2=a: a. C.}{2=d: d. C.}"), &["siglo"]),
    ("es", Form("«{1/cita/texto}»"), &["cita"]),

    // Italian
    ("it", Val, &["M"]),
    ("it", Form("{1}"), &["maiuscoletto", "sc", "nowrap"]),
    ("it", Passage("{1/testo}"), &["senza fonte", "cn", "citazione necessaria", "chiarire", "non chiaro", "sf"]),
    ("it", Nothing, &["w", "s", "f", "nn", "o", "t", "e", "c", "a", "l", "d"]),

    // Dutch
    ("nl", Form("{1}"), &["klein", "nowrap", "formatnum"]),

    // Swedish
    ("sv", Form("{1}"), &["nowrap", "formatnum"]),

    // Polish
    // In Polish, this is the icon of a language, or words kept on one line.
    ("pl", Coded("{2}", "{1/text}"), &["j"]),
    ("pl", Form("{1}"), &["nowrap", "kapitaliki", "małe", "formatnum"]),
    ("pl", Form("„{1}”"), &["cytat"]),
    ("pl", Marked("{2/text}"), &["lang"]),

    // Portuguese
    ("pt", Number("{1}< × 10^{e}>< {2}>"), &["fmtn", "unidade"]),
    ("pt", Number("século {1}"), &["séc", "século"]),
    ("pt", Form("{1}"), &["nowrap", "nobr", "versalete", "formatnum"]),
    ("pt", Form("“{1/2}”"), &["citação"]),
    ("pt", Marked("{1}"), &["carece de fontes2"]),

    // Russian, Ukrainian
    ("ru", Form("{1}"), &["s", "nobr", "nowrap", "comment", "подсказка", "малый", "мелкий", "крупный", "капитель", "не переносить"]),
    ("ru", Number("{1}< {2}>"), &["число", "nums", "числа"]),
    ("ru", Form("{2/1}"), &[
        "iw", "нп", "нп1", "нп2", "нп3", "нп4", "нп5", "нп6", "не переведено 2", "не переведено 3", "не переведено 4", "не переведено 5",
        "не переведено 6",
    ]),
    ("ru", Form("{текст/надо/2/1}"), &["не переведено", "не переведено 1"]),
    ("ru", Form("«{1/текст}»"), &["цитата"]),
    ("uk", Form("{1}"), &["s", "nobr", "nowrap", "comment", "не переносити"]),
    ("uk", Number("{1}< {2}>"), &["число"]),
    ("uk", Form("{2/1}"), &["нп", "нп1", "нп2", "нп3", "нп4", "нп5", "iw", "iw2", "не перекладено"]),

    // Japanese, Chinese
    ("ja", Form("{label/1}"), &["仮リンク"]),
    ("ja", Form("{1}（{2}）"), &["読み仮名", "読み仮名 ruby不使用"]),
    ("ja", Form("{1}"), &["ルビ", "ruby", "補助漢字フォント", "lang-ja-short", "拡張漢字"]),
    ("zh", Form("{4/3}"), &["tsl", "translink"]),
    ("zh", Form("{3/1}"), &["le", "link-en", "link-ja", "link-de", "link-fr", "link-ru", "link-it", "link-es", "link-ko", "link-nl", "link-pt", "link-vi"]),
    ("zh", Form("{1}"), &["僻字", "僻字2", "ruby", "PUA", "nowrap", "缺字", "專名號", "专名号"]),
];

/// `{{USS|Enterprise|CV-6}}`: templates whose name precedes the ship's name, and whose second value follows it.
const SHIPS: &[&str] = &[
    "BRP", "CSS", "GTS", "HDMS", "HMAS", "HMCS", "HMHS", "HMIS", "HMNZS", "HMS", "HMSAS", "HMT", "HNLMS", "HNoMS",
    "HSwMS", "INS", "JS", "KD", "KRI", "LÉ", "MS", "MT", "MV", "NRP", "ORP", "PS", "RFA", "RMS", "ROKS", "RV", "SAS",
    "SMS", "SS", "TCG", "TSS", "USAT", "USCGC", "USNS", "USRC", "USS",
];

/// Whether a reader sees exactly the template's name, as with the French `{{XIXe siècle}}`.
pub(super) fn is_text(name: &str, language: &str) -> bool {
    let rest = name.trim_start_matches(['I', 'V', 'X', 'L', 'C']);
    let ending = rest.strip_prefix("er").or_else(|| rest.strip_prefix('e'));
    language == "fr" && rest.len() < name.len() && matches!(ending, Some(" siècle" | " siècle av. J.-C."))
}

/// Returns what a template shows by the pattern of its name, if no table lists it: `{{lang-de|..}}` for any language,
/// the German `{{enS|..}}`, and ships. `name` has a lowercase first letter.
pub(super) fn by_pattern(name: &str, language: &str) -> Option<Shows> {
    let is_code = |code: &str| matches!(code.len(), 2 | 3) && code.bytes().all(|b| b.is_ascii_lowercase());
    if let Some(code) = name.strip_prefix("lang-") {
        let (code, variant) = code.split_once('-').unwrap_or((code, ""));
        let code = code.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_plain = variant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        return (is_code(code) && is_plain && code != "zh").then_some(Form("{1/text/текст}"));
    }
    if let Some(ship) = SHIPS.iter().find(|ship| super::with_small_initial(ship) == name) {
        return Some(Shows::Ship(Some(*ship)));
    }
    let of_german = name.strip_suffix('S').is_some_and(is_code);
    (language == "de" && of_german).then_some(Form("{1}"))
}
