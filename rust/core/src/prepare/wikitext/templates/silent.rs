//! Templates that a sentence does not need: sources and notes, doubts of editors, anchors, places on the globe, and what
//! sets up a page. What they leave is no hole.

/// Names, by the languages of the sites ("" means all).
#[rustfmt::skip]
pub(super) const NAMES: &[(&str, &str)] = &[
    // Sources and notes
    ("", "citation|cite|r|rp|ran|ref|refn|refnest|ref label|note label|note|notetag|sfn|sfnp|sfnm|sfnref|harv|harvnb|\
        harvcol|efn|ref+|web reference|webarchive|wayback|doi|pmid|oclc|jstor|arxiv|hdl|bibcode|LCCN|imdb name|\
        imdb title|reflist|refbegin|refend|notelist|references|hatnote|inflation-fn|inflation/fn|self-reference|psr|\
        listref|source-attribution|1911|EB1911|DNB"),
    // Doubts
    ("", "fact|cn|cb|citation needed|citation needed span|citeneeded|citation requested|cit needed|uncited|\
        uncited inline|unreferenced|unsourced inline|needs citation|better source|better source needed|bsn|\
        bettersource|failed verification|fv|not in source|nis|not in citation given|verify source|verification needed|\
        verify quote|vs|verify inline|full citation needed|page needed|pn|page number needed|volume needed|\
        year needed|date missing|dead link|dl|deadlink|cbignore|dubious|dubious-inline|discuss|disputed inline|\
        disputed-inline|disputed span|contradict inline|contradictory inline|clarify|clarification needed|clarifyme|\
        clarify span|vague|ambiguous|specify|elucidate|explain|confusing inline|incomprehensible inline|when|when?|\
        date needed|who|who?|whom|by whom|by who|according to whom|says who|attribution needed|which|which?|where|\
        where?|what|what?|why|why?|how|how?|compared to?|quantify|example needed|examples|definition needed|\
        jargon inline|technical inline|technical statement|or|original research inline|or inline|syn|synthesis inline|\
        pov-inline|pov statement|npov language|lopsided inline|undue inline|undue weight inline|promotional inline|\
        peacock inline|peacock term|weasel inline|weasel-inline|weasel word|buzz|cliche inline|tone inline|\
        unbalanced opinion|editorializing|relevance inline|importance inline|off topic inline|non sequitur|\
        update inline|update after|update-inline|needs update|out of date inline|obsolete source|old fact|\
        self-published inline|self-published source|sps|primary source inline|primary source needed|psn|\
        non-primary source needed|third-party inline|third-party source needed|unreliable source|unreliable source?|\
        unreliable source inline|unreliable medical source|medcn|medical citation needed|medrs|user-generated inline|\
        user-generated source|circular|circular reference|copyvio link|copy edit-inline|copy edit inline|awkward|sic?|\
        chronology citation needed|speculation inline|failed verification span|quote without source|cite check|\
        too many refs|inconsistent inline|year missing|pronunciation-needed|IPA needed|translation needed|\
        lead citation needed|bare url inline|link rot inline"),
    // Anchors, places, marks of the page
    ("", "anchor|anchors|anchor for redirect|coord|coor|coordinates|coord missing|clear|clr|clear left|clear right|-|\
        clearleft|void|null|empty|short description|italic title|italictitle|lowercase title|lowercase|displaytitle|\
        title language|good article|featured article|featured list|pp|pp-semi-indef|protected|bots|nobots|nofootnotes|\
        more citations needed|refimprove|original research|cleanup|orphan|stub|main|main article|further|see|see also|\
        details|about|for|for2|other uses|otheruses|other people|distinguish|redirect|redirect-distinguish|toc|\
        toclimit|toc limit|toc right|toc left|compact toc|notoc|authority control|portal|portal bar|portal-inline|\
        subject bar|commons|commons category|commons category-inline|commonscat|commonscat-inline|wikisource|\
        wikiquote|wiktionary|wikivoyage|sister project links|persondata|defaultsort|taxonbar|listen|image label|\
        css image crop|multiple image|flagicon|flag icon|flagdeco|noflag icon|flagicon image|hidden begin|hidden end|\
        col-begin|col-break|col-end|div col|div col end|center|end div|nowrap begin|nowrap end|hs|hidden sort key|pdf|\
        pdf link|lang-icon|en icon|de icon|fr icon|es icon|ru icon|ja icon|zh icon|it icon|editnote|update|current|\
        use dmy dates|use mdy dates|Use British English|Use American English|EngvarB|EngvarO"),

    ("de", "Belege fehlen|Belege|Belege?|Quelle|Quellen|Quelle?|Quellen fehlen|Beleg|Internetquelle|Literatur|\
        Webarchiv|Toter Link|Tote Links|Fußnote|FN|FNZ|FNBox|Anker|Anm.|Anmerkung|Coordinate|Koordinate|Hauptartikel|\
        Siehe auch|Dieser Artikel|Begriffsklärung|Begriffsklärungshinweis|Weiterleitungshinweis|Normdaten|\
        Personendaten|Absatz|Überarbeiten|Lückenhaft|Neutralität|Veraltet|Zukunft|Unverständlich|\
        Allgemeinverständlichkeit|Nur Liste|Deutschlandlastig|Wikidata-Registrierung|Imagemap|Panorama|Commonscat|\
        Schweizbezogen|Österreichbezogen|Belege Abschnitt|ref-en|Wann?|Wer?|Wo?|Was?|Warum?|Widerspruch|\
        Mehrere Bilder|Glottolog|Seite fehlt|Navigationsleiste|BibISBN|BibDOI|HLS|NDB|ADB|GND|IMDb|Patent|Kasten|\
        Exzellent|Lesenswert"),
    ("fr", ",|,,|note|références|réf|refa|harvsp|harvsp-nb|ouvrage|article|lien web|lien brisé|lien mort|lien archive|\
        lien vidéo|chapitre|périodique|thèse|plume|note de fin|note groupe|quand|quand ?|qui|qui ?|par qui|par qui ?|\
        lesquels|lesquelles|lequel|laquelle|lesquels ?|où|où ?|pourquoi|pourquoi ?|comment|comment ?|combien|\
        combien ?|quoi|quoi ?|c'est-à-dire|préciser|à préciser|à sourcer|source|sources|source ?|à vérifier|\
        à actualiser|à délier|à lier|à compléter|sourcer|non neutre|citation nécessaire|vérifier|pertinence|doute|\
        attention|incohérence|contradiction|ancre|ancres|coord|voir homonymes|homonymie|autres projets|\
        article détaillé|articles détaillés|loupe|détails|voir|à ne pas confondre avec|confusion|sous-titre|\
        titre en italique|ébauche|portail|palette|clr|autorité|bases|fr|en|de|es|it|la|ja|ru|nl|pt|ar|zh|el|grc|he|pl|\
        sv|en-US|mul|langues|isbn|pdf|nobots|suivi des biographies"),
    ("es", "cita requerida|cr|citar|cita web|cita libro|cita noticia|cita publicación|cita conferencia|cita episodio|\
        obra citada|sin referencias|referencias|referencias adicionales|listaref|refn|harvsp|harvnp|harvnb|ancla|\
        coord|véase también|vt|ap|AP|otros usos|otros usos2|no confundir|redirige aquí|enlace roto|clarificar|aclarar|\
        ampliar|aclaración|¿cuándo?|cuándo|¿quién?|quién|¿quiénes?|quiénes|¿cuál?|cuál|¿cuáles?|cuáles|¿cómo?|cómo|\
        ¿dónde?|dónde|¿por qué?|por qué|¿por quién?|por quién|¿qué?|¿según quién?|según quién|¿cuánto?|discutido|\
        demostrar|verificar|verificación|verificar credibilidad|actualizar|futuro|PVfan|traducción|traducido ref|\
        control de autoridades|artículo bueno|artículo destacado|commonscat|commons|portal|fuentes|fuente primaria|\
        revisar|página requerida|refref|en|fr|de|it|pt|ca|ja|ru|esbozo"),
    ("it", "cita web|cita libro|cita news|cita pubblicazione|cita testo|cita video|cita conferenza|cita|nota|note|sfn|\
        ref|disambigua|nota disambigua|vedi anche|torna a|interprogetto|portale|controllo di autorità|coord|ancora|\
        àncora|collegamento interrotto|quando|chi|dove|quale|perché|secondo chi|da chi|quanto|dubbio|\
        da aggiornare|aggiornare|verifica|verificare|correggere|controllare|fonte|fonti|en|fr|de|es|la|ru|ja|lingue|\
        it|pt|zh|el|ca|avvisounicode|sinottico|organizzare|pov|localismo|abbozzo|stub|\
        immagine multipla|incipit"),
    ("nl", "bron?|bron gevraagd|feit|citatie|citatie nodig|citeer|citeer web|citeer boek|citeer nieuws|citeer journal|\
        citeer tijdschrift|bronvermelding|refn|noot|appendix|voetnoten|zie hoofdartikel|zie ook|hoofdartikel|zie dp|\
        zie artikel|dp|coördinaten|coor dms|coor title dms|coor title dec|dode link|wie?|wanneer?|waar?|welke?|\
        waarom?|hoe?|wat?|verduidelijking|onduidelijk|actueel|verouderd|bronloos|twijfel|wikify|neutraliteit|\
        navigatie|commonscat|beginnetje|anker|anchor|en|fr|de|isbn|portaal|zusterproject|bladzijde"),
    ("sv", "källa behövs|kb|källa|bättre källa|källhänvisning|källor|webbref|bokref|tidskriftsref|tidningsref|not|\
        fotnot|fotnoter|noter|huvudartikel|se även|ej att förväxla med|ej att förväxla|olika betydelser|\
        auktoritetsdata|dödlänk|död länk|förtydliga|förtydligande|när|när?|vem|vem?|var?|vilka|vilka?|vilken|\
        enligt vem|enligt vem?|oklart|ifrågasatt|uppdatera|icke-neutralt|coord|koordinater|ankare|commonscat|stub|\
        wikidata-koordinater|sidhänvisning|robotskapad"),
    ("ceb war", "robot|bot|taxobox|taxonbar|reflist|kartposition|geobox|coord"),
    ("pl", "fakt|r|odn|odn2|odnzbiór|cytuj|cytuj stronę|cytuj książkę|cytuj pismo|przypisy|uwaga|uwagi|osobny artykuł|\
        główny artykuł|zobacz też|inne znaczenia|ujednoznacznienie|koordynaty|współrzędne|kto|kto?|kiedy|kiedy?|gdzie|\
        gdzie?|który|jaki|co?|przez kogo|według kogo|doprecyzować|doprecyzuj|dopracować|źródła|źródło|brak źródeł|\
        wątpliwe|niejasne|potwierdzić|zweryfikować|aktualizacja|aktualny|kotwica|martwy link|link martwy|\
        kontrola autorytatywna|commons|siostrzane projekty|ang.|niem.|fr.|ros.|wł.|hiszp.|pol.|łac.|czes.|ukr.|szw.|\
        jęz.|lang icon|fakt2|spis treści|zalążek|grafika rozwinięta|osobny artykuł2"),
    ("pt", "carece de fontes|carece de fontes/bloco|cn|sem fontes|sem-fontes|fonte|fontes|citar|citar web|citar livro|\
        citar periódico|citar jornal|link|ligação inativa|link inativo|refn|nre|nota de rodapé|nota|notas|referências|\
        reflist|artigo principal|ap|vt|ver também|ver desambiguação|desambiguação|não confundir|redireciona|âncora|\
        coord|coor title dms|quem|quem?|quando|quando?|onde|onde?|qual|qual?|quais|quais?|por quê?|por quem|por quem?|\
        segundo quem?|o quê?|esclarecer|explicar|clarificar|necessário esclarecer|vago|duvidoso|controverso|verificar|\
        falhou a verificação|fonte primária|fonte confiável|atualizar|desatualizado|controle de autoridade|portal3|\
        commonscat|esboço|página necessária|título em itálico|en|fr|es|de|it"),
    ("ru", "нет АИ|нет аи|нет АИ 2|не АИ|неАИ|нет в источнике|нет источника|нет источников|источник|источник?|\
        источники|АИ|АИ?|нужен источник|неавторитетный источник|неавторитетный источник?|не авторитетный источник?|\
        первичный источник|самиздат|достоверность|достоверность?|сомнительно|проверить|проверить авторитетность|\
        проверить факт|уточнить|уточнение|уточнить ссылку|прояснить|неясно|непонятно|расплывчато|что|что?|кто|кто?|\
        кем|кем?|кому|кого|когда|когда?|где|где?|какой|какой?|какие|какие?|какая|какое|каких|какими|сколько|сколько?|\
        почему|почему?|чей|чей?|чьё|по мнению кого|по чьему мнению|по каким|насколько|обновить|устарело|\
        значимость факта|значимость?|значимость факта?|нейтральность|не нейтрально|стиль?|оспорено|орисс?|ОРИСС|\
        страница?|страница не указана|недоступная ссылка|мёртвая ссылка|мертвая ссылка|битая ссылка|книга|статья|\
        публикация|sfn|sfn0|sfn1|sfn2|sfn-текст|harvard reference|rp|ref+|примечания|прим|комментарий ссылка|якорь|\
        якорь2|координаты|coord|основная статья|main|см. также|см. статью|см.|другие значения|значения|не путать|\
        перенаправление|заготовка|нет сносок|нет ссылок|начало скрытого блока|конец скрытого блока|карточка|\
        викифицировать|библиоинформация|внешние ссылки|навигация|wayback|архивировано|cite web|эсбе|бсэ|мэсбе|бсэ3"),
    ("uk", "джерело|джерело?|немає джерел|нема джерел|без джерел|факт|fact|ким|ким?|хто|хто?|коли|коли?|де|де?|який|\
        який?|які|як|як?|скільки|чому|що|що?|уточнити|уточнення|прояснити|перевірити|неясно|сумнівно|оновити|\
        недоступне посилання|мертве посилання|книга|стаття|примітки|прим|якір|координати|coord|основна стаття|\
        див. також|не плутати|інші значення|карточка|картка|cite web|нейтральність|авторитетне джерело|\
        недостовірне джерело|універсальна картка|авторитетність"),
    ("ja", "要出典|要出典科学|要検証|要検証範囲外|出典無効|信頼性要検証|独自研究|要ページ番号|要説明|要曖昧さ回避|要追加記述|誰|誰2|誰?|いつ|いつ?|どこ|どこ?|なぜ|なぜ?|どのように|どれ|どうして|\
        何|時期|何時|要文献特定詳細情報|要非一次資料|要高次出典|リンク切れ|注|注釈|脚注|脚注ヘルプ|脚注の不足|出典の明記|脚注リスト|sfn|efn|efn2|refnest|r|rp|ウィキ座標2段度分秒|\
        ウィキ座標|座標一覧|coord|anchors|anchor|アンカー|main|see|seealso|otheruses|redirect|混同|参照方法|単一の出典|未検証|節スタブ|いつ範囲|翻訳告知|\
        lang icon|en icon|出典|cite|ja icon|複数の問題|特筆性|告知|政治的中立性|工事中|現在進行|内容過剰|clear"),
    ("zh", "來源請求|来源请求|需要來源|需要来源|fact|cn|引用需要|citation|查證請求|查证请求|驗證請求|page needed|頁碼請求|页码请求|失效連結|失效链接|死链|誰|谁|who|何時|何时|\
        when|哪裡|哪裏|哪里|where|哪個|哪些|which|為何|为何|why|如何|how|什麼|按誰|據誰|需要解釋|需要解释|clarify|含糊|更佳來源|更佳来源|來源不可靠|可疑|原創研究|原创研究|註|\
        注|註釋|备注|efn|refn|r|rp|sfn|harv|cite|reflist|notelist|main|see also|see|主條目|主条目|參見|参见|other uses|otheruses|\
        distinguish|coord|coor|锚点|錨點|anchor|noteTA|CJK-New-Char|link style|link-style|en|ja|de|fr|ru|de icon|en icon|\
        ja icon|zh icon|地區用詞|portal|需更新|update|時效|多個問題|需要專家"),
    ("vi", "cần chú thích|cần dẫn nguồn|cần nguồn|nguồn?|fact|chú thích|chú thích web|chú thích sách|chú thích báo|\
        chú thích tạp chí|ai nói|ai?|khi nào|khi nào?|ở đâu|cái nào?|tại sao?|làm rõ|cần làm rõ|mơ hồ|liên kết hỏng|\
        số trang|cần số trang|chính|bài chính|xem thêm|đổi hướng|tham khảo|ghi chú|neo|tọa độ|coord|sơ khai|\
        thiếu nguồn gốc|refn|efn|sfn|harv|cần cập nhật|cập nhật"),
    ("ar arz", "بحاجة لمصدر|بحاجة إلى مصدر|مصدر|حقيقة|من؟|متى؟|أين؟|من|متى|توضيح|بحاجة لتوضيح|وصلة مكسورة|مرسى|\
        إحداثيات|مفصلة|طالع أيضا|مراجع|ملاحظة|هامش|وإو|ضبط استنادي|شريط بوابات|بذرة|تصنيف كومنز|استشهاد|\
        استشهاد بويكي بيانات|مقالة رئيسية|coord|sfn|يتيمة"),
];

/// Beginnings and ends of names, in small letters, by which sources, boxes and their kind are known in any language.
#[rustfmt::skip]
const BEGINNINGS: &[&str] = &[
    "cite ", "cite-", "citation ", "cita ", "citar ", "citeer ", "citer ", "citat ", "cytuj ", "chú thích ", "استشهاد",
    "harv", "sfn", "efn", "refn", "ref-", "ref label", "note-", "infobox", "info/", "taxobox", "automatic taxobox", "speciesbox",
    "geobox", "navbox", "sidebar", "ficha de ", "ficha ", "sinottico", "faktamall", "карточка", "картка", "thông tin ", "hộp thông tin",
    "صندوق", "infokasten", "bio ", "tabella ", "pp-", "use ", "coord", "coor ", "commons", "wikisource", "wikiquote", "wiktionary",
    "portal", "portail", "portale", "портал", "commonscat", "navigationsleiste", "stub", "esbozo", "заготовка", "dmoz", "cleanup",
    "unreferenced", "refimprove", "multiple issues", "citation needed", "dead link", "redirect", "other uses", "otheruses", "see also",
    "main ", "nota ", "cn-", "wikidata", "geographic location", "kastje ", "基礎情報", "基础情报", "cite", "spoiler", "clear", "toc ",
];
#[rustfmt::skip]
const ENDINGS: &[&str] = &[
    "-stub", " stub", "-inline", " inline", " icon", "-icon", " needed", "-fn", "infobox", "navbox", " box", "スタブ", "小作品", " sidebar", "-footer",
];

/// Whether a template's name, in small letters, says that a sentence does not need it.
pub(super) fn is_by_pattern(name: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) || ENDINGS.iter().any(|end| name.ends_with(end))
}
