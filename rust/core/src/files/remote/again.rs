//! Repeats requests whose answer breaks off. The client below repeats what is not answered by itself.

use std::future::Future;
use std::time::Duration;

use super::errors::{Failure, FailureKind};

/// How often something is requested if its bytes do not arrive, and the first pause, which then grows.
pub(super) const TRIES: u32 = 5;
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Sends a request again if its answer breaks off.
pub(super) async fn repeated<T, F>(request: impl Fn() -> F) -> object_store::Result<T>
where
    F: Future<Output = object_store::Result<T>>,
{
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match request().await {
            Err(error) if Failure::from(&error).kind == FailureKind::Cut => tokio::time::sleep(pause).await,
            result => return result,
        }
        pause *= 3;
    }
    request().await
}
