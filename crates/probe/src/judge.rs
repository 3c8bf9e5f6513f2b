//! Compares what was heard with what is expected (rule: silence-tells-only-of-who-listens).

use super::ends::{PodName, ServerKind};
use super::fault::Fault;
use super::message::Told;
use super::outcome::{Outcome, Untold, Verdict};
use super::plan::{Check, Plan, Probe};
use super::task::Expected;
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What was heard of the containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The outcomes of each pod, in the order of [`Plan::by_pod`].
    pub pods: BTreeMap<PodName, Result<Vec<Told>, Fault>>,
    /// The outcomes at servers' own pods.
    pub checks: Vec<(Check, Result<Told, Fault>)>,
    /// The probes whose pods or verdict were not the same any more afterwards.
    pub changed: BTreeSet<usize>,
}

/// What one probe told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub told: Option<Told>,
    pub verdict: Verdict,
    pub fault: Option<Fault>,
}

/// Whether a connection gets through, as far as an outcome tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Passed,
    Stopped,
    NotTold(Untold),
}

/// The probes of whose servers nobody has shown that they listen, so that their own pods are to be asked.
pub fn unproven(plan: &Plan, heard: &Heard) -> BTreeSet<usize> {
    let listening = listening(plan, heard);
    let needs = |(index, told): (usize, Option<Told>)| {
        let probe = plan.probes.get(index)?;
        let is_heard = told?.last().is_heard();
        let is_shown = listening.contains(&(probe.protocol, probe.behind));
        let may_tell = probe.way.is_answered();
        (may_tell && !is_heard && !is_shown).then_some(index)
    };
    by_probe(plan, heard)
        .into_iter()
        .enumerate()
        .filter_map(needs)
        .collect()
}

/// Returns what each probe told, in the order of the plan.
pub fn judge(plan: &Plan, heard: &Heard) -> Vec<Judgement> {
    let listening = listening(plan, heard);
    let told = by_probe(plan, heard);
    let faults = &heard.pods;
    let one = |(index, (probe, told)): (usize, (&Probe, Option<Told>))| {
        let fault = match faults.get(&probe.client.pod) {
            Some(Err(fault)) => Some(fault.clone()),
            _ => None,
        };
        let verdict = match told {
            None => Verdict::NotTold(Untold::NotTried),
            Some(_) if heard.changed.contains(&index) => Verdict::NotTold(Untold::Changed),
            Some(told) => {
                let listens = listening.contains(&(probe.protocol, probe.behind));
                verdict(probe, told, listens)
            }
        };
        Judgement {
            told,
            verdict,
            fault,
        }
    };
    plan.probes.iter().zip(told).enumerate().map(one).collect()
}

/// The outcomes by probe; `None` where nothing was tried.
fn by_probe(plan: &Plan, heard: &Heard) -> Vec<Option<Told>> {
    let mut all = vec![None; plan.probes.len()];
    for (pod, probes) in plan.by_pod() {
        let Some(Ok(told)) = heard.pods.get(pod) else {
            continue;
        };
        for (index, told) in probes.into_iter().zip(told) {
            if let Some(place) = all.get_mut(index) {
                *place = Some(*told);
            }
        }
    }
    all
}

/// The servers that are shown to listen: somebody reached them in this run, be it their own pod. The API server answers
/// who asks it for all of this.
fn listening(plan: &Plan, heard: &Heard) -> BTreeSet<(Protocol, SocketAddr)> {
    let tried = by_probe(plan, heard);
    let reached = plan.probes.iter().zip(tried).filter(|(probe, told)| {
        let is_heard =
            |told: &Told| told.first.is_heard() || told.second.is_some_and(Outcome::is_heard);
        // Through a Service it may have been another pod.
        let is_direct = probe.to == probe.behind && told.as_ref().is_some_and(is_heard);
        is_direct || probe.server.kind == ServerKind::ApiServer
    });
    let reached = reached.map(|(probe, _)| (probe.protocol, probe.behind));
    let checked = heard.checks.iter().filter_map(|(check, told)| {
        let is_heard = matches!(told, Ok(told) if told.last().is_heard());
        is_heard.then_some((check.protocol, check.task.to))
    });
    reached.chain(checked).collect()
}

fn verdict(probe: &Probe, told: Told, listens: bool) -> Verdict {
    let first = of_reading(probe.expected, reading(probe, told.first, listens));
    let Some(second) = told.second else {
        return first;
    };
    match of_reading(probe.expected, reading(probe, second, listens)) {
        Verdict::AsExpected if first.differs() => Verdict::Late,
        other => other,
    }
}

fn of_reading(expected: Expected, reading: Reading) -> Verdict {
    match (expected, reading) {
        (_, Reading::NotTold(why)) => Verdict::NotTold(why),
        (Expected::Allowed, Reading::Passed) | (Expected::Denied, Reading::Stopped) => {
            Verdict::AsExpected
        }
        (Expected::Allowed, Reading::Stopped) => Verdict::Blocked,
        (Expected::Denied, Reading::Passed) => Verdict::NotBlocked,
        (Expected::Open, Reading::Passed) => Verdict::Passes,
        (Expected::Open, Reading::Stopped) => Verdict::IsStopped,
    }
}

fn reading(probe: &Probe, outcome: Outcome, listens: bool) -> Reading {
    match outcome {
        Outcome::Connected | Outcome::Answered => Reading::Passed,
        Outcome::Failed { .. } => Reading::NotTold(Untold::Failed),
        Outcome::Silent if !probe.way.is_answered() => Reading::NotTold(Untold::SilentDatagram),
        // ICMP from the server itself: the datagram arrived. Addresses in ICMP are translated too, so this
        // holds only where nothing was.
        Outcome::Rejected { by: Some(by) } if probe.through.is_none() => {
            if by == probe.to.ip() {
                Reading::Passed
            } else {
                Reading::Stopped
            }
        }
        // A server that listens does not refuse: somebody on the way does.
        Outcome::Refused | Outcome::Unreachable | Outcome::Silent | Outcome::Rejected { .. }
            if listens =>
        {
            Reading::Stopped
        }
        Outcome::Rejected { .. } => Reading::NotTold(Untold::UnknownSender),
        Outcome::Refused | Outcome::Unreachable | Outcome::Silent => {
            Reading::NotTold(Untold::NotListening)
        }
    }
}
