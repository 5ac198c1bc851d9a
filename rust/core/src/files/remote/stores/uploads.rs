//! Finds and removes uploads that were begun and not finished. Their parts cost money until they are removed.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpErrorKind};
use object_store::gcp::GcpCredentialProvider;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use quick_xml::events::Event;

use super::super::address::Address;
use super::super::errors::{Failure, FailureKind};
use super::super::runtime::wait;
use super::transport::{self, Connector};
use crate::{Error, Result};

/// What lists and removes the uploads of a bucket.
pub(super) struct Uploads {
    pub store: Arc<dyn MultipartStore>,
    pub connector: Connector,
    pub options: ClientOptions,
    /// The address of the bucket at its server.
    pub url: String,
    pub authority: Authority,
}

/// Who asks.
pub(super) enum Authority {
    Amazon { credentials: AwsCredentialProvider, region: String, pays: bool },
    Google { credentials: GcpCredentialProvider },
}

/// Removes unfinished uploads below `directory` to names that `is_ours` accepts. Returns their number.
///
/// Azure removes them by itself. A server that cannot list them, or does not permit it, is left as it is.
///
/// # Errors
/// [`Error::Io`] if the server does not answer.
pub(crate) fn remove_abandoned(directory: &Address, is_ours: impl Fn(&str) -> bool) -> Result<usize> {
    let (store, _) = super::open(&directory.with_key(""))?;
    let Some(uploads) = store.uploads else { return Ok(0) };
    let directory_key = directory.key.trim_end_matches('/');
    let prefix = if directory_key.is_empty() { String::new() } else { format!("{directory_key}/") };
    let removed = wait(uploads.remove(&prefix, is_ours))?;
    removed.map_err(|failure| Error::io("cannot remove unfinished uploads in", directory.path(), failure.into()))
}

/// One answer to a request for the list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    /// Keys and ids.
    uploads: Vec<(String, String)>,
    /// Where the next page begins, if there is one.
    next: Option<(String, String)>,
}

impl Uploads {
    pub async fn remove(&self, prefix: &str, is_ours: impl Fn(&str) -> bool) -> Result<usize, Failure> {
        let mut removed = 0;
        for (key, id) in self.list(prefix).await? {
            let name = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
            if !key.starts_with(prefix) || !is_ours(name) {
                continue;
            }
            let Ok(key) = Key::parse(&key) else { continue };
            match self.store.abort_multipart(&key, &id).await.map_err(|error| Failure::from(&error)) {
                Ok(()) => removed += 1,
                // Another process removed or completed it, or it is not ours to remove.
                Err(Failure { kind: FailureKind::Missing | FailureKind::Refused, .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(removed)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, Failure> {
        let client = self.connector.connect(&self.options).map_err(|error| Failure::from(&error))?;
        let mut found = Vec::new();
        let mut next: Option<(String, String)> = None;
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("uploads", "").append_pair("max-uploads", "1000").append_pair("prefix", prefix);
            if let Some((key, id)) = &next {
                query.append_pair("key-marker", key).append_pair("upload-id-marker", id);
            }
            // In a signed query a space is %20.
            let url = format!("{}?{}", self.url, query.finish().replace('+', "%20"));
            let Some(page) = self.page(&client, &url).await? else { return Ok(found) };
            found.extend(page.uploads);
            // A server that does not know the markers sends the first page again.
            if page.next.is_none() || page.next == next {
                return Ok(found);
            }
            next = page.next;
        }
    }

    /// Returns `None` if the server cannot list uploads or does not permit it.
    async fn page(&self, client: &HttpClient, url: &str) -> Result<Option<Page>, Failure> {
        let mut request = transport::request(Method::GET, url)?;
        match &self.authority {
            Authority::Amazon { credentials, region, pays } => {
                let credential = credentials.get_credential().await.map_err(|error| Failure::from(&error))?;
                let authorizer = AwsAuthorizer::new(&credential, "s3", region).with_request_payer(*pays);
                authorizer.try_authorize(&mut request, None).map_err(|error| Failure::from(&error))?;
            }
            Authority::Google { credentials } => {
                let credential = credentials.get_credential().await.map_err(|error| Failure::from(&error))?;
                let value = HeaderValue::try_from(format!("Bearer {}", credential.bearer));
                let mut value = value.map_err(|_| Failure::other("the token has invalid characters"))?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        match transport::send(client, &request).await {
            Ok(response) if response.status() == StatusCode::OK => {
                let body = response.into_body().bytes().await.map_err(|_| Failure::other("the connection was cut"))?;
                Ok(parse(&body))
            }
            Ok(_) => Ok(None),
            // The server has answered, and refuses.
            Err(error) if error.kind() == HttpErrorKind::Unknown => Ok(None),
            Err(error) => Err(transport::failure(&error)),
        }
    }
}

/// Reads the XML of a page. Returns `None` if it is something else.
fn parse(xml: &[u8]) -> Option<Page> {
    let mut reader = quick_xml::Reader::from_reader(xml);
    let (mut page, mut path, mut text) = (Page::default(), Vec::<String>::new(), String::new());
    let (mut key, mut id) = (String::new(), String::new());
    let (mut truncated, mut markers) = (false, (String::new(), String::new()));
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                path.push(element.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::Text(bytes) => text.push_str(&bytes),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(char) => text.push(char),
                None => text.push_str(quick_xml::escape::resolve_predefined_entity(&reference)?),
            },
            Event::End(_) => {
                let names: Vec<_> = path.iter().map(String::as_str).collect();
                let value = std::mem::take(&mut text);
                match names.as_slice() {
                    [_, "Upload", "Key"] => key = value,
                    [_, "Upload", "UploadId"] => id = value,
                    [_, "Upload"] => page.uploads.push((std::mem::take(&mut key), std::mem::take(&mut id))),
                    [_, "IsTruncated"] => truncated = value == "true",
                    [_, "NextKeyMarker"] => markers.0 = value,
                    [_, "NextUploadIdMarker"] => markers.1 = value,
                    ["ListMultipartUploadsResult"] => {
                        page.next = (truncated && !markers.0.is_empty()).then_some(markers);
                        return Some(page);
                    }
                    _ => {}
                }
                path.pop();
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::mock::{Answer, Server};
    use super::super::environment::tests::environment;
    use super::super::s3;
    use super::*;

    fn remove(server: &Server, prefix: &str) -> Result<usize, Failure> {
        let endpoint = server.url("");
        let variables = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_ENDPOINT_URL", &*endpoint)];
        let store = s3::open("box", &environment(&variables)).unwrap();
        wait(store.uploads.unwrap().remove(prefix, |name| name.starts_with("ours"))).unwrap()
    }

    #[test]
    fn ours_are_removed_from_all_pages() {
        let page = |next: &str, key: &str| {
            let next = if next.is_empty() {
                "<IsTruncated>false</IsTruncated>".to_owned()
            } else {
                format!(
                    "<IsTruncated>true</IsTruncated><NextKeyMarker>{next}</NextKeyMarker><NextUploadIdMarker>7</NextUploadIdMarker>"
                )
            };
            let uploads: String = [key, "d e/theirs"]
                .map(|key| format!("<Upload><Key>{key}</Key><UploadId>id of {key}</UploadId></Upload>"))
                .concat();
            Answer::new(200, format!("<ListMultipartUploadsResult>{next}{uploads}</ListMultipartUploadsResult>"))
        };
        let server = Server::start(move |request| match request.method.as_str() {
            "GET" if request.target.contains("key-marker=d%20e%2Fours1&upload-id-marker=7") => page("", "d e/ours2"),
            "GET" => page("d e/ours1", "d e/ours1"),
            _ => Answer::new(204, ""),
        });
        assert_eq!(remove(&server, "d e/").unwrap(), 2);
        let removed = server.requests().into_iter().filter(|request| request.method == "DELETE");
        let removed: Vec<_> = removed.map(|request| request.target).collect();
        assert_eq!(
            removed,
            ["/box/d%20e/ours1?uploadId=id+of+d+e%2Fours1", "/box/d%20e/ours2?uploadId=id+of+d+e%2Fours2"]
        );
        let list = &server.requests()[0];
        assert!(
            list.target.starts_with("/box?uploads=&") && list.target.contains("prefix=d%20e%2F"),
            "{}",
            list.target
        );
        assert!(list.header("authorization").unwrap().contains("Credential=id/"));
        // The server lists below another prefix than it was asked for.
        assert_eq!(remove(&server, "f/").unwrap(), 0);
    }

    #[test]
    fn servers_that_cannot_list_uploads() {
        for (status, body) in [
            (200, "<ListBucketResult></ListBucketResult>"),
            (200, "nonsense"),
            (403, "<Error><Code>AccessDenied</Code></Error>"),
            (404, ""),
            (405, ""),
            (501, "<Error><Code>NotImplemented</Code></Error>"),
        ] {
            let server = Server::start(move |_| Answer::new(status, body));
            assert_eq!(remove(&server, "").unwrap(), 0, "{status}");
            assert_eq!(server.requests().len(), 1, "{status}");
        }
    }

    #[test]
    fn an_upload_that_is_gone_is_not_counted() {
        let server = Server::start(|request| match request.method.as_str() {
            "GET" => Answer::new(
                200,
                "<ListMultipartUploadsResult><Upload><Key>ours</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>",
            ),
            _ => Answer::new(404, "<Error><Code>NoSuchUpload</Code></Error>"),
        });
        assert_eq!(remove(&server, "").unwrap(), 0);
    }

    #[test]
    fn pages_of_uploads() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Bucket>b</Bucket><KeyMarker></KeyMarker><UploadIdMarker/>
  <NextKeyMarker>a/d &amp; e</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>
  <MaxUploads>1000</MaxUploads><IsTruncated>true</IsTruncated>
  <Upload><Key>a/c</Key><UploadId>1</UploadId><Initiator><ID>x</ID></Initiator></Upload>
  <Upload><Key>a/d &amp; e&#x21;</Key><UploadId>2</UploadId></Upload>
</ListMultipartUploadsResult>"#;
        let pair = |key: &str, id: &str| (key.to_owned(), id.to_owned());
        let expected =
            Page { uploads: vec![pair("a/c", "1"), pair("a/d & e!", "2")], next: Some(pair("a/d & e", "2")) };
        assert_eq!(parse(xml), Some(expected));
    }

    #[test]
    fn other_answers() {
        let last = b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><NextKeyMarker>k</NextKeyMarker></ListMultipartUploadsResult>";
        assert_eq!(parse(last), Some(Page::default()));
        for text in ["", "<html></html>", "<ListBucketResult><Contents/></ListBucketResult>", "<Upload>", "<a></b>"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
