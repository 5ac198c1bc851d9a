mod templates;

use std::fmt::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const HEADER: &str = "<mediawiki xml:lang=\"de\"><siteinfo><namespaces><namespace key=\"6\">Bildersammlung</namespace>\
    <namespace key=\"14\">Schublade</namespace><namespace key=\"4\">Wikipedia</namespace></namespaces></siteinfo>";

fn site() -> Site {
    Site::parse(HEADER.as_bytes()).unwrap()
}

fn of(wikitext: &str) -> String {
    let mut out = String::new();
    prose(wikitext, &site(), &mut out);
    out
}

/// Returns the only paragraph of `wikitext`.
#[track_caller]
fn is(wikitext: &str, expected: &str) {
    let expected = if expected.is_empty() { String::new() } else { format!("{expected}\n") };
    assert_eq!(of(wikitext), expected, "{wikitext}");
}

#[test]
fn paragraphs() {
    is("one\ntwo\n\nthree\n", "one two\nthree");
    is("one<!-- a\n\nb -->\ntwo", "one two");
    is("one\n<!-- a comment alone -->\ntwo", "one two");
    is("one\n{{clear}}\ntwo", "one\ntwo");
    is("one\n== Heading == <!-- x -->\ntwo\n=x=\nthree\n----four", "one\ntwo\nthree\nfour");
    is(" indented\n\ttext", "indented text");
    is("我们\n他们。\n你们\nABC\nthey", "我们他们。你们 ABC they");
    is("12 – 13\n\n...", "");
    is("a<br>b<br/>\n<br />c<p>d</p>e", "a b\nc\nd\ne");
    is("one\r\ntwo\u{1} and\tthree", "one two and three");
    is("= 5 is what remains", "= 5 is what remains");
}

#[test]
fn lists_keep_sentences_only() {
    is(
        "* A name\n* [[A title]] (1990)\n# This one is a sentence.\n: So is \"this one, too.\"",
        "This one is a sentence.\nSo is \"this one, too.\"",
    );
    is("* Two words.\n*** Now here are four.<ref>x</ref>", "Now here are four.");
    is("*这是一个完整的句子。\n*名字", "这是一个完整的句子。");
    is("* Smith, John (1990). ''The Book of Things''. London.\n* It has an ISBN 3-11 here.", "");
    is("* [http://x.org The site] of this thing here.", "");
    is("<ul><li>A sentence has some words.</li><li>Name</li></ul>", "A sentence has some words.");
    is("[[*NSYNC]] sang", "*NSYNC sang");
}

#[test]
fn templates_and_tables() {
    is("a {{x|{{y|[[z}} ]] }} b", "a b");
    is("a {{{1|{{{2|}}}}}} b {{{{{x}}}}}", "a b");
    is("{| class=x\n| a\n|-\n|\n{|\n| b\n|}\n| {{t\n|}}\n|}\ntext", "text");
    is("{{Infobox\n| a =\n{|\n|x\n|}\n| b = 2\n}}\ntext", "text");
    is(":{|\n|x\n|}\ntext", "text");
    is("<table><tr><td>a<table><td>b</table></table>text", "text");
    is("{|\n| never closed\n\n== Heading ==\ntext", "text");
    is("text\n{{never closed\n| a = b\nmore", "text\nmore");
    is("far {{x|5} it is", "far it is");
    is("a }} b ]] c [[ d", "a b c d");
    is("set {a} and {", "set {a} and {");
}

#[test]
fn elements() {
    is("a<ref>b [[c</ref><ref name=x/> d <ref name=\"y\">{{e</ref>f<references/>", "a d f");
    is("a <ref>left open. b <ref>c</ref> d", "a left open. b d");
    is("a <math>{{x</math> b<syntaxhighlight lang=c>\nint x;\n</syntaxhighlight>\nc", "a b c");
    is("<nowiki>[[a]] ''b'' &amp;\n{{c}}</nowiki>", "[[a]] ''b'' & {{c}}");
    is("use <code>x = y</code> <code>a\nb</code> now", "use x = y now");
    is("<span style=\"x\">a</span> <b>b</B> < c > d <x@y.z> 1 <2", "a b < c > d <x@y.z> 1 <2");
    is("a <unknown x=1>b</unknown>", "a b");
    is("a <!-- never closed b", "a");
    is("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字", "漢字");
    is("__NOTOC__a __INHALTSVERZEICHNIS__ x__init__ __", "a x__init__ __");
}

#[test]
fn links() {
    is("[[a]]s and [[b|c]]d, [[e (f)|]], [[Wikipedia:g|]], [[:h]], [[#i]]", "as and cd, e, g, h, i");
    is("[[File:x.png|thumb|a [[b]] [[c|d]]]]text[[Bildersammlung:x]] [[Schublade:y]][[Datei:z|a]]", "text");
    is("[[:File:x.png]] and [[:fr:y|z]]", "File:x.png and z");
    is("text\n\n[[fr:Texte]]\n[[zh-min-nan:x]] [[simple:x]]\n[[2001: A Space Odyssey]]", "text\n2001: A Space Odyssey");
    is(
        "[http://x.org a [[b]] c] d [http://y.org] e http://z.org/__a_ f [sic] [1]",
        "a b c d e http://z.org/__a_ f [sic] [1]",
    );
    is("[//x.org a] [http://never closed\n[[http://x.org b]]", "a [http://never closed b");
    is("text\n[[File:never closed|thumb|caption\nmore", "text\nmore");
    is("[[a|b [[c]] d", "a|b c d");
    is("[[[a]]] [[[[b]]]] [[c|[http://x.org d]]] [http://x.org [[e]]]", "[a] b d e");
}

#[test]
fn quotes() {
    is("''a'' '''b''' '''''c''''' d'e ''''f'''' ''''''''g''", "a b c d'e 'f' '''g");
    is("l'''Avare'' et l''''Orfeo'''", "l'Avare et l'Orfeo");
    is("l'''Avare'' de Molière", "l'Avare de Molière");
}

#[test]
fn references() {
    is(
        "a&nbsp;b &amp; &lt;ref&gt; &eacute;&#233;&#xE9; &unknown; R&D &amp;amp;",
        "a b & <ref> ééé &unknown; R&D &amp;",
    );
    is("&#0;&#x110000;a&shy;b&lrm;", "\u{fffd}\u{fffd}ab");
}

#[test]
fn gaps_are_repaired() {
    is("A ({{x}}) b ( {{x}} ; {{y}} ), c ({{x}}, d) e (f; {{x}}).", "A b, c (d) e (f).");
    is("A {{x}}, b {{x}}. C {{x}}; d , e {{x}} .5", "A, b. C; d , e .5");
    is("{{x}}, also known as a", "also known as a");
    is("a, {{x}}, b", "a, b");
    is("a \"{{x}}\" b “{{x}}” f() ( )", "a b f() ( )");
    is("一（{{x}}）是", "一是");
}

#[test]
fn variants() {
    let mut out = String::new();
    let mut site = site();
    site.language = Some("zh".into());
    prose("-{zh-hans:甲; zh-hant:乙;}-丙-{丁}--{H|zh-cn:戊}-。-{zh|己 -{庚}-}-", &site, &mut out);
    assert_eq!(out, "甲丙丁。己 庚\n");
    is("3-{4-[x]}-y", "3-{4-[x]}-y");
}

#[test]
fn malformed_pages_take_no_longer() {
    let site = site();
    let parts = [
        "{{",
        "}}",
        "[[",
        "]]",
        "<ref>",
        "'''",
        "<!--",
        "{|\n",
        "\n|}",
        "{|\n|}",
        "[http://x ",
        "[[a|",
        "{{lang|a|",
        "<",
        "<math",
        "-{",
        "&amp",
        "__A",
        "__",
        "<table>",
        "\n{| {{",
        "[[a]][http://x ",
        "{{x\n",
        "[[File:",
        "''''' ",
        "({{x}}",
        "\n*:#;",
        "</ref>",
        "{{a}}{|",
        "<nowiki>",
        "<br>",
        "{{{",
        "a ''' b '' ",
        "(, ",
        "{{convert|1|",
        "{{snd}}",
        "{{nowrap|{{snd}}",
        "{{formatnum:",
        "a{{x}}",
        "{{x|[[",
        "<math>x</math> ",
        "]",
        "[",
        "}",
        "{",
    ];
    for part in parts {
        for tail in ["", "]]", "}}", "[[a]]", "|}"] {
            let text = part.repeat((1 << 20) / part.len()) + tail;
            let began = Instant::now();
            let mut out = String::new();
            prose(&text, &site, &mut out);
            // A quadratic search takes hours; a busy machine does not.
            assert!(began.elapsed() < Duration::from_mins(10), "{part:?} {tail:?}: {:?}", began.elapsed());
        }
    }
    for (open, close) in
        [("{{lang|a|", "}}"), ("[[a|", "]]"), ("{{", "}}"), ("{{{", "}}}"), ("\n{|\n", "\n|}"), ("<table>", "</table>")]
    {
        let text = open.repeat(100_000) + "x" + &close.repeat(100_000);
        let began = Instant::now();
        prose(&text, &site, &mut String::new());
        // A quadratic search takes hours; a busy machine does not.
        assert!(began.elapsed() < Duration::from_mins(10), "{open:?}: {:?}", began.elapsed());
    }
}

fn token() -> impl Strategy<Value = String> {
    const TOKENS: &[&str] = &[
        "{{",
        "}}",
        "{",
        "}",
        "[[",
        "]]",
        "[",
        "]",
        "|",
        "{|",
        "|}",
        "\n",
        "\n\n",
        "''",
        "'''",
        "'",
        "<ref>",
        "</ref>",
        "<ref/>",
        "<!--",
        "-->",
        "<nowiki>",
        "</nowiki>",
        "<br>",
        "<table>",
        "</table>",
        "<li>",
        "<code>",
        "</code>",
        "<",
        ">",
        "&amp;",
        "&",
        ";",
        "==",
        "=",
        "*",
        ":",
        "#",
        "__",
        "NOTOC",
        "-{",
        "}-",
        "zh:",
        "H|",
        "File:",
        "fr:",
        "http://",
        " ",
        "(",
        ")",
        ",",
        ".",
        "\"",
        "lang|",
        "convert|",
        "nowrap|",
        "frac|",
        "ship|",
        "{{snd}}",
        "{{!}}",
        "{{zwj}}",
        "formatnum:",
        "<math>x</math>",
        "5",
        "word",
        "é",
        "我",
        "。",
        "\u{0}",
        "\u{a0}",
        "----",
    ];
    proptest::sample::select(TOKENS).prop_map(str::to_owned)
}

/// Wikitext with only words in it, and all its marks closed.
fn balanced() -> impl Strategy<Value = String> {
    let leaf = "[a-zé我]{1,5}";
    leaf.prop_recursive(6, 60, 4, |inner| {
        let inside = proptest::collection::vec(inner, 0..4).prop_map(|parts| parts.join(" "));
        (inside, 0..10).prop_map(|(inside, kind)| match kind {
            0 => format!("{{{{x|{inside}}}}}"),
            1 => format!("[[{inside}]]"),
            2 => format!("[[target|{inside}]]"),
            3 => format!("[[File:x.png|{inside}]]"),
            // Adjacent marks have another meaning: of ten apostrophes, five are text.
            4 if inside.is_empty() || inside.contains('\'') => inside,
            4 => format!("''{inside}''"),
            5 => format!("<span>{inside}</span>"),
            6 => format!("\n{{|\n|{inside}\n|}}\n"),
            // A label must not span lines or contain another such link.
            7 if inside.contains(['\n', '[']) => inside,
            7 => format!("[http://x.org {inside}]"),
            8 => format!("{{{{lang|fr|{inside}}}}}"),
            _ => format!("<!-- x -->{inside}"),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics_and_lines_are_paragraphs(tokens in proptest::collection::vec(token(), 0..60), variants: bool) {
        let text = tokens.concat();
        let mut site = site();
        site.language = variants.then(|| "zh".into());
        let mut out = String::from("before\n");
        let holes = prose(&text, &site, &mut out);
        prop_assert!(holes.is_sorted());
        for hole in holes {
            prop_assert!(out.is_char_boundary(hole) && hole >= "before\n".len() && hole < out.len(), "{hole} {out:?}");
            prop_assert!(!out[hole..].starts_with(['\n']), "{hole} {out:?}");
        }
        let written = out.strip_prefix("before\n").unwrap();
        prop_assert!(written.is_empty() || written.ends_with('\n'));
        for line in written.lines() {
            prop_assert!(line.chars().any(char::is_alphabetic));
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            prop_assert_eq!(line.trim_matches(' '), line);
            prop_assert!(!line.contains("  "));
        }
    }

    #[test]
    fn nothing_is_left_of_balanced_markup(text in balanced()) {
        let out = of(&text);
        for mark in ["{{", "}}", "[[", "]]", "''", "<", "{|", "|}", "http", "|"] {
            prop_assert!(!out.contains(mark), "{mark} in {out:?} of {text:?}");
        }
    }

    #[test]
    fn prose_without_markup_stays(paragraphs in proptest::collection::vec("[A-Za-z][a-z]{0,5}( [a-zäß(]{1,6}[,.)!?]?){0,8}", 0..5)) {
        let (mut text, mut expected) = (String::new(), String::new());
        for paragraph in &paragraphs {
            writeln!(text, "{paragraph}\n").unwrap();
            writeln!(expected, "{paragraph}").unwrap();
        }
        let once = of(&text);
        prop_assert_eq!(&once, &expected);
        let again = of(&once.replace('\n', "\n\n"));
        prop_assert_eq!(again, once);
    }
}
