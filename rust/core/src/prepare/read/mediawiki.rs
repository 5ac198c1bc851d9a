//! Reads MediaWiki dumps: the site's properties in the header, and the text of each page.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Aliases of the file namespaces, which a dump's header does not list: the English names, valid everywhere, and
/// present and former names on sites in other languages.
#[rustfmt::skip]
const FILE_NAMES: &[&str] = &[
    "afbeelding", "archivo", "arquivo", "attēls", "berkas", "bestand", "bild", "billede", "datei", "dosya",
    "datoteka", "fichier", "ficheiro", "fil", "file", "fitxer", "fișier", "fájl", "gambar", "grafika", "image",
    "imagem", "imagen", "immagine", "imatge", "imagine", "kuva", "kép", "lêer", "media", "mynd", "obrázok", "plik",
    "resim", "slika", "soubor", "súbor", "tập tin", "tiedosto", "hình", "vaizdas", "αρχείο", "εικόνα", "выява",
    "датотека", "зображення", "изображение", "картинка", "слика", "сүрөт", "сурет", "файл", "պատկեր", "קובץ", "תמונה",
    "تصویر", "تصوير", "صورة", "ملف", "پرونده", "चित्र", "চিত্র", "படிமம்", "ไฟล์", "ภาพ", "ファイル", "画像", "图像", "圖像",
    "圖片", "图片", "文件", "档案", "檔案", "파일", "그림",
];

/// As [`FILE_NAMES`], for the category namespace.
#[rustfmt::skip]
const CATEGORY_NAMES: &[&str] = &[
    "categoria", "categorie", "category", "categoría", "catégorie", "danh mục", "flokkur", "kategori", "kategoria",
    "kategorie", "kategorija", "kategória", "kategorio", "luokka", "thể loại", "κατηγορία", "категорија", "категорія",
    "категория", "катэгорыя", "կատեգորիա", "קטגוריה", "تصنيف", "رده", "श्रेणी", "বিষয়শ্রেণী", "หมวดหมู่", "カテゴリ",
    "分类", "分類", "분류",
];

/// The first word of a redirect, after `#`, in lowercase. Pages with a `<redirect>` element are redirects even without
/// it.
#[rustfmt::skip]
const REDIRECT_WORDS: &[&str] = &[
    "redirect", "redirection", "redirecionamento", "redirección", "redireccion", "redirecció", "rinvia",
    "weiterleitung", "doorverwijzing", "omdirigering", "omdiriger", "viderestilling", "ohjaus", "uudelleenohjaus",
    "patrz", "przekieruj", "přesměruj", "presmeruj", "átirányítás", "yönlendirme", "yönlendi̇rme", "alih", "đổi",
    "перенаправление", "перенапр", "перенаправлення", "перанакіраванне", "пренасочване", "виж", "преусмери",
    "преусмјери", "ανακατευθυνση", "ανακατεύθυνση", "הפניה", "تحويل", "تغییر_مسیر", "تغییرمسیر", "転送", "リダイレクト",
    "重定向", "넘겨주기", "पुनर्प्रेषित", "পুনর্নির্দেশ", "เปลี่ยนทาง",
];

/// The message for anything other than comments between pages.
pub(super) const NO_PAGE: &str = "only pages and comments may be here; split the file into one dump per file, or pass skip_bad=True \
    to skip this text";

/// The message for text before the first page of a dump without a header.
pub(super) const NO_BEGINNING: &str = "the dump's beginning is missing: fetch the file again, or pass skip_bad=True to begin with \
    the first <page>, or format='text' if this is plain text";

/// Properties of the site, from the dump's header.
#[derive(Debug, Default)]
pub struct Site {
    /// The ISO 639-1 code of the content's language. If it has none, the site's own code.
    pub language: Option<String>,
    /// Whether there is no header, as in one stream of a multistream dump. Then the dump may end after any page.
    pub(super) is_part: bool,
    files: Vec<String>,
    categories: Vec<String>,
    templates: Vec<String>,
    others: Vec<String>,
}

impl Site {
    /// Returns the properties of a site whose header is missing.
    pub(super) fn of_part() -> Self {
        Self { is_part: true, ..Self::default() }
    }

    /// Reads a header: everything before the first `<page>`.
    ///
    /// # Errors
    /// A description, if the header is not XML or not that of a MediaWiki dump.
    pub fn parse(header: &[u8]) -> Result<Self, String> {
        let header = str::from_utf8(header)
            .map_err(|e| format!("the dump's header is not UTF-8 at byte {}", e.valid_up_to()))?;
        let mut reader = Reader::from_str(header.trim_start_matches('\u{feff}'));
        let mut site = Self::default();
        let mut root = false;
        let mut key: Option<i64> = None;
        let mut name = String::new();
        loop {
            let event = reader
                .read_event()
                .map_err(|e| format!("the dump's header is not XML, at byte {}: {e}", reader.error_position()))?;
            match event {
                Event::Start(start) if !root => {
                    let element = start.name();
                    if element.as_ref() != "mediawiki" {
                        return Err(format!("not a MediaWiki dump: its first element is <{}>", element.as_ref()));
                    }
                    root = true;
                    site.language = attribute(&start, "xml:lang").as_deref().and_then(language_code);
                }
                Event::Start(start) if start.name().as_ref() == "namespace" => {
                    key = attribute(&start, "key").and_then(|k| k.trim().parse().ok());
                    name.clear();
                }
                Event::Text(text) if key.is_some() => name.push_str(&text),
                Event::GeneralRef(reference) if key.is_some() => push_reference(&reference, &mut name),
                Event::End(end) if end.name().as_ref() == "namespace" => {
                    if let Some(key) = key.take() {
                        site.add_namespace(key, &name);
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if root { Ok(site) } else { Err("not a MediaWiki dump: it has no <mediawiki> element".into()) }
    }

    /// Whether links to this namespace show a file, sound or image. `name` is in lowercase, with spaces instead of
    /// underscores.
    pub fn is_file(&self, name: &str) -> bool {
        FILE_NAMES.contains(&name) || self.files.iter().any(|n| n == name)
    }

    /// Whether links to this namespace put the page into a category. `name` is as in [`Site::is_file`].
    pub fn is_category(&self, name: &str) -> bool {
        CATEGORY_NAMES.contains(&name) || self.categories.iter().any(|n| n == name)
    }

    /// Whether this namespace contains the site's templates. `name` is as in [`Site::is_file`].
    pub fn is_template(&self, name: &str) -> bool {
        self.templates.iter().any(|n| n == name)
    }

    /// Whether the site has a namespace of this name. `name` is as in [`Site::is_file`].
    pub fn is_namespace(&self, name: &str) -> bool {
        self.others.iter().any(|n| n == name) || self.is_template(name) || self.is_file(name) || self.is_category(name)
    }

    /// Whether the site's pages are shown in several variants of a language, which `-{..}-` selects.
    pub fn has_variants(&self) -> bool {
        const CODES: &[&str] =
            &["ban", "crh", "gan", "iu", "kk", "ku", "sh", "shi", "sr", "tg", "tly", "uz", "wuu", "zh"];
        self.language.as_deref().is_some_and(|code| CODES.contains(&code))
    }

    fn add_namespace(&mut self, key: i64, name: &str) {
        let name = name.trim().to_lowercase().replace('_', " ");
        match key {
            _ if name.is_empty() => {}
            6 | -2 => self.files.push(name),
            10 => self.templates.push(name),
            14 => self.categories.push(name),
            _ => self.others.push(name),
        }
    }
}

/// One page of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// A page of the article namespace.
    Article {
        /// Its title.
        title: String,
        /// The wikitext of its last revision.
        text: String,
    },
    /// A page that only redirects to another.
    Redirect,
    /// A page of another namespace, not wikitext, or without text.
    Other,
}

/// Why a page cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageError {
    /// The position in the page in bytes, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

/// The element to which character data belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Title,
    Namespace,
    Model,
    Format,
    Text,
}

#[derive(Default)]
struct Fields {
    title: String,
    namespace: String,
    model: String,
    format: String,
    text: String,
    redirect: bool,
}

impl Fields {
    fn of(&mut self, field: Field) -> &mut String {
        match field {
            Field::Title => &mut self.title,
            Field::Namespace => &mut self.namespace,
            Field::Model => &mut self.model,
            Field::Format => &mut self.format,
            Field::Text => &mut self.text,
        }
    }

    fn begin_revision(&mut self) {
        for field in [Field::Model, Field::Format, Field::Text] {
            self.of(field).clear();
        }
    }
}

/// Parses one `<page>..</page>`. If it has several revisions, the last counts.
///
/// # Errors
/// If the page is not UTF-8 or not well-formed XML.
pub fn page(xml: &[u8], site: &Site) -> Result<Page, PageError> {
    let xml = str::from_utf8(xml).map_err(|e| PageError { offset: e.valid_up_to(), reason: "invalid UTF-8".into() })?;
    let fields = read_page(xml)?;
    let in_articles = match fields.namespace.trim() {
        "" => !fields.title.split_once(':').is_some_and(|(prefix, _)| site.is_namespace(&prefix.to_lowercase())),
        key => key == "0",
    };
    let wikitext = matches!(fields.model.trim(), "" | "wikitext") && matches!(fields.format.trim(), "" | "text/x-wiki");
    Ok(if !in_articles || !wikitext {
        Page::Other
    } else if fields.redirect || is_redirect(&fields.text) {
        Page::Redirect
    } else if fields.text.trim().is_empty() {
        Page::Other
    } else {
        // A carriage return ends a line, as in XML.
        let text = if fields.text.contains('\r') {
            fields.text.replace("\r\n", "\n").replace('\r', "\n")
        } else {
            fields.text
        };
        Page::Article { title: fields.title, text }
    })
}

fn read_page(xml: &str) -> Result<Fields, PageError> {
    let mut reader = Reader::from_str(xml);
    let mut fields = Fields::default();
    let mut depth = 0_usize;
    let mut in_revision = false;
    let mut field = None;
    loop {
        let event = reader
            .read_event()
            .map_err(|e| PageError { offset: reader.error_position() as usize, reason: e.to_string() })?;
        match event {
            Event::Start(start) => {
                depth += 1;
                field = enter(&start, depth, in_revision, &mut fields);
                if depth == 2 && start.name().as_ref() == "revision" {
                    in_revision = true;
                    fields.begin_revision();
                }
            }
            Event::Empty(element) => fields.redirect |= depth == 1 && element.name().as_ref() == "redirect",
            Event::End(_) => {
                field = None;
                in_revision &= depth != 2;
                depth = depth.saturating_sub(1);
            }
            Event::Text(text) => {
                if let Some(field) = field {
                    fields.of(field).push_str(&text);
                }
            }
            Event::CData(text) => {
                if let Some(field) = field {
                    fields.of(field).push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(field) = field {
                    push_reference(&reference, fields.of(field));
                }
            }
            Event::Eof if depth > 0 => {
                return Err(PageError { offset: xml.len(), reason: "the page ends before its </page>".into() });
            }
            Event::Eof => return Ok(fields),
            _ => {}
        }
    }
}

/// Slots other than the main one have elements of the same names one level deeper. These are not the page's text.
fn enter(start: &BytesStart, depth: usize, in_revision: bool, fields: &mut Fields) -> Option<Field> {
    match (depth, start.name().as_ref()) {
        (2, "title") => Some(Field::Title),
        (2, "ns") => Some(Field::Namespace),
        (2, "redirect") => {
            fields.redirect = true;
            None
        }
        (3, "model") if in_revision => Some(Field::Model),
        (3, "format") if in_revision => Some(Field::Format),
        (3, "text") if in_revision => Some(Field::Text),
        _ => None,
    }
}

/// Keeps a reference that XML does not define unchanged, because it may be wikitext.
fn push_reference(reference: &BytesRef, out: &mut String) {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        out.push(c);
    } else if let Some(text) = quick_xml::escape::resolve_predefined_entity(reference) {
        out.push_str(text);
    } else {
        out.push('&');
        out.push_str(reference);
        out.push(';');
    }
}

fn attribute(element: &BytesStart, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    Some(found.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

/// Returns the ISO 639-1 code of a site's language, or the site's code if there is none.
fn language_code(site: &str) -> Option<String> {
    let site = site.trim().to_lowercase();
    if site == "simple" {
        return Some("en".into());
    }
    let primary = site.split('-').next().unwrap_or_default();
    match primary.len() {
        0 => None,
        2 => Some(primary.into()),
        _ => {
            let short = isolang::Language::from_639_3(&site).and_then(|language| language.to_639_1());
            Some(short.map_or(site.clone(), Into::into))
        }
    }
}

fn is_redirect(text: &str) -> bool {
    let Some(rest) = text.trim_start().strip_prefix('#') else { return false };
    let end = rest.find(|c: char| c == '[' || c == ':' || c == '：' || c.is_whitespace()).unwrap_or(rest.len());
    let word = rest[..end].to_lowercase();
    REDIRECT_WORDS.contains(&word.as_str())
        && rest[end..].trim_start_matches([' ', '\t', '\n', ':', '：']).starts_with("[[")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<!-- dump -->
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="bg">
  <siteinfo>
    <sitename>Уикипедия &amp; Co</sitename>
    <namespaces>
      <namespace key="-2" case="first-letter">Медия</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="4" case="first-letter">Уики_педия</namespace>
      <namespace key="6" case="first-letter">Снимка &quot;x&quot;</namespace>
      <namespace key="14" case="first-letter">Чекмедже</namespace>
    </namespaces>
  </siteinfo>
  "#;

    fn site() -> Site {
        Site::parse(HEADER.as_bytes()).unwrap()
    }

    fn article(xml: &str) -> (String, String) {
        match page(xml.as_bytes(), &site()) {
            Ok(Page::Article { title, text }) => (title, text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_header() {
        let site = site();
        assert_eq!(site.language.as_deref(), Some("bg"));
        assert!(site.is_file("медия") && site.is_file("снимка \"x\"") && site.is_file("file"));
        assert!(site.is_category("чекмедже") && site.is_category("category") && !site.is_category("file"));
        assert!(site.is_namespace("уики педия") && !site.is_namespace("x") && !site.is_namespace(""));
    }

    #[test]
    fn invalid_headers() {
        assert!(Site::parse(b"<html><body>").unwrap_err().contains("<html>"));
        assert!(Site::parse(b"").unwrap_err().contains("no <mediawiki>"));
        assert!(Site::parse(b"<mediawiki \xff>").unwrap_err().contains("not UTF-8"));
        assert!(Site::parse(b"<mediawiki></x>").unwrap_err().contains("not XML"));
    }

    #[test]
    fn languages() {
        for (site, code) in
            [("en", "en"), ("simple", "en"), ("zh-Hans", "zh"), ("deu", "de"), ("als", "als"), ("bat-smg", "bat-smg")]
        {
            assert_eq!(language_code(site).as_deref(), Some(code));
        }
        assert_eq!(language_code(""), None);
    }

    #[test]
    fn the_last_revision_counts() {
        let (title, text) = article(
            "<page><title>A &amp; B</title><ns>0</ns><id>1</id><revision><id>1</id><model>x</model><text>old</text></revision>\
             <revision><contributor><username>x</username></contributor><model>wikitext</model><format>text/x-wiki</format>\
             <text bytes=\"3\">a &lt;b&gt; &amp;nbsp; &#65;&foo;<![CDATA[<c> &amp;]]>\n</text>\
             <content><model>json</model><text>slot</text></content></revision></page>",
        );
        assert_eq!((title.as_str(), text.as_str()), ("A & B", "a <b> &nbsp; A&foo;<c> &amp;\n"));
    }

    #[test]
    fn pages_that_are_not_articles() {
        let of = |head: &str, text: &str| {
            let xml = format!("<page><title>T</title>{head}<revision><text>{text}</text></revision></page>");
            page(xml.as_bytes(), &site()).unwrap()
        };
        assert_eq!(of("<ns>1</ns>", "x"), Page::Other);
        assert_eq!(of("<ns>0</ns>", ""), Page::Other);
        assert_eq!(of("<ns>0</ns><redirect title=\"x\" />", "x"), Page::Redirect);
        assert_eq!(of("<ns>0</ns><redirect title=\"x\"></redirect>", "x"), Page::Redirect);
        assert_eq!(of("", "#REDIRECT [[x]]"), Page::Redirect);
        assert_eq!(of("", "\n#Пренасочване: [[x]]"), Page::Redirect);
        assert!(matches!(of("", "#redirecting is hard"), Page::Article { .. }));
        let old = "<page><title>Чекмедже:x</title><revision><text>x</text></revision></page>";
        assert_eq!(page(old.as_bytes(), &site()), Ok(Page::Other));
        let module = "<page><title>x</title><ns>0</ns><revision><model>css</model><text>x</text></revision></page>";
        assert_eq!(page(module.as_bytes(), &site()), Ok(Page::Other));
        let deleted = "<page><title>x</title><ns>0</ns><revision><text deleted=\"deleted\" /></revision></page>";
        assert_eq!(page(deleted.as_bytes(), &site()), Ok(Page::Other));
    }

    #[test]
    fn pages_that_cannot_be_read() {
        let error = page(b"<page><title>x\xff", &site()).unwrap_err();
        assert_eq!((error.offset, error.reason.as_str()), (14, "invalid UTF-8"));
        let error = page(b"<page><title>x</title>", &site()).unwrap_err();
        assert!(error.reason.contains("</page>"), "{error:?}");
        let error = page(b"<page><title>x</titel></page>", &site()).unwrap_err();
        assert_eq!(error.offset, 14, "{error:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(parts in proptest::collection::vec(proptest::sample::select(
            ["<page>", "</page>", "<title>", "</title>", "<revision>", "</revision>", "<text>", "</text>", "<", ">", "&", ";", "&amp;",
             "<![CDATA[", "]]>", "<!--", "-->", "<redirect/>", "#REDIRECT", "[[", "é", "\""].as_slice()), 0..30)) {
            let text = parts.concat();
            let _ = page(text.as_bytes(), &site());
            let _ = Site::parse(text.as_bytes());
        }

        #[test]
        fn text_is_unescaped_once(text in "[a-z&<>\"';# \n\u{e9}]{1,40}[a-z]") {
            let xml = format!("<page><title>x</title><ns>0</ns><revision><text>{}</text></revision></page>", quick_xml::escape::escape(&text));
            prop_assert_eq!(article(&xml).1, text);
        }
    }
}
