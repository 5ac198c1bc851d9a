//! Recognizes hyphens that belong to a word even at the end of a line: before clitics, small words attached to the
//! previous word, and after some prefixes.
//!
//! The second half of a broken word may look like such a small word: "donne-le" has a hyphen, "vil-le" is the broken
//! "ville". Each rule says after which words it holds. It does not apply if a broken word is more likely.

/// What precedes the hyphen, in lowercase.
enum Before {
    Any,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Any word except these.
    Not(&'static [&'static str]),
    /// A word with one of these endings.
    Ends(&'static [&'static str]),
    /// A Portuguese verb form, by its ending; or an unaccented word of at least four letters with one of these endings:
    /// `torna-se`, but not `análi-se`.
    Verb(&'static [&'static str]),
}

/// What follows the hyphen, in lowercase.
enum After {
    Words(&'static [&'static str]),
    /// A word of at least five letters with one of the first endings, except the second words.
    Ends(&'static [&'static str], &'static [&'static str]),
    /// Any word except these.
    Not(&'static [&'static str]),
    /// The same word again.
    Same,
}

type Rule = (Before, After);

/// Whether the hyphen between `part` and `word`, both in lowercase, belongs to the word they form.
pub(super) fn keep_hyphen(part: &str, word: &str, language: &str) -> bool {
    rules(language).iter().any(|(before, after)| after.is(part, word) && before.is(part))
}

impl Before {
    fn is(&self, part: &str) -> bool {
        let ends = |ends: &[&str]| ends.iter().any(|end| part.ends_with(end));
        match self {
            Self::Any => true,
            Self::Words(words) => words.contains(&part),
            Self::Not(words) => !words.contains(&part),
            Self::Ends(of) => ends(of),
            Self::Verb(vowels) => {
                const VERBS: &[&str] = &["ou", "eu", "iu", "am", "em", "ndo", "ava", "asse", "esse", "isse"];
                const LETTERS: usize = 4;
                const NOUNS: &[&str] = &["dioce", "cateque", "exege"];
                ends(VERBS) || (ends(vowels) && part.len() >= LETTERS && part.is_ascii() && !ends(NOUNS))
            }
        }
    }
}

impl After {
    fn is(&self, part: &str, word: &str) -> bool {
        const LETTERS: usize = 5;
        match self {
            Self::Words(words) => words.contains(&word),
            Self::Ends(ends, but) => {
                ends.iter().any(|end| word.ends_with(end))
                    && word.chars().nth(LETTERS - 1).is_some()
                    && !but.contains(&word)
            }
            Self::Not(words) => !words.contains(&word),
            // Excludes short words such as "Mama".
            Self::Same => part == word && word.chars().nth(2).is_some(),
        }
    }
}

fn rules(language: &str) -> &'static [Rule] {
    match language {
        "fr" => FRENCH,
        "pt" => PORTUGUESE,
        "ca" => CATALAN,
        "ro" => ROMANIAN,
        "ru" => RUSSIAN,
        "uk" => UKRAINIAN,
        "bg" | "mk" => BULGARIAN,
        "en" => ENGLISH,
        "id" | "ms" => INDONESIAN,
        _ => &[],
    }
}

const FRENCH: &[Rule] = &[
    (
        Before::Any,
        After::Words(&[
            "il", "elle", "ils", "elles", "on", "je", "nous", "vous", "y", "t", "même", "mêmes", "être", "à",
        ]),
    ),
    (
        Before::Ends(&["est", "était", "étaient", "sera", "serait", "seront", "soit", "sont", "fut", "fût", "furent"]),
        After::Words(&["ce"]),
    ),
    // Not merci, voici, souci
    (Before::Words(&["celui", "celle", "celles", "ceux"]), After::Words(&["ci"])),
    (Before::Words(&["jours", "mois", "fois", "temps", "cas", "moment", "époque"]), After::Words(&["ci"])),
    // Not voilà, delà, cela
    (Before::Not(&["voi", "de", "ce", "au"]), After::Words(&["là"])),
    (Before::Words(&["là", "ici"]), After::Words(&["bas"])),
    (
        Before::Words(&["là", "ci", "au", "par", "en", "de", "ici"]),
        After::Words(&["dessus", "dessous", "dedans", "dehors", "devant", "delà", "haut"]),
    ),
    // Imperatives. Words are also broken before "le" and "la" (seu-les, bel-le, modè-le), but not after these endings.
    (
        Before::Ends(&["ez", "ons", "ds", "ts", "ais", "is", "rne", "nne", "lle", "sse", "tte"]),
        After::Words(&["le", "la", "les"]),
    ),
    (Before::Ends(&["ez", "ons", "ds", "ts", "is", "as"]), After::Words(&["en", "leur"])),
    (Before::Ends(&["s", "x"]), After::Words(&["tu"])),
    (Before::Not(&["ce"]), After::Words(&["lui"])),
    (Before::Not(&["é", "té"]), After::Words(&["moi", "toi"])),
    (Before::Words(&["avant", "après"]), After::Words(&["hier", "demain", "midi", "guerre"])),
    (
        Before::Words(&[
            "vingt",
            "vingts",
            "trente",
            "quarante",
            "cinquante",
            "soixante",
            "quatre",
            "dix",
            "cent",
            "deux",
            "trois",
            "cinq",
            "six",
            "sept",
            "huit",
            "neuf",
        ]),
        After::Words(&[
            "un", "une", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
            "treize", "quatorze", "quinze", "seize", "vingt", "vingts", "et", "cent", "cents", "mille",
        ]),
    ),
];

const PORTUGUESE: &[Rule] = &[
    // Not clas-se, ba-se, análi-se; no-me, hu-ma-nos
    (Before::Verb(&["a", "e", "ar", "er", "ir"]), After::Words(&["se"])),
    (Before::Verb(&["a", "e"]), After::Words(&["me"])),
    (Before::Verb(&[]), After::Words(&["te", "nos", "vos"])),
    // Not deta-lhe, traba-lhe
    (Before::Verb(&["sse", "ia", "ar", "er", "ir", "deve", "pode"]), After::Words(&["lhe", "lhes"])),
    (
        Before::Words(&["dar", "ver", "dir", "far", "ser", "ter", "vir", "pôr", "fez", "fiz", "diz", "pôs"]),
        After::Words(&["se", "lhe", "lhes"]),
    ),
    // After an infinitive that lost its final r
    (Before::Ends(&["á", "ê", "ô", "aí", "uí"]), After::Words(&["lo", "la", "los", "las"])),
    (Before::Ends(&["am", "em", "êm", "ão", "õe"]), After::Words(&["no", "na", "nos", "nas"])),
    (Before::Ends(&["ou", "eu", "iu", "ndo"]), After::Words(&["o", "a", "os", "as"])),
];

const CATALAN: &[Rule] = &[(
    Before::Ends(&["nt", "ar", "er", "ir"]),
    After::Words(&["se", "hi", "ho", "li", "los", "les", "ne", "vos", "nos"]),
)];

const ROMANIAN: &[Rule] = &[
    (Before::Words(&["într", "dintr", "printr", "intr"]), After::Words(&["un", "o", "una", "unul"])),
    (Before::Ends(&["ndu"]), After::Words(&["i", "l", "le", "se", "o", "mi", "ți", "și", "ne", "vă", "şi", "ţi"])),
    (Before::Words(&["să", "dă", "nu", "că"]), After::Words(&["i", "l", "mi", "ți", "și", "şi", "ţi"])),
];

/// Russian pronouns that are hyphenated with a particle before or after them.
const PRONOUNS: &[&str] = &[
    "кто",
    "кого",
    "кому",
    "кем",
    "ком",
    "что",
    "чего",
    "чему",
    "чем",
    "чём",
    "какой",
    "какая",
    "какое",
    "какие",
    "какого",
    "какую",
    "каком",
    "каких",
    "каким",
    "какими",
    "чей",
    "чья",
    "чьё",
    "чьи",
    "где",
    "куда",
    "откуда",
    "когда",
    "как",
    "почему",
    "зачем",
    "отчего",
    "сколько",
    "так",
    "там",
    "тут",
    "тогда",
];

const RUSSIAN: &[Rule] = &[
    (Before::Any, After::Words(&["нибудь", "либо"])),
    (Before::Words(PRONOUNS), After::Words(&["то"])),
    (
        Before::Words(&["все", "всё", "так", "опять", "прямо", "довольно", "действительно", "верно", "снова"]),
        After::Words(&["таки"]),
    ),
    (
        Before::Words(&["ну", "на", "давай", "смотри", "посмотри", "скажи", "иди", "дай", "постой", "погоди"]),
        After::Words(&["ка"]),
    ),
    // Not соба-ка, библиоте-ка
    (Before::Ends(&["йте", "ите", "ьте"]), After::Words(&["ка"])),
    (Before::Words(&["кое", "кой"]), After::Not(&[])),
    // Not по-иски, по-лоски, по-литически
    (
        Before::Words(&["по"]),
        After::Ends(
            &["ески", "нски", "йски", "ьски", "сски", "рски", "вски", "тски", "дски", "цки", "ячьи"],
            &["литически", "этически", "эретически"],
        ),
    ),
    // Not по-добному, по-следнему, по-этому
    (
        Before::Words(&["по"]),
        After::Words(&[
            "моему",
            "твоему",
            "своему",
            "нашему",
            "вашему",
            "новому",
            "старому",
            "другому",
            "иному",
            "разному",
            "прежнему",
            "видимому",
            "хорошему",
            "настоящему",
            "особому",
            "всякому",
            "любому",
            "человечьи",
        ]),
    ),
    (Before::Words(&["во"]), After::Words(&["первых", "вторых"])),
    (Before::Words(&["из"]), After::Words(&["за", "под"])),
    (Before::Any, After::Same),
];

const UKRAINIAN: &[Rule] = &[
    (Before::Any, After::Words(&["небудь"])),
    (
        Before::Words(&["хто", "що", "як", "який", "яка", "яке", "які", "де", "коли", "чий", "куди"]),
        After::Words(&["то", "от"]),
    ),
    (Before::Words(&["все", "так", "таки"]), After::Words(&["таки"])),
    (Before::Words(&["будь", "казна", "хтозна", "бозна"]), After::Not(&["які", "який", "яких"])),
    (Before::Words(&["будь"]), After::Words(&["які", "який", "яких", "яка", "яке", "якого", "якій"])),
    (Before::Words(&["по"]), After::Ends(&["ськи", "цьки"], &[])),
    (
        Before::Words(&["по"]),
        After::Words(&[
            "моєму",
            "твоєму",
            "своєму",
            "нашому",
            "вашому",
            "новому",
            "старому",
            "іншому",
            "різному",
            "справжньому",
        ]),
    ),
    (Before::Words(&["з"]), After::Words(&["за", "під", "над", "поміж"])),
    (Before::Any, After::Same),
];

const BULGARIAN: &[Rule] = &[(Before::Words(&["най"]), After::Not(&[]))];

const ENGLISH: &[Rule] = &[
    (Before::Words(&["self"]), After::Not(&["ish", "ishly", "ishness", "less", "lessly", "lessness", "hood", "same"])),
    (
        Before::Words(&["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]),
        After::Words(&[
            "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "first", "second", "third",
            "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        ]),
    ),
];

const INDONESIAN: &[Rule] = &[(Before::Any, After::Same)];
