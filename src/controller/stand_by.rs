//! A replica that does not lead says for whom it stands by, and the one that takes over says after whom
//! (rule: logs-tell-changes).

use super::settings::ControllerError;
use crate::cluster::live::Election;

/// Waits until this replica has the Lease. Logs who has it, once for each holder.
///
/// # Errors
/// If the election has ended.
pub async fn stand_by(election: &Election) -> Result<(), ControllerError> {
    let (mut leading, mut seen) = (election.leading(), election.seen());
    let mut leader: Option<String> = None;
    loop {
        let holder = seen.borrow_and_update().holder.clone();
        let other = holder.filter(|holder| holder != election.identity());
        if let Some(other) = other.filter(|other| leader.as_ref() != Some(other)) {
            tracing::info!(
                identity = election.identity(),
                leader = other,
                "stands by: another replica leads"
            );
            leader = Some(other);
        }
        tokio::select! {
            // In this order: who leads need not say that it stands by.
            biased;
            led = leading.wait_for(|leads| *leads) => match led {
                Ok(_) => break,
                Err(_) => return Err(ControllerError::Ended("election")),
            },
            changed = seen.changed() => if changed.is_err() {
                return Err(ControllerError::Ended("election"));
            },
        }
    }
    let identity = election.identity();
    match leader {
        Some(leader) => tracing::info!(identity, before = leader, "takes over: leads from now on"),
        None => tracing::info!(identity, "leads"),
    }
    Ok(())
}
