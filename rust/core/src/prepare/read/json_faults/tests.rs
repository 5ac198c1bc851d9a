use super::*;
use crate::prepare::read::json_shape::{Shape, shape};

fn said(line: &str) -> String {
    let error = serde_json::from_str::<std::collections::BTreeMap<String, serde_json::Value>>(line).unwrap_err();
    explain(line, &error)
}

#[test]
fn faults_are_named_with_their_position() {
    for (line, what, remedy) in [
        (r#"{"text": "One."},"#, "a comma follows the object at byte 17", "sed "),
        (r#"{"text": "One."} , "#, "a comma follows the object at byte 18", "sed "),
        (r#"{"text": "One."}{"text": "Two."}"#, "another object begins on the same line at byte 17", "one line"),
        (r#"{"text": "One."}, {"text": "Two."}"#, "another object begins on the same line at byte 17", "one line"),
        (r#"{"text": "One."} x"#, "other text follows the object at byte 18", "remove"),
        (r#"{"text": "One.",}"#, "a trailing comma at byte 16", "remove the comma"),
        (r#"{"a": [1, 2, ], "text": "One."}"#, "a trailing comma at byte 12", "remove the comma"),
        (r"{'text': 'One.'}", "single quotes, as Python's repr writes them, at byte 2", "ast.literal_eval"),
        (r#"{"text": "It's.", 'a': 1}"#, "single quotes, as Python's repr writes them, at byte 19", "ast.literal_eval"),
        (r#"{"text": "One.", "a": True}"#, "True, as Python's repr writes it, at byte 23", "ast.literal_eval"),
        (r#"{"text": "One.", "a": [None]}"#, "None, as Python's repr writes it, at byte 24", "ast.literal_eval"),
        (r#"{text: "One."}"#, "a name without quotation marks at byte 2", "double quotes"),
        (r#"{"text": "One.", "a": nan}"#, "nan, which is not a JSON number, at byte 23", "NaN"),
        (r#"{"text": "One.", "b": NaN, "a": -inf}"#, "inf, which is not a JSON number, at byte 34", "NaN"),
        (r#"{"text": "One.", "b": NaN, "a": 1,}"#, "a trailing comma at byte 34", "remove the comma"),
        (r#"{"text": "One." // why"#, "a comment at byte 17", "remove"),
        ("{\"text\": \u{201C}One.\u{201D}}", "a typographic quotation mark at byte 10", "write \""),
        ("{\"text\": \"One\tis.\"}", "a bare control character within a string at byte 14", "strict=False"),
        (r#"{"text": "C:\dir"}"#, "an invalid escape at byte 14", "backslash"),
        (r#"{"text": "One"#, "the object does not end on its line, which has 13 bytes", "one line"),
        (
            r#"{"text": "\ud83d."}"#,
            r"the lone surrogate \ud83d at byte 11 is half a character",
            "on_bad_utf8='replace'",
        ),
        (r#"["One."]"#, "the line is an array", "jq -c "),
        (r#""One.""#, "the line is a string", "jq -c "),
        ("7", "the line is a number", "remove"),
        ("One is here.", "the line begins with 'O', not with {", "format='text'"),
    ] {
        let text = said(line);
        assert!(text.starts_with(&format!("not a JSON object: {what}")), "{line}: {text}");
        assert!(text.contains(remedy) && text.ends_with("or pass skip_bad=True to skip such lines"), "{line}: {text}");
        assert!(!text.contains("jq -c . "), "{line}: {text}");
    }
}

#[test]
fn python_numbers_are_values_only() {
    let replaced = |line| without_python_numbers(line).unwrap_or_default();
    assert_eq!(replaced(r#"{"a": NaN, "b": [-Infinity,Infinity]}"#), r#"{"a": 0  , "b": [-0       ,0       ]}"#);
    for line in
        [r#"{"a": "NaN"}"#, r#"{"a": -NaN}"#, r#"{"a": NaNx}"#, r#"{"a": 1NaN}"#, r#"{"a": "\": NaN"}"#, "{NaN: 1}"]
    {
        assert_eq!(replaced(line), "", "{line}");
    }
}

#[test]
fn only_lone_surrogates_are_lone() {
    let replaced = |line| without_lone_surrogates(line);
    assert_eq!(replaced(r"\ud83d\ude00 \\ud83d \u00e4"), None);
    assert_eq!(replaced(r"\ud83d \ude00\ud83d\ud83d\ude00"), Some((r"\ufffd \ufffd\ufffd\ud83d\ude00".into(), 3)));
    assert_eq!(replaced(r"\ud83"), None);
}

#[test]
fn faults_in_the_first_line_are_left_to_the_reader() {
    for line in [r#"{"text": "One."},"#, r#"{"text": "One.",}"#, r#"{"text": "It's.", 'a': 1}"#, r#"{"text": "One"#] {
        assert_eq!(shape(format!("{line}\n{line}\n").as_bytes(), true), Shape::Lines, "{line}");
    }
}
