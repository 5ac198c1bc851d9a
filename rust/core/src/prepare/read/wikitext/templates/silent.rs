//! Templates that a sentence does not need: sources, notes, anchors, coordinates, and settings of the page. They leave
//! no hole.

/// Names, by the languages of the sites ("" for all).
#[rustfmt::skip]
pub(super) const NAMES: &[(&str, &str)] = &[
    // Sources and notes
    ("", "citation|cite|r|rp|ran|ref|refn|refnest|ref label|note label|note|notetag|sfn|sfnp|sfnm|sfnref|harv|harvnb|\
        harvcol|efn|ref+|web reference|webarchive|wayback|doi|pmid|oclc|jstor|arxiv|hdl|bibcode|LCCN|imdb name|\
        imdb title|reflist|refbegin|refend|notelist|references|hatnote|inflation-fn|inflation/fn|self-reference|psr|\
        listref|source-attribution|1911|EB1911|DNB"),
    ("", "unreferenced|dead link|dl|deadlink|cbignore|copyvio link|cite check|bare url inline|link rot inline"),
    // Anchors, coordinates, settings of the page
    ("", "anchor|anchors|anchor for redirect|coord|coor|coordinates|coord missing|clear|clr|clear left|clear right|-|\
        clearleft|void|null|empty|short description|italic title|italictitle|lowercase title|lowercase|displaytitle|\
        title language|good article|featured article|featured list|pp|pp-semi-indef|protected|bots|nobots|nofootnotes|\
        more citations needed|refimprove|original research|cleanup|orphan|stub|main|main article|further|see|see also|\
        details|about|for|for2|other uses|otheruses|other people|distinguish|redirect|redirect-distinguish|toc|\
        toclimit|toc limit|toc right|toc left|compact toc|notoc|authority control|portal|portal bar|portal-inline|\
        subject bar|commons|commons category|commons category-inline|commonscat|commonscat-inline|wikisource|\
        wikiquote|wiktionary|wikivoyage|sister project links|persondata|defaultsort|taxonbar|listen|image label|\
        css image crop|multiple image|flagicon|flag icon|flagdeco|noflag icon|flagicon image|hidden begin|hidden end|\
        col-begin|col-break|col-end|div col|div col end|end div|nowrap begin|nowrap end|hs|hidden sort key|pdf|\
        pdf link|lang-icon|en icon|de icon|fr icon|es icon|ru icon|ja icon|zh icon|it icon|editnote|update|current|\
        use dmy dates|use mdy dates|Use British English|Use American English|EngvarB|EngvarO"),
    ("de", "Quelle|Quellen|Internetquelle|Literatur|Webarchiv|Toter Link|Tote Links|Fußnote|FN|FNZ|FNBox|Anker|Anm.|\
        Anmerkung|Coordinate|Koordinate|Hauptartikel|Siehe auch|Dieser Artikel|Begriffsklärung|\
        Begriffsklärungshinweis|Weiterleitungshinweis|Normdaten|Personendaten|Absatz|Überarbeiten|Lückenhaft|\
        Neutralität|Veraltet|Zukunft|Allgemeinverständlichkeit|Nur Liste|Deutschlandlastig|Wikidata-Registrierung|\
        Imagemap|Panorama|Commonscat|Schweizbezogen|Österreichbezogen|Belege Abschnitt|ref-en|Mehrere Bilder|\
        Glottolog|Navigationsleiste|BibISBN|BibDOI|HLS|NDB|ADB|GND|IMDb|Kasten|Exzellent|Lesenswert"),
    ("fr", ",|,,|note|références|réf|refa|harvsp|harvsp-nb|ouvrage|article|lien web|lien brisé|lien mort|lien archive|\
        lien vidéo|chapitre|périodique|thèse|plume|note de fin|note groupe|source|sources|attention|ancre|ancres|\
        coord|voir homonymes|homonymie|autres projets|article détaillé|articles détaillés|loupe|détails|voir|\
        à ne pas confondre avec|confusion|sous-titre|titre en italique|ébauche|portail|palette|clr|autorité|bases|\
        fr|en|de|es|it|la|ja|ru|nl|pt|ar|zh|el|grc|he|pl|sv|en-US|mul|langues|isbn|pdf|nobots|suivi des biographies"),
    ("es", "citar|cita web|cita libro|cita noticia|cita publicación|cita conferencia|cita episodio|obra citada|\
        sin referencias|referencias|referencias adicionales|listaref|refn|harvsp|harvnp|harvnb|ancla|coord|\
        véase también|vt|ap|AP|otros usos|otros usos2|no confundir|redirige aquí|enlace roto|ampliar|actualizar|\
        futuro|PVfan|traducción|traducido ref|control de autoridades|artículo bueno|artículo destacado|commonscat|\
        commons|portal|fuentes|revisar|refref|en|fr|de|it|pt|ca|ja|ru|esbozo"),
    ("it", "cita web|cita libro|cita news|cita pubblicazione|cita testo|cita video|cita conferenza|cita|nota|note|sfn|\
        ref|disambigua|nota disambigua|vedi anche|torna a|interprogetto|portale|controllo di autorità|coord|ancora|\
        àncora|collegamento interrotto|correggere|fonte|fonti|en|fr|de|es|la|ru|ja|lingue|it|pt|zh|el|ca|\
        avvisounicode|sinottico|organizzare|pov|localismo|abbozzo|stub|immagine multipla|incipit"),
    ("nl", "citatie|citeer|citeer web|citeer boek|citeer nieuws|citeer journal|citeer tijdschrift|bronvermelding|refn|\
        noot|appendix|voetnoten|zie hoofdartikel|zie ook|hoofdartikel|zie dp|zie artikel|dp|coördinaten|coor dms|\
        coor title dms|coor title dec|dode link|actueel|verouderd|bronloos|wikify|neutraliteit|navigatie|commonscat|\
        beginnetje|anker|anchor|en|fr|de|isbn|portaal|zusterproject|bladzijde"),
    ("sv", "källa|källhänvisning|källor|webbref|bokref|tidskriftsref|tidningsref|not|fotnot|fotnoter|noter|huvudartikel|\
        se även|ej att förväxla med|ej att förväxla|olika betydelser|auktoritetsdata|dödlänk|död länk|uppdatera|\
        coord|koordinater|ankare|commonscat|stub|wikidata-koordinater|sidhänvisning|robotskapad"),
    ("ceb war", "robot|bot|taxobox|taxonbar|reflist|kartposition|geobox|coord"),
    ("pl", "r|odn|odn2|odnzbiór|cytuj|cytuj stronę|cytuj książkę|cytuj pismo|przypisy|uwaga|uwagi|osobny artykuł|\
        główny artykuł|zobacz też|inne znaczenia|ujednoznacznienie|koordynaty|współrzędne|dopracować|źródła|źródło|\
        brak źródeł|aktualizacja|aktualny|kotwica|martwy link|link martwy|kontrola autorytatywna|commons|\
        siostrzane projekty|ang.|niem.|fr.|ros.|wł.|hiszp.|pol.|łac.|czes.|ukr.|szw.|jęz.|lang icon|spis treści|\
        zalążek|grafika rozwinięta|osobny artykuł2"),
    ("pt", "sem fontes|sem-fontes|fonte|fontes|citar|citar web|citar livro|citar periódico|citar jornal|link|\
        ligação inativa|link inativo|refn|nre|nota de rodapé|nota|notas|referências|reflist|artigo principal|ap|vt|\
        ver também|ver desambiguação|desambiguação|não confundir|redireciona|âncora|coord|coor title dms|\
        fonte primária|fonte confiável|atualizar|desatualizado|controle de autoridade|portal3|commonscat|esboço|\
        título em itálico|en|fr|es|de|it"),
    ("ru", "нет источников|источник|источники|самиздат|уточнить ссылку|обновить|устарело|нейтральность|\
        недоступная ссылка|мёртвая ссылка|мертвая ссылка|битая ссылка|книга|статья|публикация|sfn|sfn0|sfn1|sfn2|\
        sfn-текст|harvard reference|rp|ref+|примечания|прим|комментарий ссылка|якорь|якорь2|координаты|coord|\
        основная статья|main|см. также|см. статью|см.|другие значения|значения|не путать|перенаправление|заготовка|\
        нет сносок|нет ссылок|начало скрытого блока|конец скрытого блока|карточка|викифицировать|библиоинформация|\
        внешние ссылки|навигация|wayback|архивировано|cite web|эсбе|бсэ|мэсбе|бсэ3"),
    ("uk", "джерело|немає джерел|нема джерел|без джерел|оновити|недоступне посилання|мертве посилання|книга|стаття|\
        примітки|прим|якір|координати|coord|основна стаття|див. також|не плутати|інші значення|карточка|картка|\
        cite web|нейтральність|авторитетне джерело|універсальна картка|авторитетність"),
    ("ja", "リンク切れ|注|注釈|脚注|脚注ヘルプ|脚注の不足|出典の明記|脚注リスト|sfn|efn|efn2|refnest|r|rp|ウィキ座標2段度分秒|ウィキ座標|座標一覧|coord|anchors|anchor|\
        アンカー|main|see|seealso|otheruses|redirect|混同|参照方法|単一の出典|未検証|節スタブ|翻訳告知|lang icon|en icon|出典|cite|ja icon|\
        複数の問題|特筆性|告知|政治的中立性|工事中|現在進行|内容過剰|clear"),
    ("zh", "citation|失效連結|失效链接|死链|註|注|註釋|备注|efn|refn|r|rp|sfn|harv|cite|reflist|notelist|main|see also|see|主條目|主条目|參見|\
        参见|other uses|otheruses|distinguish|coord|coor|锚点|錨點|anchor|noteTA|CJK-New-Char|link style|link-style|en|ja|\
        de|fr|ru|de icon|en icon|ja icon|zh icon|地區用詞|portal|需更新|update|時效|多個問題|需要專家"),
    ("vi", "chú thích|chú thích web|chú thích sách|chú thích báo|chú thích tạp chí|liên kết hỏng|số trang|chính|\
        bài chính|xem thêm|đổi hướng|tham khảo|ghi chú|neo|tọa độ|coord|sơ khai|thiếu nguồn gốc|refn|efn|sfn|harv|\
        cần cập nhật|cập nhật"),
    ("ar arz", "مصدر|وصلة مكسورة|مرسى|إحداثيات|مفصلة|طالع أيضا|مراجع|ملاحظة|هامش|وإو|ضبط استنادي|شريط بوابات|بذرة|\
        تصنيف كومنز|استشهاد|استشهاد بويكي بيانات|مقالة رئيسية|coord|sfn|يتيمة"),
];

/// Beginnings of names, in lowercase, that identify sources, boxes and the like in any language.
#[rustfmt::skip]
const BEGINNINGS: &[&str] = &[
    "cite ", "cite-", "citation ", "cita ", "citar ", "citeer ", "citer ", "citat ", "cytuj ", "chú thích ", "استشهاد",
    "harv", "sfn", "efn", "refn", "ref-", "ref label", "note-", "infobox", "info/", "taxobox", "automatic taxobox", "speciesbox",
    "geobox", "navbox", "sidebar", "ficha de ", "ficha ", "sinottico", "faktamall", "карточка", "картка", "thông tin ", "hộp thông tin",
    "صندوق", "infokasten", "bio ", "tabella ", "pp-", "use ", "coord", "coor ", "commons", "wikisource", "wikiquote", "wiktionary",
    "portal", "portail", "portale", "портал", "commonscat", "navigationsleiste", "stub", "esbozo", "заготовка", "dmoz", "cleanup",
    "unreferenced", "refimprove", "multiple issues", "dead link", "redirect", "other uses", "otheruses", "see also",
    "main ", "nota ", "wikidata", "geographic location", "kastje ", "基礎情報", "基础情报", "cite", "spoiler", "clear", "toc ",
];

/// Endings of names, in lowercase, that identify sources, boxes and the like in any language.
#[rustfmt::skip]
const ENDINGS: &[&str] = &[
    "-stub", " stub", " icon", "-icon", "-fn", "infobox", "navbox", " box", "スタブ", "小作品", " sidebar", "-footer",
];

/// Whether a template's name, in lowercase, shows that a sentence does not need it.
pub(super) fn is_by_pattern(name: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) || ENDINGS.iter().any(|end| name.ends_with(end))
}
