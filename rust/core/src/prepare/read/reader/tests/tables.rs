//! Tests reading tables with misplaced quotes, and tables recognized by their names.

use std::fmt::Write;

use super::*;

fn named(
    name: &str,
    text: &str,
    change: impl Fn(&mut ReadOptions),
) -> Result<(Vec<String>, &'static str, u64), String> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(name), text).unwrap();
    let mut options = options();
    change(&mut options);
    let mut reader = RawReader::new(expand_inputs(&[directory.path()]).unwrap(), Arc::new(options.clone()))
        .map_err(|it| it.to_string())?;
    let (read, _) = read_all(&mut reader, &options)
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))?;
    Ok((read.texts, read.formats[0].0, read.counts.bad_records))
}

#[test]
fn tabs_and_quotes_that_quote_nothing() {
    let mut text = "id\ttext\n".to_owned();
    for i in 1..=400 {
        let row = match i {
            10 => "\"Quoted start without an end".into(),
            300 => "Text 300 with \"inner\" marks".into(),
            _ => format!("Text {i}."),
        };
        writeln!(text, "{i}\t{row}").unwrap();
    }
    let (texts, format, bad) = named("lit.tsv", &text, |_| {}).unwrap();
    assert_eq!((texts.len(), format, bad), (400, "tsv", 0));
    assert_eq!((&*texts[9], &*texts[299]), ("\"Quoted start without an end", "Text 300 with \"inner\" marks"));
    // A table that quotes for a reason is read with quotes.
    let quoted = "id\ttext\n1\t\"One\tis\"\"\n here.\"\n2\tTwo.\n";
    assert_eq!(named("q.tsv", quoted, |_| {}).unwrap().0, ["One\tis\"\n here.", "Two."]);
}

/// The beginning of the table, which determines its dialect, contains none of these rows. Blocks end between them.
#[test]
fn a_row_does_not_depend_on_its_place() {
    for (name, delimiter, odd, expected) in [
        ("a.tsv", '\t', "\"Yes,\" he said.", "\"Yes,\" he said."),
        ("a.tsv", '\t', "\"Hello there.", "\"Hello there."),
        ("a.tsv", '\t', "How are you?\"", "How are you?\""),
        ("a.csv", ',', "\"He said \\\"yes, sir\\\" to me.\"", "He said \"yes, sir\" to me."),
    ] {
        for at in [&[0_usize, 39_999][..], &[30_000, 35_000, 35_001, 39_990], &[39_999]] {
            let mut text = format!("id{delimiter}text\n");
            for i in 0..40_000 {
                let row = if at.contains(&i) { odd.to_owned() } else { format!("plain sentence number {i} is here.") };
                writeln!(text, "{i}{delimiter}{row}").unwrap();
            }
            assert!(text.len() > super::super::TABLE_HEAD + BLOCK_BYTES / 2);
            let (texts, _, bad) = named(name, &text, |_| {}).unwrap();
            assert_eq!((texts.len(), bad), (40_000, 0), "{odd} {at:?}");
            assert!(at.iter().all(|&i| texts[i] == expected), "{odd} {at:?}");
        }
    }
    // This quotation begins in one row and ends in another.
    let text = "id\ttext\n1\t\"Hello there.\n2\tHow are you?\"\n3\tFine.\n4\t\"Yes.\n5\tNo.\"\n6\tGood.\n";
    let texts = named("a.tsv", text, |_| {}).unwrap().0;
    assert_eq!(texts, ["\"Hello there.", "How are you?\"", "Fine.", "\"Yes.", "No.\"", "Good."]);
}

#[test]
fn a_quote_in_the_wrong_place_is_a_bad_row() {
    let text = "id,text\n1,\"Hello\" she said.\n2,Two.\n3,\"Good bye he said.\n4,\"Another one.\n5,Five.\n";
    let error = named("a.csv", text, |_| {}).unwrap_err();
    assert!(
        error.starts_with(
            "a.csv, line 2: the quote that closes the field must be followed by ',' or the end of the row, got \" she said.\"; \
             double quotes within fields (\"\"), or pass skip_bad=True"
        ),
        "{error}"
    );
    let (texts, _, bad) = named("a.csv", text, |it| it.skip_bad = true).unwrap();
    assert_eq!((texts, bad), (vec!["Two.".to_owned(), "Five.".to_owned()], 3));
    let error = named("a.csv", &text.replace("Hello\"", "Hello"), |_| {}).unwrap_err();
    assert!(error.starts_with("a.csv, line 2: ") && error.contains(" in line 4; "), "{error}");
}

#[test]
fn a_stray_quote_costs_one_row() {
    let mut text = "id,text,source\n".to_owned();
    for i in 1..=60_000 {
        let row = match i {
            10 => "\"An inch sign here: 5".into(),
            2500 | 40_000 => format!("\"Text, {i}.\""),
            _ => format!("Text {i}."),
        };
        writeln!(text, "{i},{row},web").unwrap();
    }
    assert!(text.len() > BLOCK_BYTES * 2);
    let (texts, _, bad) = named("a.csv", &text, |it| it.skip_bad = true).unwrap();
    assert_eq!((texts.len(), bad), (59_999, 1));
    assert_eq!((&*texts[9], &*texts[2498]), ("Text 11.", "Text, 2500."));
}

#[test]
fn backslashes_and_spaces_around_quotes() {
    let text = "id,text\n1,\"He said \\\"hello\\\" to me, \\\\ and C:\\new.\"\n2,\"Two, here.\"\n";
    let expected = ["He said \"hello\" to me, \\ and C:\\new.", "Two, here."];
    assert_eq!(named("a.csv", text, |_| {}).unwrap().0, expected);
    let text = "\"id\", \"text\"\n1, \"One, is here.\"\n2 , \"Two \"\"is\"\" here.\" \n";
    assert_eq!(named("a.txt", text, |_| {}).unwrap().0, ["One, is here.", "Two \"is\" here."]);
}

#[test]
fn unusual_headers() {
    let long = format!("id,text,{}\n1,One.,x\n2,Two.,y\n", "a_name_of_many_letters_".repeat(3));
    for text in [
        "id, text\n1,One.\n2,Two.\n",
        "id,text,\n1,One.,\n2,Two.,\n",
        "\"id\", \"text\"\n1,One.\n2,Two.\n",
        "# made in 2020, by hand\nid,text\n1,One.\n2,Two.\n",
        "# id,text\n1,One.\n2,Two.\n",
        "sep=;\nid;text\n1;One.\n2;Two.\n",
        "id,text\r1,One.\r2,Two.\r",
        "id,text,text\n1,One.,x\n2,Two.,y\n",
        "№;text\n1;One.\n2;Two.\n",
        &long,
    ] {
        for name in ["a.csv", "a.txt"] {
            let (texts, format, bad) = named(name, text, |_| {}).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((texts, format, bad), (vec!["One.".to_owned(), "Two.".to_owned()], "csv", 0), "{text:?}");
        }
    }
    let (texts, ..) = named("a.txt", "№;текст\n1;Раз.\n2;Два.\n", |it| it.text_field = "текст".into()).unwrap();
    assert_eq!(texts, ["Раз.", "Два."]);
    // In errors, a carriage return ends a line.
    let error = named("a.csv", "id,text\r1,One.\r2,Two.\r3\r", |_| {}).unwrap_err();
    assert!(error.starts_with("a.csv, line 4: "), "{error}");
}

#[test]
fn a_table_is_recognized_by_its_name() {
    let one = |name: &str| named(name, "text\nOne is here.\n\"Two, here.\"\n", |_| {}).unwrap();
    for name in ["a.csv", "a.CSV", "a.tsv"] {
        assert_eq!(one(name).0, ["One is here.", "Two, here."], "{name}");
    }
    assert_eq!(one("a.txt").1, "text");
    for (name, text) in [("noh.tsv", "1\tOne.\n2\tTwo.\n"), ("b.csv", "A sentence.\n"), ("c.csv", "1,One.\n2,Two.\n")] {
        let error = named(name, text, |_| {}).unwrap_err();
        let format = &name[name.len() - 3..];
        let expected = format!(
            "{name}: its name is that of a table, but no header was found; pass format='{format}' text_field=N"
        );
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(named(name, text, |it| it.format = Format::Text).unwrap().1, "text");
    }
    assert_eq!(named("blank.csv", "\n\n", |_| {}).unwrap().0.concat().trim(), "");
}

#[test]
fn a_header_read_as_a_row_gives_a_warning() {
    let warnings = |text: &str, field: &str| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.csv"), text).unwrap();
        let options = ReadOptions { text_field: field.into(), format: Format::Csv, ..options() };
        let mut reader =
            RawReader::new(expand_inputs(&[directory.path()]).unwrap(), Arc::new(options.clone())).unwrap();
        read_all(&mut reader, &options).unwrap();
        reader
            .warnings()
            .iter()
            .map(|it| it.replace(&format!("{}/", directory.path().display()), ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        warnings("id,\"Main text\"\n1,One.\n2,Two.\n", "2"),
        [
            "a.csv: the first row looks like a header (id, Main text), but is read as text; pass text_field=\"Main text\" if \
          it is one"
        ]
    );
    assert!(warnings("id,review\n1,One.\n", "2")[0].contains("pass text_field=review if"));
    for (text, field) in
        [("1,One is here.\n2,Two.\n", "2"), ("one,two\n", "2"), ("id,2\n1,One.\n", "2"), ("id,text\n1,One.\n", "text")]
    {
        assert_eq!(warnings(text, field), [""; 0], "{text}");
    }
}

#[test]
fn a_column_without_a_table_is_refused() {
    for (name, field) in [("noh.txt", "2"), ("a.txt", "article.body")] {
        let error = named(name, "1,One.\n2,Two.\n", |it| it.text_field = field.into()).unwrap_err();
        assert!(
            error.contains(&format!("{name}: `text_field` has no effect on plain text; pass format='csv'")),
            "{error}"
        );
    }
    let error = named("a.txt", WIKIEXTRACTOR, |it| it.text_field = "body".into()).unwrap_err();
    assert!(error.contains("has no effect on wikiextractor's output; drop `text_field`"), "{error}");
    // One input with fields is enough, and a named column makes the text a table.
    let inputs: [&[u8]; 3] = [b"Text.\n", b"{\"body\": \"One.\"}\n", b"Text.\n"];
    let body = |it: &str| ReadOptions { text_field: it.into(), ..options() };
    assert_eq!(texts(&inputs, &body("body")).len(), 3);
    assert!(read(&[b"Text.\n", b"Text.\n"], &body("body")).is_err_and(|it| it.contains("has no effect")));
    assert_eq!(named("a.txt", "num,corpus\n1,One.\n2,Two.\n", |it| it.text_field = "corpus".into()).unwrap().1, "csv");
}
