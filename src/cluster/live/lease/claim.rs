//! Decides what to do about a Lease that was read. Pure: the time is an argument.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::time::{Duration, Instant};

/// The fields of a Lease that are shown to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseState {
    pub holder: Option<String>,
    pub transitions: i32,
}

impl LeaseState {
    pub fn of(lease: &Lease) -> LeaseState {
        let spec = lease.spec.clone().unwrap_or_default();
        LeaseState {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            transitions: spec.lease_transitions.unwrap_or(0),
        }
    }
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// There is no Lease: create this one (the caller adds its name).
    Create(Lease),
    /// It is ours, or it is free: write this, with the resourceVersion that it carries.
    Write(Lease),
    /// Another candidate holds it.
    Wait,
}

/// What one candidate remembers of the Leases that it read.
#[derive(Debug)]
pub struct Claim {
    identity: String,
    duration: Duration,
    /// The version of the Lease that was last read, and when this version was first read, by our own clock.
    observed: Option<(String, Instant)>,
}

impl Claim {
    pub fn new(identity: String, duration: Duration) -> Claim {
        Claim {
            identity,
            duration,
            observed: None,
        }
    }

    /// Decides what to do about `live`; `time` is the time to write into it.
    pub fn step(&mut self, live: Option<Lease>, now: Instant, time: MicroTime) -> Step {
        let Some(lease) = live else {
            return Step::Create(Lease {
                spec: Some(self.spec(LeaseSpec::default(), time, 0)),
                ..Lease::default()
            });
        };
        let seen = LeaseState::of(&lease);
        let spec = lease.spec.clone().unwrap_or_default();
        let ours = seen.holder.as_deref() == Some(&self.identity);
        if !ours && seen.holder.is_some() && !self.ran_out(&lease, &spec, now) {
            return Step::Wait;
        }
        let transitions = seen.transitions.saturating_add(i32::from(!ours));
        let spec = self.spec(spec, time, transitions);
        Step::Write(Lease {
            spec: Some(spec),
            ..lease
        })
    }

    /// Returns true if it was not renewed for its whole duration, counted from when we first saw this version.
    fn ran_out(&mut self, lease: &Lease, spec: &LeaseSpec, now: Instant) -> bool {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.observed {
            Some((known, since)) if *known == version => *since,
            _ => {
                self.observed = Some((version, now));
                now
            }
        };
        let stated = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
        let duration = Duration::from_secs(stated).max(self.duration);
        now.saturating_duration_since(since) >= duration
    }

    fn spec(&self, old: LeaseSpec, time: MicroTime, transitions: i32) -> LeaseSpec {
        let ours = old.holder_identity.as_deref() == Some(&self.identity);
        let acquired = old.acquire_time.clone().filter(|_| ours);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds(self.duration)),
            acquire_time: acquired.or(Some(time.clone())),
            renew_time: Some(time),
            lease_transitions: Some(transitions),
            ..old
        }
    }
}

/// Rounds up to whole seconds, so that other candidates never wait less than the duration.
fn seconds(duration: Duration) -> i32 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(up).unwrap_or(i32::MAX)
}

/// Returns the Lease as it is given back; `None` if it is not ours.
pub fn released(lease: Lease, identity: &str, time: MicroTime) -> Option<Lease> {
    let spec = lease.spec.clone()?;
    if spec.holder_identity.as_deref() != Some(identity) {
        return None;
    }
    let spec = LeaseSpec {
        // As client-go gives it back: an empty holder, and a duration of one second, the shortest valid one.
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(time),
        ..spec
    };
    Some(Lease {
        spec: Some(spec),
        ..lease
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn time(second: i64) -> MicroTime {
        MicroTime(jiff::Timestamp::from_second(second).unwrap())
    }

    fn claim(identity: &str) -> Claim {
        Claim::new(identity.to_owned(), DURATION)
    }

    fn written(step: Step) -> Lease {
        match step {
            Step::Create(lease) | Step::Write(lease) => lease,
            Step::Wait => panic!("it waits"),
        }
    }

    fn at_version(mut lease: Lease, version: &str) -> Lease {
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn the_first_makes_it_and_renews_it_as_the_same_holder() {
        let mut a = claim("a");
        let now = Instant::now();
        let made = written(a.step(None, now, time(100)));
        assert_eq!(
            LeaseState::of(&made),
            LeaseState {
                holder: Some("a".into()),
                transitions: 0
            }
        );
        let renewed = written(a.step(Some(made), now, time(102))).spec.unwrap();
        assert_eq!(renewed.lease_transitions, Some(0));
        assert_eq!(
            (renewed.acquire_time, renewed.renew_time),
            (Some(time(100)), Some(time(102)))
        );
    }

    #[test]
    fn another_waits_for_the_whole_duration_since_the_last_renewal_it_saw() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let made = written(claim("a").step(None, now, time(100)));
        let mut b = claim("b");
        let first = at_version(made.clone(), "1");
        assert_eq!(b.step(Some(first.clone()), later(0), time(0)), Step::Wait);
        assert_eq!(b.step(Some(first), later(14), time(0)), Step::Wait);
        let renewed = at_version(made, "2");
        assert_eq!(
            b.step(Some(renewed.clone()), later(15), time(0)),
            Step::Wait
        );
        assert_eq!(
            b.step(Some(renewed.clone()), later(29), time(0)),
            Step::Wait
        );
        let taken = written(b.step(Some(renewed), later(30), time(130)));
        assert_eq!(
            LeaseState::of(&taken),
            LeaseState {
                holder: Some("b".into()),
                transitions: 1
            }
        );
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("2"));
        assert_eq!(taken.spec.unwrap().acquire_time, Some(time(130)));
    }

    #[test]
    fn a_holder_that_states_a_longer_duration_has_it() {
        let now = Instant::now();
        let mut slow = Claim::new("a".into(), Duration::from_millis(59_500));
        let made = at_version(written(slow.step(None, now, time(0))), "1");
        let mut b = claim("b");
        assert_eq!(b.step(Some(made.clone()), now, time(0)), Step::Wait);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(b.step(Some(made.clone()), later(59), time(0)), Step::Wait);
        assert_ne!(b.step(Some(made), later(60), time(0)), Step::Wait);
    }

    #[test]
    fn a_lease_that_was_given_back_is_free_at_once() {
        let now = Instant::now();
        let made = written(claim("a").step(None, now, time(0)));
        assert_eq!(released(made.clone(), "b", time(1)), None);
        let free = released(made, "a", time(1)).unwrap();
        let taken = written(claim("b").step(Some(free), now, time(2)));
        assert_eq!(
            LeaseState::of(&taken),
            LeaseState {
                holder: Some("b".into()),
                transitions: 1
            }
        );
    }

    #[test]
    fn a_lease_without_a_spec_is_free() {
        let taken = written(claim("b").step(Some(Lease::default()), Instant::now(), time(2)));
        assert_eq!(LeaseState::of(&taken).holder.as_deref(), Some("b"));
    }
}
