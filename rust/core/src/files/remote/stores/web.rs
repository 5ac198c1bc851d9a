//! Files of web servers.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use object_store::client::HttpClient;
use object_store::http::HttpBuilder;
use percent_encoding::percent_decode_str;
use reqwest::redirect::Policy;
use url::Url;

use super::super::address::{Address, Scheme};
use super::super::errors::Failure;
use super::super::runtime;
use super::Store;
use super::transport::{self, Party, Shared, Transport};
use crate::{Error, Result};

/// Returns the store whose only object is at `address`. All have their connections in common.
pub(super) fn open(address: &Address) -> Result<Store> {
    let wrong = |failure: Failure| super::super::errors::data(address, failure);
    let (url, authorization) = parts(&address.url()).map_err(wrong)?;
    let client = client(url.scheme() == "http").map_err(|error| within(address, error))?;
    let transport = Transport::new(Party::new(Scheme::Web), (*client).clone(), None);
    let client = HttpClient::new(transport.with_authorization(authorization));
    let store = file(url.as_str(), client).map_err(wrong)?;
    Ok(Store { objects: Arc::new(store), uploads: None })
}

/// Returns the store whose only object, with an empty key, is at `url`.
pub(super) fn file(url: &str, client: HttpClient) -> Result<object_store::http::HttpStore, Failure> {
    let builder = HttpBuilder::new().with_url(url).with_retry(transport::retries());
    builder.with_http_connector(Shared(client)).build().map_err(|error| Failure::from(&error))
}

fn within(address: &Address, error: Error) -> Error {
    match error {
        Error::System { reason, .. } => Error::data(address.path(), reason),
        other => other,
    }
}

/// Takes the user and the password out of an address, for the header in which they are sent.
fn parts(url: &str) -> Result<(Url, Option<HeaderValue>), Failure> {
    let mut url = Url::parse(url).map_err(|error| Failure::other(error.to_string()))?;
    if url.username().is_empty() && url.password().is_none() {
        return Ok((url, None));
    }
    let mut pair = percent_decode_str(url.username()).collect::<Vec<u8>>();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)));
    let mut value = value.map_err(|_| Failure::other("the user or the password has invalid characters"))?;
    value.set_sensitive(true);
    let cannot = |()| Failure::other("this address cannot have a user");
    url.set_username("").map_err(cannot)?;
    url.set_password(None).map_err(cannot)?;
    Ok((url, Some(value)))
}

/// Returns the client of all web servers, and of the Hub. With `plain`, the system may have no certificates.
pub(super) fn client(plain: bool) -> Result<Arc<HttpClient>> {
    let usual = runtime::kept("web", || build(|builder| builder));
    match usual {
        Err(_) if plain => runtime::kept("web without certificates", || build(|it| it.tls_certs_only([]))),
        result => result,
    }
}

fn build(set: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Result<HttpClient> {
    let client = set(builder()).build().map_err(|_| Error::System { option: None, reason: NO_CERTIFICATES.into() })?;
    Ok(HttpClient::new(client))
}

/// Returns a client that follows redirections only to the same server, and returns others as they are.
pub(super) fn staying_client(plain: bool) -> Result<Arc<HttpClient>> {
    let stays = |builder: reqwest::ClientBuilder| {
        builder.redirect(Policy::custom(|attempt| {
            let same = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
            if same && attempt.previous().len() < 10 { attempt.follow() } else { attempt.stop() }
        }))
    };
    match runtime::kept("web, staying", || build(stays)) {
        Err(_) if plain => {
            runtime::kept("web, staying, without certificates", || build(|it| stays(it).tls_certs_only([])))
        }
        result => result,
    }
}

const NO_CERTIFICATES: &str =
    "the system has no certificates of trusted authorities; install its package ca-certificates, or set SSL_CERT_FILE";

/// Returns the settings that all clients of web servers share.
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(transport::CONNECT)
        .read_timeout(transport::IDLE)
        .user_agent(concat!("albert-fast/", env!("CARGO_PKG_VERSION")))
        // One connection for each transfer is faster.
        .http1_only()
        // It would tell another server the query, which may be a signature.
        .referer(false)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::super::mock::{Answer, Server};
    use super::super::super::object::{Object, bytes};
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(Path::new(text)).unwrap()
    }

    #[test]
    fn secrets_stay_with_their_server() {
        let other = Server::start(|request| Answer::file(request, b"body", "\"1\""));
        let to = other.url("/moved");
        let server = Server::start(move |request| match request.header("authorization") {
            Some("Basic bWU6d29yZA==") => Answer::new(302, "").with("location", &to),
            _ => Answer::new(401, ""),
        });
        let found = bytes(&address(&format!("http://me:word@{}/x?signature=abc", server.host))).unwrap().unwrap();
        assert_eq!(found, b"body");
        assert_eq!(server.requests()[0].target, "/x?signature=abc");
        let moved = &other.requests()[0];
        assert_eq!((moved.header("authorization"), moved.header("referer")), (None, None), "{moved:?}");
        let error =
            bytes(&address(&format!("http://me:wrong@{}/y?signature=abc", server.host))).unwrap_err().to_string();
        let url = server.url("/y");
        let reason = "the server refuses access (status 401); check the address, and the user and password in it";
        assert_eq!(error, format!("cannot read {url}: {reason}"));
    }

    #[test]
    fn lengths_of_servers_that_answer_no_head_requests() {
        for (status, has_length, has_ranges) in
            [(405, true, true), (403, true, false), (501, true, true), (200, false, true), (200, false, false)]
        {
            let server = Server::start(move |request| match request.method.as_str() {
                "HEAD" if has_length => Answer::new(status, ""),
                "HEAD" => Answer::new(status, "").without_length(),
                _ if has_ranges => Answer::file(request, b"12345", "\"1\""),
                _ => Answer::new(200, "12345").with("etag", "\"1\""),
            });
            let object = Object::find(&address(&server.url("/x"))).unwrap().unwrap();
            assert_eq!(
                (object.bytes, object.version.as_deref()),
                (5, Some("\"1\"")),
                "{status} {has_length} {has_ranges}"
            );
            assert!(server.requests().iter().any(|request| request.range() == Some((0, 1))));
        }
        let server = Server::start(|request| match request.method.as_str() {
            "HEAD" => Answer::new(405, ""),
            _ => Answer::new(416, "").with("content-range", "bytes */0"),
        });
        assert_eq!(Object::find(&address(&server.url("/empty"))).unwrap().unwrap().bytes, 0);
    }

    #[test]
    fn what_is_not_there_and_what_passes() {
        let count = AtomicUsize::new(0);
        let server = Server::start(move |request| match request.target.as_str() {
            "/busy" => match count.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::new(503, ""),
                1 => Answer::new(429, ""),
                _ => Answer::new(200, "body"),
            },
            _ => Answer::new(404, "no such file"),
        });
        assert_eq!(bytes(&address(&server.url("/busy"))).unwrap().unwrap(), b"body");
        assert_eq!(server.requests().len(), 3);
        assert!(bytes(&address(&server.url("/none"))).unwrap().is_none());
        assert!(Object::find(&address(&server.url("/none"))).unwrap().is_none());
    }

    #[test]
    fn servers_that_give_no_answer() {
        // A server that speaks no TLS.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                let _ = stream.read(&mut [0; 1000]);
            }
        });
        let error = |url: &str| bytes(&address(url)).unwrap_err().to_string();
        let said = error(&format!("https://{host}/x?secret"));
        assert!(said.contains(&format!("no answer from https://{host}: no secure connection (")), "{said}");
        let said = error("http://no-such-host.invalid/x?secret");
        assert!(said.contains("no answer from http://no-such-host.invalid: its name is unknown; check"), "{said}");
        assert!(!said.contains("secret") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn users_are_sent_in_a_header() {
        let (url, header) = parts("https://a%40b:c%3Ad@host:1/x%20y?z=%2F").unwrap();
        assert_eq!(url.as_str(), "https://host:1/x%20y?z=%2F");
        let header = header.unwrap();
        assert_eq!(header, format!("Basic {}", BASE64_STANDARD.encode("a@b:c:d")));
        assert!(header.is_sensitive());
        assert_eq!(parts("http://host/x").unwrap(), (Url::parse("http://host/x").unwrap(), None));
        assert!(parts("http://user:secret@/").is_err_and(|error| !error.reason.contains("secret")));
    }
}
