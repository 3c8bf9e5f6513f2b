//! The pods that tries can be made from: one of each class that policies distinguish.

use super::ends::{ClientEnd, PodName};
use super::plan::{LeftOut, PlanInputs, rank};
use super::subject::Subject;
use nanoseg_evaluate::ClassId;
use std::collections::BTreeMap;

/// How many clients are looked at; more are left out by rank.
pub const MOST_CLIENTS: usize = 300;
/// How many reasons are listed.
const MOST_LEFT_OUT: usize = 50;

/// A pod that tries can be made from.
#[derive(Debug, Clone)]
pub struct Client<'a> {
    pub index: usize,
    pub class: ClassId,
    pub end: ClientEnd,
    pub subject: &'a Subject,
    rank: String,
}

/// Returns the clients in the order of the sample, and the workloads of which no pod can be one.
pub fn clients<'a>(inputs: &PlanInputs<'a>) -> (Vec<Client<'a>>, Vec<LeftOut>) {
    let fit: BTreeMap<&PodName, &Subject> =
        inputs.subjects.iter().map(|one| (&one.pod, one)).collect();
    let (mut all, mut left_out) = (Vec::new(), Vec::new());
    for (class, members) in inputs.evaluation.classes() {
        if !inputs.is_in_scope(&members.workload.namespace) {
            continue;
        }
        let mut candidates: Vec<Client<'a>> = Vec::new();
        let mut unfit = None;
        for index in &members.pods {
            let Some(pod) = inputs.inventory.pods.get(*index) else {
                continue;
            };
            if pod.template || pod.owned.until.is_some() {
                continue;
            }
            let name = PodName {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
            };
            match fit.get(&name) {
                Some(subject) => candidates.push(Client {
                    index: *index,
                    class,
                    rank: rank(inputs.seed, &format!("client {name}")),
                    end: ClientEnd {
                        pod: name,
                        workload: pod.workload.clone(),
                        node: pod.node.clone(),
                    },
                    subject,
                }),
                None => unfit = unfit.or_else(|| inputs.unfit.get(&name)),
            }
        }
        let best = candidates
            .into_iter()
            .min_by(|a, b| (a.subject.used, &a.rank).cmp(&(b.subject.used, &b.rank)));
        match (best, unfit) {
            (Some(best), _) => all.push(best),
            (None, Some(why)) => left_out.push(LeftOut {
                what: format!("from {}", members.workload),
                why: format!("its pod {why}"),
            }),
            (None, None) => {}
        }
    }
    all.sort_by(|a, b| a.rank.cmp(&b.rank));
    all.truncate(MOST_CLIENTS);
    left_out.sort();
    left_out.dedup();
    let more = left_out.len().saturating_sub(MOST_LEFT_OUT);
    left_out.truncate(MOST_LEFT_OUT);
    if more > 0 {
        left_out.push(LeftOut {
            what: format!("from {more} more workloads"),
            why: "for such reasons".into(),
        });
    }
    (all, left_out)
}
