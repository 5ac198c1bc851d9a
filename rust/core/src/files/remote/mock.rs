//! A web server of a few lines, for tests: each request is answered by a function.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came: its first line, its headers in lowercase, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Returns the first byte that is asked for, and the byte after the last one.
    pub fn range(&self) -> Option<(usize, usize)> {
        let (start, end) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, end.parse::<usize>().ok()? + 1))
    }
}

/// An answer. If `sent` is less than the length of the body, the connection is cut there.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    sent: usize,
    says_length: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), sent: usize::MAX, says_length: true }
    }

    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push(format!("{name}: {value}\r\n"));
        self
    }

    /// The length is not said: the end of the connection is that of the body.
    pub fn without_length(self) -> Self {
        Self { says_length: false, ..self }
    }

    pub fn cut_at(self, sent: usize) -> Self {
        Self { sent, ..self }
    }

    /// Returns what a server of files answers that has `body`.
    pub fn file(request: &Request, body: &[u8], etag: &str) -> Self {
        let whole = || Self::new(200, body).with("etag", etag);
        request.range().map_or_else(whole, |(start, end)| {
            let end = end.min(body.len());
            let range = format!("bytes {start}-{}/{}", end - 1, body.len());
            Self::new(206, &body[start..end]).with("etag", etag).with("content-range", range)
        })
    }
}

/// A server. It stops with the test process.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub host: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (requests, answer) = (Arc::new(Mutex::default()), Arc::new(answer));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream.unwrap(), &*answer, &kept));
            }
        });
        Self { host, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Answer, kept: &Mutex<Vec<Request>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let (first, headers) = head.split_once("\r\n")?;
        let mut words = first.split(' ');
        let headers = headers.lines().filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| format!("{}: {}", name.to_ascii_lowercase(), value.trim()));
        let headers = headers.collect::<Vec<_>>().join("\n");
        let request = Request { method: words.next()?.into(), target: words.next()?.into(), headers };
        let length = request.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).ok()?;
        let Answer { status, headers, body, sent, says_length } = answer(&request);
        kept.lock().unwrap().push(request.clone());
        let length = if says_length { format!("content-length: {}\r\n", body.len()) } else { String::new() };
        write!(stream, "HTTP/1.1 {status} X\r\n{length}{}\r\n", headers.concat()).ok()?;
        if request.method != "HEAD" {
            stream.write_all(&body[..sent.min(body.len())]).ok()?;
        }
        if sent < body.len() || !says_length {
            return None;
        }
    }
}
