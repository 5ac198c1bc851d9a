use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::ObjectStoreExt;

use super::super::super::mock::{Answer, Request, Server};
use super::super::super::runtime::wait;
use super::super::environment::tests::environment;
use super::*;

const COMMIT: &str = "0123456789012345678901234567890123456789";

fn hub(server: &Server, root: &str, token: &str) -> Arc<dyn ObjectStore> {
    let env = [("HF_ENDPOINT", &*server.url("")), ("HF_TOKEN", token), ("HOME", "/nowhere")];
    open(root, &environment(&env)).unwrap().objects
}

fn reason(error: &StoreError) -> String {
    Failure::from(error).reason
}

fn targets(server: &Server) -> Vec<String> {
    server.requests().into_iter().map(|request| format!("{} {}", request.method, request.target)).collect()
}

/// Answers as the Hub does about `a b/large`, which is at `elsewhere`, and `small`.
fn answer(request: &Request, elsewhere: &str) -> Answer {
    let file = |path: &str| format!("/datasets/o/n/resolve/{COMMIT}/{path}");
    match request.target.as_str() {
        "/api/datasets/o/n/revision/main" => Answer::new(200, format!(r#"{{"sha": "{COMMIT}", "id": "o/n"}}"#)),
        target if target == file("small") => Answer::file(request, b"small", "\"oid\""),
        target if target == file("a%20b/large") => Answer::new(302, "Found")
            .with("location", elsewhere)
            .with("x-linked-size", 5)
            .with("x-linked-etag", "\"sha\""),
        _ => Answer::new(404, "").with("x-error-code", "EntryNotFound"),
    }
}

#[test]
fn a_large_file_is_read_elsewhere_without_the_token() {
    let valid = Arc::new(AtomicUsize::new(1));
    let other = Server::start({
        let valid = Arc::clone(&valid);
        move |request| match request.target.strip_prefix("/large?signature=") {
            Some(it) if it == valid.load(Ordering::Relaxed).to_string() => Answer::file(request, b"large", "\"other\""),
            _ => Answer::new(403, ""),
        }
    });
    let server = Server::start({
        let (valid, url) = (Arc::clone(&valid), other.url("/large?signature="));
        move |request| answer(request, &format!("{url}{}", valid.load(Ordering::Relaxed)))
    });
    let store = hub(&server, "datasets/o/n", "secret");
    let key = Key::parse("a b/large").unwrap();
    let meta = wait(store.head(&key)).unwrap().unwrap();
    assert_eq!((meta.size, meta.e_tag.as_deref()), (5, Some("sha")));
    for signature in [1, 1, 2, 2] {
        valid.store(signature, Ordering::Relaxed);
        let found = wait(async { store.get_opts(&key, GetOptions::new().with_range(Some(1..3))).await.unwrap() });
        let found = found.unwrap();
        assert_eq!((found.meta.size, found.meta.e_tag.as_deref()), (5, Some("sha")));
        assert_eq!(wait(found.bytes()).unwrap().unwrap(), "ar");
    }
    assert!(server.requests().iter().all(|request| request.header("authorization") == Some("Bearer secret")));
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    // The commit once, and the file once for each of its two addresses.
    assert_eq!(server.requests().len(), 3, "{:?}", targets(&server));
    // The Hub gives the same address again: it has not expired, but is refused.
    valid.store(3, Ordering::Relaxed);
    let wrong = Server::start({
        let url = other.url("/large?signature=0");
        move |request| answer(request, &url)
    });
    let error = wait(hub(&wrong, "datasets/o/n", "").get(&key)).unwrap().unwrap_err();
    assert!(reason(&error).starts_with("the server refuses access (status 403)"), "{error}");
}

#[test]
fn small_files_and_files_that_are_not_there() {
    let server = Server::start(|request| answer(request, ""));
    let store = hub(&server, &format!("datasets/o/n@{COMMIT}"), "");
    let small = wait(async { store.get(&"small".into()).await?.bytes().await }).unwrap().unwrap();
    assert_eq!(small, "small");
    let meta = wait(store.head(&"small".into())).unwrap().unwrap();
    assert_eq!((meta.size, meta.e_tag.as_deref()), (5, Some("oid")));
    let error = wait(store.head(&"none".into())).unwrap().unwrap_err();
    assert_eq!(Failure::from(&error).kind, FailureKind::Missing);
    // A commit needs no request.
    assert!(targets(&server).iter().all(|target| target.contains("/resolve/")));
}

#[test]
fn trees_have_pages() {
    let tree = format!("/api/datasets/o/n/tree/{COMMIT}");
    let server = Server::start(move |request| {
        let entry =
            |kind: &str, path: &str| format!(r#"{{"type": "{kind}", "path": "{path}", "oid": "{path}", "size": 1}}"#);
        let large = r#"{"type": "file", "path": "d/l", "oid": "x", "size": 9, "lfs": {"oid": "sha", "size": 9, "pointerSize": 1}}"#;
        // The address of the next page is at another host, which is not asked.
        let next = "<http://127.0.0.1:1/other?recursive=true&cursor=b%3D>; rel=\"next\"";
        match request.target.strip_prefix(&tree) {
            Some("?recursive=true") => {
                Answer::new(200, format!("[{}, {large}]", entry("directory", "d"))).with("link", next)
            }
            Some("?recursive=true&cursor=b%3D") => Answer::new(200, format!("[{}]", entry("file", "m"))),
            Some("/d?recursive=false") => Answer::new(200, format!("[{}, {large}]", entry("directory", "d/e"))),
            _ => Answer::new(404, "").with("x-error-code", "EntryNotFound"),
        }
    });
    let store = hub(&server, &format!("datasets/o/n@{COMMIT}"), "");
    let found = wait(store.list(None).try_collect::<Vec<_>>()).unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|meta| (meta.location.as_ref(), meta.size, meta.e_tag.as_deref())).collect();
    assert_eq!(found, [("d/l", 9, Some("sha")), ("m", 1, Some("m"))]);
    let found = wait(store.list_with_delimiter(Some(&"d".into()))).unwrap().unwrap();
    assert_eq!((found.objects.len(), found.common_prefixes), (1, vec![Key::from("d/e")]));
    assert!(wait(store.list(Some(&"none".into())).try_collect::<Vec<_>>()).unwrap().unwrap().is_empty());
}

#[test]
fn revisions_are_one_part_of_an_address() {
    let server = Server::start(|_| Answer::new(200, format!(r#"{{"sha": "{COMMIT}"}}"#)));
    for root in ["datasets/o/n@refs/pr/1", "datasets/o/n@refs%2Fpr%2F1"] {
        assert!(wait(hub(&server, root, "").list(None).try_collect::<Vec<_>>()).unwrap().is_err());
    }
    let info = "GET /api/datasets/o/n/revision/refs%2Fpr%2F1";
    let tree = format!("GET /api/datasets/o/n/tree/{COMMIT}?recursive=true");
    assert_eq!(targets(&server), [info, &*tree, info, &*tree]);
}

#[test]
fn refusals_say_what_to_do() {
    for (status, code, token, said) in [
        (401, "", "", "no such dataset, or it is private; check its name, or set HF_TOKEN"),
        (401, "", "t", "the Hub does not accept the token; check HF_TOKEN"),
        (404, "RepoNotFound", "t", "no such dataset, or the token (HF_TOKEN) may not read it"),
        (404, "RevisionNotFound", "", "no such revision"),
        (401, "GatedRepo", "", "accept its conditions on its page, and set HF_TOKEN"),
        (403, "GatedRepo", "t", "accept its conditions on its page"),
        (418, "", "", "the Hub answered with status 418"),
        (200, "", "", "not the expected JSON; check HF_ENDPOINT"),
    ] {
        let server = Server::start(move |_| {
            let answer = Answer::new(status, "hidden");
            if code.is_empty() { answer } else { answer.with("x-error-code", code) }
        });
        let error = wait(hub(&server, "datasets/o/n", token).head(&"x".into())).unwrap().unwrap_err();
        assert!(reason(&error).contains(said), "{status} {code}: {}", reason(&error));
        assert_ne!(Failure::from(&error).kind, FailureKind::Missing);
    }
}

#[test]
fn places_of_the_token() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let of = |variables: &[(&str, &str)]| token(&environment(&[variables, &[("HOME", &*path(""))]].concat()));
    assert_eq!(of(&[]), None);
    for (directory, text) in
        [(".cache/huggingface", " cached\n"), ("elsewhere", "elsewhere"), ("xdg/huggingface", "xdg")]
    {
        std::fs::create_dir_all(home.path().join(directory)).unwrap();
        std::fs::write(home.path().join(directory).join("token"), text).unwrap();
    }
    assert_eq!(of(&[]).as_deref(), Some("cached"));
    assert_eq!(of(&[("XDG_CACHE_HOME", &path("xdg"))]).as_deref(), Some("xdg"));
    assert_eq!(of(&[("HF_HOME", &path("elsewhere"))]).as_deref(), Some("elsewhere"));
    assert_eq!(of(&[("HF_TOKEN_PATH", &path("xdg/huggingface/token"))]).as_deref(), Some("xdg"));
    assert_eq!(of(&[("HUGGING_FACE_HUB_TOKEN", "old")]).as_deref(), Some("old"));
    assert_eq!(of(&[("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", "new")]).as_deref(), Some("new"));
}
