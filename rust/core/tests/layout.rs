//! Checks the layout of the sources: a stage uses only the stages before it, and no modules use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The modules that every stage may use. They use no stage.
const GROUND: [&str; 5] = ["error", "files", "tasks", "unicode", "waves"];
/// The stages, in the order of the data flow.
const STAGES: [&str; 5] = ["prepare", "tokens", "instances", "batches", "records"];

/// A module, or an item in one: the names after `crate`.
type Names = Vec<String>;

/// An item of one module that another one uses.
#[derive(Debug)]
struct Use {
    file: PathBuf,
    by: Names,
    of: Names,
}

/// Finds the paths in the tokens of `module` that begin with `crate`, `self` or `super`. They are returned from `crate`
/// on.
fn paths(tokens: TokenStream, module: &[String], found: &mut Vec<(Names, Names)>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if *word == "mod" => {
                if let Some([TokenTree::Ident(name), TokenTree::Group(inner)]) = tokens.get(at + 1..at + 3) {
                    paths(inner.stream(), &[module, &[name.to_string()]].concat(), found);
                    at += 2;
                }
            }
            TokenTree::Ident(word) if is_separator(&tokens, at + 1) && !(at > 1 && is_separator(&tokens, at - 2)) => {
                let base = match word.to_string().as_str() {
                    "crate" => Some(Vec::new()),
                    "self" => Some(module.to_vec()),
                    "super" => Some(module[..module.len() - 1].to_vec()),
                    _ => None,
                };
                if let Some(base) = base {
                    at = path(&tokens, at + 3, base, module, found);
                    continue;
                }
            }
            // `pub(in crate::prepare)` uses nothing.
            TokenTree::Group(group) if !is_visibility(group) => paths(group.stream(), module, found),
            _ => {}
        }
        at += 1;
    }
}

/// Adds the path that continues `base` at `tokens[at]`, or all paths of a group. Returns its end.
fn path(
    tokens: &[TokenTree],
    mut at: usize,
    mut base: Names,
    module: &[String],
    found: &mut Vec<(Names, Names)>,
) -> usize {
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        match name.to_string().as_str() {
            "super" => drop(base.pop()),
            "self" => {}
            name => base.push(name.to_owned()),
        }
        at += 1;
        if !is_separator(tokens, at) {
            found.push((module.to_vec(), base));
            return at;
        }
        at += 2;
    }
    if let Some(TokenTree::Group(group)) = tokens.get(at) {
        let inner: Vec<_> = group.stream().into_iter().collect();
        for item in inner.split(|token| matches!(token, TokenTree::Punct(it) if it.as_char() == ',')) {
            if !item.is_empty() {
                path(item, 0, base.clone(), module, found);
            }
        }
    } else {
        // `*`
        found.push((module.to_vec(), base));
    }
    at + 1
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(it) if it.as_char() == ':')
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at..at + 2).is_some_and(|two| two.iter().all(is_colon))
}

fn is_visibility(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Parenthesis
        && matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(word)) if word == "in")
}

/// Finds every source file below `directory`.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Returns what the crate's modules use of each other, as far as it is a module.
fn uses() -> Vec<Use> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    files(&root, &mut sources);
    sources.sort();
    let module = |file: &Path| -> Names {
        let names = file.strip_prefix(&root).unwrap().with_extension("");
        let mut names: Names = names.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        names.pop_if(|last| matches!(last.as_str(), "lib" | "mod"));
        names
    };
    let mut modules: BTreeSet<Names> = sources.iter().map(|file| module(file)).collect();
    modules.insert(Vec::new());
    let mut all = Vec::new();
    for file in sources {
        let text = fs::read_to_string(&file).unwrap();
        let mut found = Vec::new();
        paths(text.parse().unwrap(), &module(&file), &mut found);
        all.extend(found.into_iter().map(|(by, mut of)| {
            while !modules.contains(&of) {
                of.pop();
            }
            Use { file: file.strip_prefix(&root).unwrap().into(), by, of }
        }));
    }
    all
}

#[test]
fn uses_are_found() {
    let text = r#"
        //! crate::not_this
        use super::read::{self, raw::{A, B as C}, xml::*};
        use crate::{Error, files::lock};
        pub(in crate::prepare) fn f<'a>(_: &'a str, y: crate::files::Y) -> std::io::Result<()> { assert!(crate::x(), "crate::not_this") }
        mod tests { use super::*; use super::super::g; }
    "#;
    let mut found = Vec::new();
    paths(text.parse().unwrap(), &["prepare".to_owned(), "run".to_owned()], &mut found);
    let found: Vec<_> = found.iter().map(|(by, of)| format!("{} {}", by.join("::"), of.join("::"))).collect();
    let expected = [
        "prepare::run prepare::read",
        "prepare::run prepare::read::raw::A",
        "prepare::run prepare::read::raw::B",
        "prepare::run prepare::read::xml",
        "prepare::run Error",
        "prepare::run files::lock",
        "prepare::run files::Y",
        "prepare::run x",
        "prepare::run::tests prepare::run",
        "prepare::run::tests prepare::g",
    ];
    assert_eq!(found, expected);
}

#[test]
fn stages_use_only_stages_before_them() {
    let place = |names: &Names| -> Option<usize> {
        let room = names.first()?;
        let stage = STAGES.iter().position(|it| it == room).map(|it| it + 1);
        let ground = GROUND.iter().position(|it| it == room).map(|_| 0);
        Some(stage.or(ground).unwrap_or_else(|| panic!("{room} is neither a stage nor part of the ground")))
    };
    let all = uses();
    assert!(all.len() > 500, "only {} uses are found", all.len());
    for Use { file, by, of } in &all {
        let (Some(from), Some(to)) = (place(by), place(of)) else { continue };
        assert!(from >= to, "{}: {} must not use {}", file.display(), by.join("::"), of.join("::"));
    }
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    // For each module, which of its modules use which others of them, and one file in which they do.
    let mut graphs: BTreeMap<Names, BTreeMap<String, BTreeMap<String, PathBuf>>> = BTreeMap::new();
    for Use { file, by, of } in uses() {
        // Tests may use anything that helps them.
        if by.iter().any(|name| name == "tests") {
            continue;
        }
        let common = by.iter().zip(&of).take_while(|(a, b)| a == b).count();
        if let (Some(from), Some(to)) = (by.get(common), of.get(common)) {
            let graph = graphs.entry(by[..common].to_vec()).or_default();
            graph.entry(from.clone()).or_default().entry(to.clone()).or_insert(file);
        }
    }
    for (parent, graph) in graphs {
        let reaches = |from: &String, to: &String| {
            let (mut reached, mut next) = (BTreeSet::from([from]), vec![from]);
            while let Some(name) = next.pop() {
                next.extend(graph.get(name).into_iter().flat_map(BTreeMap::keys).filter(|it| reached.insert(it)));
            }
            reached.contains(to)
        };
        let circles: Vec<_> = graph
            .iter()
            .flat_map(|(from, uses)| uses.iter().map(move |(to, file)| (from, to, file)))
            .filter(|(from, to, _)| reaches(to, from))
            .map(|(from, to, file)| format!("{from} uses {to} ({})", file.display()))
            .collect();
        assert!(circles.is_empty(), "circles in crate::{}: {}", parent.join("::"), circles.join(", "));
    }
}
