//! Templates by which editors question a statement that lacks a source or has only a vague one.
//!
//! Some only add a note, and some show the questioned words. Which of the two applies is known only for the names of
//! each wiki. A date among the values is never shown.

use super::Shows::{self, Doubt, Doubtful, Marked, Passage};
use super::values::Values;
use crate::unicode::is_written_without_spaces;

/// Names, by the languages of the sites ("" for all others), and what is shown.
#[rustfmt::skip]
pub(super) const NAMES: &[(&str, Shows, &str)] = &[
    ("", Marked("{text/1}"), "citation needed span|citation needed-span|citeneeded span|cnspan|cn-span|cn span|fact span|clarify span|\
        clarifyspan|disputed span|dubious span|failed verification span|fv span|better source needed span|\
        according to whom span|sic?|quote without source|reference necessary|ref needed|copy edit span|\
        awkward span|vague span|who span|which span|when span|weasel span"),
    ("", Doubt, "fact|cn|cb|citation needed|citeneeded|citation requested|cit needed|uncited|uncited inline|\
        unsourced inline|needs citation|better source|better source needed|bsn|bettersource|failed verification|\
        fv|not in source|nis|not in citation given|verify source|verification needed|verify quote|vs|\
        verify inline|full citation needed|page needed|pn|page number needed|volume needed|year needed|\
        date missing|dubious|dubious-inline|discuss|disputed inline|disputed-inline|contradict inline|\
        contradictory inline|clarify|clarification needed|clarifyme|vague|ambiguous|specify|elucidate|explain|\
        confusing inline|incomprehensible inline|when|when?|date needed|who|who?|whom|by whom|by who|\
        according to whom|says who|attribution needed|which|which?|where|where?|what|what?|why|why?|how|how?|\
        compared to?|quantify|example needed|examples|definition needed|jargon inline|technical inline|\
        technical statement|or|original research inline|or inline|syn|synthesis inline|pov-inline|pov statement|\
        npov language|lopsided inline|undue inline|undue weight inline|promotional inline|peacock inline|\
        peacock term|weasel inline|weasel-inline|weasel word|buzz|cliche inline|tone inline|unbalanced opinion|\
        editorializing|relevance inline|importance inline|off topic inline|non sequitur|update inline|\
        update after|update-inline|needs update|out of date inline|obsolete source|old fact|self-published inline|\
        self-published source|sps|primary source inline|primary source needed|psn|non-primary source needed|\
        third-party inline|third-party source needed|unreliable source|unreliable source?|\
        unreliable source inline|unreliable medical source|medcn|medical citation needed|medrs|\
        user-generated inline|user-generated source|circular|circular reference|copy edit-inline|copy edit inline|\
        awkward|chronology citation needed|speculation inline|too many refs|inconsistent inline|year missing|\
        pronunciation-needed|IPA needed|translation needed|lead citation needed"),
    ("de", Doubt, "Belege fehlen|Belege|Belege?|Quelle?|Quellen fehlen|Beleg|Wann?|Wer?|Wo?|Was?|Warum?|Widerspruch|\
        Unverständlich|Seite fehlt"),
    ("fr", Passage("{1/texte/text}"), "quand|quand ?|qui|qui ?|par qui|par qui ?|lesquels|lesquelles|lequel|laquelle|lesquels ?|où|où ?|pourquoi|\
        pourquoi ?|comment|comment ?|combien|combien ?|quoi|quoi ?|c'est-à-dire|préciser|à préciser|à sourcer|\
        source ?|à vérifier|à actualiser|à délier|à lier|à compléter|sourcer|non neutre|citation nécessaire|\
        vérifier|pertinence|doute|incohérence|contradiction|évasif|passage évasif|inédit|passage inédit|\
        passage promotionnel|passage à recycler|référence incomplète|refinc|référence obsolète|selon qui|\
        selon qui ?|attribution nécessaire|formule creuse|passage non pertinent|anachronisme"),
    ("es", Passage("{1/texto}"), "cita requerida|cr|clarificar|aclarar|aclaración|¿cuándo?|cuándo|¿quién?|quién|¿quiénes?|quiénes|¿cuál?|\
        cuál|¿cuáles?|cuáles|¿cómo?|cómo|¿dónde?|dónde|¿por qué?|por qué|¿por quién?|por quién|¿qué?|\
        ¿según quién?|según quién|¿cuánto?|discutido|demostrar|verificar|verificación|verificar credibilidad|\
        fuente primaria|página requerida"),
    ("it", Passage("{1/testo}"), "quando|chi|dove|quale|perché|secondo chi|da chi|quanto|dubbio|da aggiornare|aggiornare|verifica|\
        verificare|controllare"),
    ("nl", Passage("{1/tekst}"), "bron?|bron gevraagd|feit|citatie nodig|wie?|wanneer?|waar?|welke?|waarom?|hoe?|wat?|verduidelijking|\
        onduidelijk|twijfel"),
    ("sv", Passage("{1/text}"), "källa behövs|kb|bättre källa|förtydliga|förtydligande|när|när?|vem|vem?|var?|vilka|vilka?|vilken|\
        enligt vem|enligt vem?|oklart|ifrågasatt|icke-neutralt"),
    ("pl", Passage("{1/tekst}"), "fakt|fakt2|kto|kto?|kiedy|kiedy?|gdzie|gdzie?|który|jaki|co?|przez kogo|według kogo|doprecyzować|\
        doprecyzuj|wątpliwe|niejasne|potwierdzić|zweryfikować"),
    ("pt", Doubtful("{1/texto}"), "carece de fontes|carece de fontes/bloco|cn|quem|quem?|quando|quando?|onde|onde?|qual|qual?|quais|quais?|\
        por quê?|por quem|por quem?|segundo quem?|o quê?|esclarecer|explicar|clarificar|necessário esclarecer|\
        vago|duvidoso|controverso|verificar|falhou a verificação|página necessária"),
    ("ru", Doubt, "нет АИ|нет аи|не АИ|неАИ|нет в источнике|нет источника|источник?|АИ|АИ?|нужен источник|\
        неавторитетный источник|неавторитетный источник?|не авторитетный источник?|первичный источник|\
        достоверность|достоверность?|сомнительно|проверить|проверить авторитетность|проверить факт|уточнить|\
        уточнение|прояснить|неясно|непонятно|расплывчато|что|что?|кто|кто?|кем|кем?|кому|кого|когда|когда?|где|\
        где?|какой|какой?|какие|какие?|какая|какое|каких|какими|сколько|сколько?|почему|почему?|чей|чей?|чьё|\
        по мнению кого|по чьему мнению|по каким|насколько|значимость факта|значимость?|значимость факта?|\
        не нейтрально|стиль?|оспорено|орисс?|ОРИСС|страница?|страница не указана"),
    ("uk", Doubt, "джерело?|факт|fact|ким|ким?|хто|хто?|коли|коли?|де|де?|який|який?|які|як|як?|скільки|чому|що|що?|уточнити|\
        уточнення|прояснити|перевірити|неясно|сумнівно|недостовірне джерело"),
    ("ja", Doubtful("{1}"), "要出典|要出典科学|要検証|要検証範囲外|出典無効|信頼性要検証|独自研究|要ページ番号|要説明|要曖昧さ回避|要追加記述|誰|誰2|誰?|いつ|いつ?|どこ|どこ?|なぜ|なぜ?|どのように|どれ|どうして|\
        何|時期|何時|要文献特定詳細情報|要非一次資料|要高次出典"),
    ("zh", Passage("{1/text}"), "來源請求|来源请求|需要來源|需要来源|fact|cn|引用需要|查證請求|查证请求|驗證請求|page needed|頁碼請求|页码请求|誰|谁|who|何時|何时|when|哪裡|哪裏|哪里|where|\
        哪個|哪些|which|為何|为何|why|如何|how|什麼|按誰|據誰|需要解釋|需要解释|clarify|含糊|更佳來源|更佳来源|來源不可靠|可疑|原創研究|原创研究"),
    ("vi", Doubt, "cần chú thích|cần dẫn nguồn|cần nguồn|nguồn?|fact|ai nói|ai?|khi nào|khi nào?|ở đâu|cái nào?|tại sao?|\
        làm rõ|cần làm rõ|mơ hồ|cần số trang"),
    ("ar arz", Doubt, "بحاجة لمصدر|بحاجة إلى مصدر|حقيقة|من؟|متى؟|أين؟|من|متى|توضيح|بحاجة لتوضيح"),
];

/// Beginnings of names, in lowercase, that identify doubts in any language.
const BEGINNINGS: &[&str] = &["citation needed", "cn-"];

/// Endings of names, in lowercase, that identify doubts in any language.
const ENDINGS: &[&str] = &["-inline", " inline", " needed"];

/// Returns what a doubt shows if no table lists its name. `is_doubt` says whether another name is a doubt.
pub(super) fn by_pattern(name: &str, language: &str, is_doubt: impl Fn(&str) -> bool) -> Option<Shows> {
    let begins = |name: &str| BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    let has_stem = |end: &str| {
        let stem = name.strip_suffix(end).map(|stem| stem.trim_end_matches([' ', '-']));
        stem.is_some_and(|stem| begins(stem) || is_by_ending(stem) || is_doubt(stem))
    };
    if has_stem("span") {
        return Some(Marked("{text/1}"));
    }
    // Of two such templates, the second has the words as its value.
    if matches!(language, "ru" | "uk" | "be") && has_stem("2") {
        return Some(Passage("{1/текст}"));
    }
    // "Range"
    if language == "ja" && (name.ends_with("範囲") || name.ends_with("範囲2")) {
        return Some(Marked("{1}"));
    }
    begins(name).then_some(Doubt)
}

/// Whether the ending of a name, in lowercase, identifies a doubt.
pub(super) fn is_by_ending(name: &str) -> bool {
    ENDINGS.iter().any(|end| name.ends_with(end))
}

/// The probable meaning of a doubt's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A date or number: when the doubt was raised.
    Date,
    /// A single short word: part of the sentence, or a parameter of the template.
    Word,
    /// Part of the sentence, or a remark about it.
    Passage,
}

impl Value {
    pub(super) fn of(text: &str) -> Self {
        // In scripts without spaces, a word has about two characters.
        const CHARACTERS: usize = 3;
        const LETTERS: usize = 13;
        let text = text.trim();
        let words = || text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        let is_of_date = |word: &str| {
            let small = word.to_lowercase();
            MONTHS.contains(&small.as_str()) || OF_DATES.contains(&small.as_str())
        };
        if words().all(is_of_date) {
            return Self::Date;
        }
        let letters = text.chars().filter(|c| c.is_alphabetic()).count();
        let wide = text.chars().filter(|c| is_written_without_spaces(*c)).count();
        let is_long = letters >= LETTERS || wide >= CHARACTERS || text.contains("[[");
        if is_long || text.split_whitespace().nth(1).is_some() { Self::Passage } else { Self::Word }
    }
}

/// Whether a sentence may lack something among these values, for a template that is not known to show them.
pub(super) fn may_lack(values: &Values<'_>) -> bool {
    values.unnamed_text().any(|text| Value::of(text) == Value::Passage)
}

#[rustfmt::skip]
const MONTHS: &[&str] = &[
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sept", "sep", "oct", "nov", "dec",
    "januar", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember",
    "janvier", "février", "mars", "avril", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
    "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "setiembre", "octubre",
    "noviembre", "diciembre",
    "gennaio", "febbraio", "aprile", "maggio", "giugno", "luglio", "settembre", "ottobre", "dicembre",
    "januari", "februari", "maart", "mei", "augustus",
    "maj", "augusti",
    "stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca", "lipca", "sierpnia", "września", "października",
    "listopada", "grudnia", "styczeń", "luty", "marzec", "kwiecień", "czerwiec", "lipiec", "sierpień", "wrzesień",
    "październik", "listopad", "grudzień",
    "janeiro", "fevereiro", "março", "maio", "junho", "julho", "setembro", "outubro", "novembro", "dezembro",
    "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября",
    "декабря", "январь", "февраль", "март", "апрель", "май", "июнь", "июль", "август", "сентябрь", "октябрь",
    "ноябрь", "декабрь",
    "січня", "лютого", "березня", "квітня", "травня", "червня", "липня", "серпня", "вересня", "жовтня", "листопада",
    "грудня", "січень", "лютий", "березень", "квітень", "травень", "червень", "липень", "серпень", "вересень",
    "жовтень", "листопад", "грудень",
    "يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر", "أكتوبر", "نوفمبر", "ديسمبر",
];

/// Words and letters in dates that are not months.
const OF_DATES: &[&str] = &[
    "of", "de", "del", "di", "th", "st", "nd", "rd", "utc", "cet", "cest", "msk", "г", "год", "года", "р", "року",
    "tháng", "ngày", "năm", "年", "月", "日", "t", "z",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_not_passages() {
        for text in [
            "May 2012",
            "2 de mayo de 2012",
            "2012-05-06",
            "2012年5月",
            "12 мая 2012 года",
            "tháng 5 năm 2012",
            "5",
            "mai",
        ] {
            assert_eq!(Value::of(text), Value::Date, "{text}");
        }
        for text in ["in May 2012", "text that matters", "重要文字", "[[Oslo]]", "Donaudampfschiff"] {
            assert_eq!(Value::of(text), Value::Passage, "{text}");
        }
        assert_eq!(Value::of("texto"), Value::Word);
    }
}
