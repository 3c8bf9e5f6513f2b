//! Leader election: a Lease of coordination.k8s.io, held as client-go's leader election holds it.
//!
//! The guarantee: at no moment is [`Election::held`] true in two processes. The claim of a holder begins
//! *before* its last successful renewal was sent, and lasts only for `renew_deadline`; another process takes
//! over only after it saw no renewal for the whole `duration`. Each process uses its own clocks, so clocks need
//! not agree. No task has to run to end the claim: it is compared with the clock each time [`Election::held`]
//! is called.
//!
//! The reasons for our own implementation: every write of the controller is fenced by [`Election::held`], so it
//! does not matter that a task is informed of a loss; it matters that the claim has ended whether or not any
//! task runs. That needs four properties together, which the leader election crates for kube did not offer:
//! - the claim counts from before a renewal was sent, and ends at `renew_deadline` without any task or answer;
//! - it ends by the monotonic and by the wall clock, since the monotonic one stands still while a virtual machine is
//!   paused, and the wall clock can be set;
//! - expiry of another's Lease is measured by our own clock from when we first saw its version, as client-go does
//!   (`observedTime`), and not by comparing its `renewTime` with our clock, which needs clocks that agree;
//! - the Lease is given back only after all writes have ended ([`Election::release`]), and one that failed is left to
//!   expire.

mod claim;

pub use claim::LeaseState;

use super::connect::describe;
use crate::net::Outage;
use claim::{Claim, Step};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, PostParams};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The Lease to use, and the times. The times are client-go's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionSettings {
    pub namespace: String,
    pub name: String,
    /// Identifies this process and no other, not even the next one in the same pod.
    pub identity: String,
    /// How long other candidates wait without a renewal before they take over; whole seconds.
    pub duration: Duration,
    /// How long the holder keeps its claim without a renewal; at most two thirds of `duration`. The rest of
    /// `duration` is for writes that began in time: [`super::Writer`] gives them 4 s.
    pub renew_deadline: Duration,
    /// How often the holder renews the Lease, and the other candidates read it.
    pub retry_period: Duration,
}

impl ElectionSettings {
    /// `replica` is the pod's name. A random suffix is added, so that a restarted container in the same pod is
    /// another candidate.
    pub fn new(namespace: &str, name: &str, replica: &str) -> ElectionSettings {
        ElectionSettings {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!("{replica}_{:08x}", random()),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

fn random() -> u32 {
    // If the kernel has no randomness, the clock is used.
    getrandom::u32().unwrap_or_else(|_| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.subsec_nanos())
    })
}

/// The moment when the last successful renewal was sent, by both clocks: the monotonic clock stands still while
/// a virtual machine is paused, and the wall clock can be set.
#[derive(Debug, Clone, Copy)]
struct Renewed {
    monotonic: Instant,
    wall: SystemTime,
}

impl Renewed {
    fn now() -> Renewed {
        Renewed {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn is_good(self, now: Renewed, deadline: Duration) -> bool {
        let by_wall = now.wall.duration_since(self.wall).unwrap_or_default();
        let by_monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        by_wall.max(by_monotonic) < deadline
    }
}

/// A candidate in an election until it is dropped or released.
pub struct Election {
    settings: ElectionSettings,
    client: Client,
    renewed: watch::Receiver<Option<Renewed>>,
    leading: watch::Receiver<bool>,
    seen: watch::Receiver<LeaseState>,
    tasks: JoinSet<()>,
}

impl Election {
    /// Starts the candidate. Must be called inside of a tokio runtime.
    pub fn start(client: Client, mut settings: ElectionSettings) -> Election {
        settings.duration = settings.duration.max(Duration::from_secs(1));
        settings.renew_deadline = settings.renew_deadline.min(settings.duration * 2 / 3);
        let (renewed_in, renewed) = watch::channel(None);
        let (seen_in, seen) = watch::channel(LeaseState::default());
        let (leading_in, leading) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let candidate = Candidate {
            api: Api::namespaced(client.clone(), &settings.namespace),
            claim: Claim::new(settings.identity.clone(), settings.duration),
            settings: settings.clone(),
            renewed: renewed_in,
            seen: seen_in,
        };
        tasks.spawn(candidate.run());
        tasks.spawn(announce(
            renewed.clone(),
            leading_in,
            settings.renew_deadline,
        ));
        Election {
            settings,
            client,
            renewed,
            leading,
            seen,
            tasks,
        }
    }

    /// Returns true if this process leads, by the current clocks.
    pub fn held(&self) -> bool {
        let renewed = *self.renewed.borrow();
        renewed.is_some_and(|renewed| renewed.is_good(Renewed::now(), self.settings.renew_deadline))
    }

    /// The same as a channel, for tasks that wait for a change. Writes must use [`Self::held`].
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Returns [`Self::held`] as a function, for a fence.
    pub fn held_fn(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let renewed = self.renewed.clone();
        let deadline = self.settings.renew_deadline;
        Arc::new(move || {
            let renewed = *renewed.borrow();
            renewed.is_some_and(|renewed| renewed.is_good(Renewed::now(), deadline))
        })
    }

    pub fn identity(&self) -> &str {
        &self.settings.identity
    }

    /// The holder of the Lease as last seen; `None`: it has no holder, or was not seen yet.
    pub fn holder(&self) -> Option<String> {
        self.seen.borrow().holder.clone()
    }

    /// The holder of the Lease as a channel, for tasks that wait for another.
    pub fn seen(&self) -> watch::Receiver<LeaseState> {
        self.seen.clone()
    }

    /// How often the holder of the Lease changed, as last seen.
    pub fn transitions(&self) -> i32 {
        self.seen.borrow().transitions
    }

    /// Stops the candidate, and gives the Lease back if it is held, so that another candidate need not wait.
    /// Nothing may be written afterwards: call it after all writes have ended.
    pub async fn release(mut self) {
        let held = self.held();
        self.tasks.shutdown().await;
        if !held {
            return;
        }
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.settings.namespace);
        let given_back = tokio::time::timeout(self.settings.retry_period, async {
            let lease = api.get(&self.settings.name).await?;
            match claim::released(lease, &self.settings.identity, now()) {
                Some(lease) => {
                    let params = PostParams::default();
                    api.replace(&self.settings.name, &params, &lease)
                        .await
                        .map(|_| ())
                }
                None => Ok(()),
            }
        })
        .await;
        match given_back {
            Ok(Ok(())) => tracing::info!("gave the lease back"),
            Ok(Err(error)) => tracing::warn!("failed to give the lease back: {}", describe(&error)),
            Err(_) => tracing::warn!("failed to give the lease back: no answer"),
        }
    }
}

/// The task that acquires and renews the Lease.
struct Candidate {
    api: Api<Lease>,
    claim: Claim,
    settings: ElectionSettings,
    renewed: watch::Sender<Option<Renewed>>,
    seen: watch::Sender<LeaseState>,
}

impl Candidate {
    async fn run(mut self) {
        // The Lease as it was after our last renewal: with it no read is needed before each renewal.
        let mut ours: Option<Lease> = None;
        let limit = self.settings.renew_deadline / 2;
        let mut outage = Outage::default();
        loop {
            let asked = Renewed::now();
            let attempt = tokio::time::timeout(limit, self.attempt(ours.take())).await;
            log_attempt(&mut outage, &attempt);
            match attempt {
                Ok(Ok(Some(lease))) => {
                    ours = Some(lease);
                    self.renewed.send_replace(Some(asked));
                }
                // Another process holds it.
                Ok(Ok(None)) => {
                    self.renewed.send_replace(None);
                }
                // It is not known whether a failed renewal took effect; the claim ends when its time is over.
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::time::sleep(self.pause(ours.is_some())).await;
        }
    }

    /// Candidates try at different times, so that not all try at once (client-go's jitter).
    fn pause(&self, leads: bool) -> Duration {
        let period = self.settings.retry_period;
        if leads {
            period
        } else {
            period + period.mul_f64(0.2 * f64::from(random()) / f64::from(u32::MAX))
        }
    }

    /// Tries once. Returns the Lease if it is ours now, `None` if another process holds it.
    async fn attempt(&mut self, ours: Option<Lease>) -> Result<Option<Lease>, kube::Error> {
        let live = match ours {
            Some(lease) => Some(lease),
            None => self.api.get_opt(&self.settings.name).await?,
        };
        self.note(live.as_ref());
        let params = PostParams::default();
        let written = match self.claim.step(live, Instant::now(), now()) {
            Step::Wait => return Ok(None),
            Step::Create(mut lease) => {
                lease.metadata.namespace = Some(self.settings.namespace.clone());
                lease.metadata.name = Some(self.settings.name.clone());
                self.api.create(&params, &lease).await
            }
            // The write has the resourceVersion that was read: if two candidates try at once, one gets a
            // conflict.
            Step::Write(lease) => self.api.replace(&self.settings.name, &params, &lease).await,
        };
        match written {
            Ok(lease) => {
                self.note(Some(&lease));
                Ok(Some(lease))
            }
            // Another process wrote it. The next try reads who holds it; until then our claim keeps its age.
            Err(error) => Err(error),
        }
    }

    fn note(&self, lease: Option<&Lease>) {
        let seen = lease.map(LeaseState::of).unwrap_or_default();
        self.seen.send_if_modified(|known| {
            let changed = *known != seen;
            *known = seen;
            changed
        });
    }
}

/// Logs when reading or renewing the Lease begins to fail, and when it works again (rule: logs-tell-changes).
fn log_attempt(
    outage: &mut Outage,
    attempt: &Result<Result<Option<Lease>, kube::Error>, tokio::time::error::Elapsed>,
) {
    let why = match attempt {
        Ok(Ok(_)) => None,
        // Another candidate was faster; the next attempt shows who.
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => None,
        Ok(Err(error)) => Some(describe(error)),
        Err(_) => Some("no answer".to_owned()),
    };
    let now = jiff::Timestamp::now().into();
    match why {
        None => {
            if let Some(over) = outage.worked(now) {
                tracing::info!("the Lease can be read and written again {over}");
            }
        }
        Some(why) => {
            if outage.failed(&why, now) {
                tracing::warn!("failed to read or renew the Lease: {why}; it is tried again");
            }
        }
    }
}

fn now() -> MicroTime {
    MicroTime(jiff::Timestamp::now())
}

/// Sends a value when the claim begins and when it ends, though no caller asks. Ends with the candidate.
async fn announce(
    mut renewed: watch::Receiver<Option<Renewed>>,
    leading: watch::Sender<bool>,
    deadline: Duration,
) {
    loop {
        let last = *renewed.borrow_and_update();
        let held = last.is_some_and(|last| last.is_good(Renewed::now(), deadline));
        leading.send_if_modified(|known| {
            let changed = *known != held;
            *known = held;
            changed
        });
        let ends = async {
            match last.filter(|_| held) {
                Some(last) => tokio::time::sleep_until((last.monotonic + deadline).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = renewed.changed() => if changed.is_err() { break },
            () = ends => {}
        }
    }
    leading.send_replace(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_ends_by_either_clock() {
        let start = Renewed::now();
        let deadline = Duration::from_secs(10);
        let after = |monotonic: u64, wall: u64| Renewed {
            monotonic: start.monotonic + Duration::from_secs(monotonic),
            wall: start.wall + Duration::from_secs(wall),
        };
        assert!(start.is_good(after(9, 9), deadline));
        assert!(
            !start.is_good(after(10, 0), deadline),
            "the wall clock was set back"
        );
        assert!(
            !start.is_good(after(0, 10), deadline),
            "the machine was paused"
        );
        let set_back = Renewed {
            wall: start.wall - Duration::from_secs(100),
            ..after(9, 0)
        };
        assert!(start.is_good(set_back, deadline));
    }

    #[tokio::test]
    async fn the_channel_turns_false_though_the_renewing_task_hangs() {
        let (renewed_in, renewed) = watch::channel(None);
        let (leading_in, mut leading) = watch::channel(false);
        let announcing = tokio::spawn(announce(renewed, leading_in, Duration::from_millis(100)));
        // On a busy machine a renewal may be over before the test reads it.
        let soon = Duration::from_millis(50);
        loop {
            renewed_in.send_replace(Some(Renewed::now()));
            let led = leading.wait_for(|leads| *leads);
            if tokio::time::timeout(soon, led).await.is_ok() {
                break;
            }
        }
        // No task renews, and the sender still exists.
        let lost = leading.wait_for(|leads| !*leads);
        // The reference that `wait_for` returns locks the channel against writes: it must be dropped here.
        let lost = tokio::time::timeout(Duration::from_secs(30), lost)
            .await
            .is_ok();
        assert!(lost, "the claim did not end");
        assert!(!announcing.is_finished());
        drop(renewed_in);
        announcing.await.unwrap();
    }

    #[test]
    fn two_processes_of_one_pod_are_two() {
        let of = || ElectionSettings::new("nanoseg", "nanoseg", "nanoseg-0").identity;
        assert_ne!(of(), of());
    }
}
