//! Waiting for a condition.

use std::time::{Duration, Instant};

/// Repeats a check until it returns a value. Fails with the last reason after `patience`.
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
