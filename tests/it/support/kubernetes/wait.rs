//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// Asks until there is an answer; what lacks is said when there was none within `patience`.
pub async fn until<T>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(lack) => assert!(
                Instant::now() < deadline,
                "waited {patience:?} in vain for {what}: {lack}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
