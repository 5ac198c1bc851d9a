use std::path::Path;
use std::sync::atomic::AtomicUsize;

use super::super::address::Address;
use super::super::mock::{Answer, Request, Server};
use super::*;

#[test]
fn blocks_follow_each_other() {
    let mut position = 0;
    for number in 0..20 {
        assert_eq!(start_of(number), position);
        assert_eq!(block_at(position), number);
        position = start_of(number + 1);
        assert_eq!(block_at(position - 1), number);
    }
    assert_eq!(start_of(3), BLOCK);
    assert_eq!(start_of(4), 2 * BLOCK);
}

/// Bytes of three blocks and a half, of which no two parts are equal.
fn content() -> Vec<u8> {
    let words = (0..(start_of(4) + BLOCK / 2) as u32 / 4).map(|it| it.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).collect()
}

fn open(server: &Server) -> Ranges {
    let address = Address::parse(Path::new(&server.url("/file?secret=1"))).unwrap();
    Ranges::new(Object::find(&address).unwrap().unwrap(), Arc::default())
}

fn all(ranges: Ranges) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Reader::new(Arc::new(ranges), 0).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn without_ranges(body: &[u8]) -> Answer {
    Answer::new(200, body).with("etag", "\"1\"")
}

fn bodies(server: &Server) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.method == "GET").collect()
}

#[test]
fn ranges_are_read_in_any_order() {
    let body = content();
    let server = Server::start({
        let body = body.clone();
        move |request| Answer::file(request, &body, "\"1\"")
    });
    assert!(all(open(&server)).unwrap() == body);
    let ranges = open(&server);
    let mut buffer = [0; 8];
    for position in [start_of(4) + 3, 1, BLOCK - 4, body.len() as u64 - 8] {
        let mut reader = Reader::new(Arc::new(open(&server)), position);
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, body[position as usize..position as usize + 8]);
    }
    assert_eq!(ranges.read_at(body.len() as u64, &mut buffer).unwrap(), 0);
    // A request for the file carries the query, which no message has.
    assert!(server.requests().iter().all(|request| request.target == "/file?secret=1"));
}

#[test]
fn a_server_without_ranges_is_read_from_the_beginning() {
    let body = content();
    let server = Server::start({
        let body = body.clone();
        move |_| without_ranges(&body)
    });
    assert!(all(open(&server)).unwrap() == body);
    assert_eq!(bodies(&server).len(), 2, "one asked for a range");
    // Going on, and back by less than a block, takes no further request.
    let ranges = open(&server);
    let mut buffer = [0; 4];
    for position in [start_of(4), start_of(4) - 4, start_of(4)] {
        assert_eq!(ranges.read_at(position, &mut buffer).unwrap(), 4);
        assert_eq!(buffer, body[position as usize..position as usize + 4]);
    }
    assert_eq!(bodies(&server).len(), 4);
    // Going back further begins again, but not without end.
    for _ in 1..BEGINNINGS {
        assert_eq!(ranges.read_at(0, &mut buffer).unwrap(), 4);
        assert_eq!(buffer, body[..4]);
        ranges.read_at(start_of(4), &mut buffer).unwrap();
    }
    let error = ranges.read_at(0, &mut buffer).unwrap_err();
    assert_eq!(error.to_string(), Failure::no_ranges().reason);
}

#[test]
fn a_whole_that_is_cut_is_read_on() {
    let body = content();
    // Without progress twice, and then at the beginning, within and at the end of blocks.
    let cuts = [7, 7, 300_000, 300_001, start_of(2) as usize, start_of(3) as usize + 1, body.len() - 1];
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start({
        let (body, count) = (body.clone(), Arc::clone(&count));
        move |request| {
            let answer = without_ranges(&body);
            if request.method != "GET" || request.range().is_some() {
                return answer;
            }
            match cuts.get(count.fetch_add(1, Ordering::Relaxed)) {
                Some(cut) => answer.cut_at(*cut),
                None => answer,
            }
        }
    });
    assert!(all(open(&server)).unwrap() == body);
    assert_eq!(count.load(Ordering::Relaxed), cuts.len() + 1);
}

#[test]
fn ranges_that_are_cut_are_requested_again() {
    let body = content();
    let count = AtomicUsize::new(0);
    let server = Server::start({
        let body = body.clone();
        move |request| {
            let answer = Answer::file(request, &body, "\"1\"");
            if count.fetch_add(1, Ordering::Relaxed) % 2 == 1 { answer.cut_at(100_000) } else { answer }
        }
    });
    assert!(all(open(&server)).unwrap() == body);
}

#[test]
fn a_changed_object_is_an_error() {
    for ranges in [true, false] {
        let body = content();
        let count = AtomicUsize::new(0);
        let server = Server::start(move |request| {
            let etag = if count.fetch_add(1, Ordering::Relaxed) < 2 { "\"1\"" } else { "\"2\"" };
            if ranges { Answer::file(request, &body, etag) } else { Answer::new(200, &*body).with("etag", etag) }
        });
        let error = all(open(&server)).unwrap_err();
        assert_eq!(Failure::of(&error).unwrap().kind, FailureKind::Changed, "{error}");
    }
}

#[test]
fn waiting_ends_when_the_command_must_stop() {
    let body = content();
    let stop = Arc::new(AtomicBool::new(false));
    let server = Server::start({
        let stop = Arc::clone(&stop);
        move |request| {
            if request.method == "GET" {
                stop.store(true, Ordering::Relaxed);
                std::thread::park();
            }
            Answer::file(request, &body, "\"1\"")
        }
    });
    let address = Address::parse(Path::new(&server.url("/file"))).unwrap();
    let error = all(Ranges::new(Object::find(&address).unwrap().unwrap(), stop)).unwrap_err();
    assert_eq!(Failure::of(&error).unwrap().kind, FailureKind::Stopped, "{error}");
}
