//! A web server on loopback for tests, which serves ranges of files in memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The method and the path of each request.
    requests: Mutex<Vec<String>>,
    /// Whether answers wait.
    held: AtomicBool,
    stopped: AtomicBool,
}

/// The server. It stops when it is dropped.
pub(crate) struct WebServer {
    state: Arc<State>,
    port: u16,
}

impl WebServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<State> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A client may close the connection at any moment.
                thread::spawn(move || stream.map(|stream| answer(&stream, &shared)));
            }
        });
        Self { state, port }
    }

    /// Returns the address of `path`.
    pub fn at(&self, path: &str) -> PathBuf {
        format!("http://127.0.0.1:{}/{path}", self.port).into()
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.state.files.lock().unwrap().insert(format!("/{path}"), bytes.into());
    }

    pub fn remove(&self, path: &str) {
        self.state.files.lock().unwrap().remove(&format!("/{path}"));
    }

    /// Serves the files of a local directory below `path`.
    pub fn put_directory(&self, path: &str, directory: &std::path::Path) {
        for file in std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).filter(|it| it.is_file()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            self.put(&format!("{path}/{name}"), std::fs::read(&file).unwrap());
        }
    }

    /// Lets answers wait, or lets them go.
    pub fn hold(&self, held: bool) {
        self.state.held.store(held, Ordering::Relaxed);
    }

    /// Returns the requests since the last call: `GET /a/b`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        self.hold(false);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn answer(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let (mut range, mut words) = (None, request.split(' '));
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            range = bytes.split_once('-').map(|(from, to)| (from.parse().unwrap(), to.parse::<usize>().unwrap() + 1));
        }
    }
    state.requests.lock().unwrap().push(format!("{method} {path}"));
    while state.held.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
    let found = state.files.lock().unwrap().get(path).cloned();
    let (mut head, mut body) = (String::from("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"), Vec::new());
    if let Some(bytes) = found {
        let tag = xxhash_rust::xxh3::xxh3_64(&bytes);
        let (from, to): (usize, usize) = range.unwrap_or((0, bytes.len()));
        let (to, all) = (to.min(bytes.len()), bytes.len());
        head = match range {
            None => "HTTP/1.1 200 OK\r\n".into(),
            Some(_) => format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{all}\r\n", to - 1),
        };
        let length = to - from;
        head = format!("{head}Content-Length: {length}\r\nETag: \"{tag:x}\"\r\nAccept-Ranges: bytes\r\n");
        if method == "GET" {
            body = bytes[from..to].to_vec();
        }
    }
    let mut stream = stream;
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    stream.write_all(&body)
}
