//! Makes the client of a bucket, a container, a web server or a dataset from what the environment says.

mod azure;
mod environment;
mod google;
mod hub;
mod profiles;
mod renewed;
mod s3;
mod transport;
mod uploads;
mod web;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path as Key;

use self::environment::Environment;
use super::address::{Address, Scheme};
use super::{errors, runtime};
use crate::{Error, Result};

pub(crate) use self::uploads::remove_abandoned;

/// The client of a bucket, a dataset, or of one file of a web server.
#[derive(Clone)]
pub(super) struct Store {
    pub objects: Arc<dyn ObjectStore>,
    /// `None` if there can be no unfinished uploads, or nothing can be done about them.
    uploads: Option<Arc<uploads::Uploads>>,
}

/// Returns the client for `address`, and its key there.
///
/// A client is kept as long as the variables that it depends on stay the same. That of a file of a web server is made
/// each time: it is small, and its connections are those of all.
///
/// # Errors
/// [`Error::Input`] if the key cannot be that of an object; [`Error::Data`] if the environment lacks what the client
/// needs.
pub(super) fn open(address: &Address) -> Result<(Store, Key)> {
    if address.scheme == Scheme::Web {
        // The whole address is in the client, because a key has no query.
        return Ok((web::open(address)?, Key::default()));
    }
    let key = Key::parse(&address.key)
        .map_err(|error| Error::input_at(address.path(), format!("this is not a valid name of an object: {error}")))?;
    let env = Environment::of_process();
    let name = format!("{:?} {} {:x}", address.scheme, address.root, env.digest());
    let wrong = |failure| errors::data(address, failure);
    let store = runtime::kept(&name, || match address.scheme {
        Scheme::S3 => s3::open(&address.root, &env).map_err(wrong),
        Scheme::Google => google::open(&address.root, &env).map_err(wrong),
        Scheme::Azure => azure::open(address, &env).map_err(wrong),
        Scheme::Hub => hub::open(&address.root, &env),
        Scheme::Web => web::open(address),
    })?;
    Ok(((*store).clone(), key))
}
