//! One run of `nanoseg probe`: what each pod is to try, what the API server refuses, and what was heard.

use crate::cluster::live::{Prober, Trial};
use crate::load::{ApiError, BlockingClient};
use crate::probe::{Check, Fault, Heard, Plan, PodName, Probe, Subject, Told, unproven};
use anyhow::bail;
use std::collections::BTreeMap;

/// What a run works with.
pub struct Session<'a> {
    pub client: &'a BlockingClient,
    pub prober: &'a Prober,
    pub plan: &'a Plan,
    /// The pods that may get a container.
    pub fit: &'a [Subject],
}

type Answers = Vec<(Check, Result<Told, Fault>)>;

impl Session<'_> {
    /// What each pod tries, in the order of [`Plan::by_pod`].
    fn trials(&self) -> Vec<Trial> {
        let subjects: BTreeMap<&PodName, &Subject> =
            self.fit.iter().map(|one| (&one.pod, one)).collect();
        let trial = |(pod, probes): (&PodName, Vec<usize>)| {
            let tasks = probes
                .iter()
                .filter_map(|index| self.plan.probes.get(*index));
            Some(Trial {
                subject: (*subjects.get(pod)?).clone(),
                tasks: tasks.map(Probe::task).collect(),
            })
        };
        self.plan.by_pod().into_iter().filter_map(trial).collect()
    }

    /// The pods that the API server would refuse the container for, each with the reason. Nothing is changed.
    ///
    /// # Errors
    /// No answer from the API server.
    pub fn refusals(&self) -> anyhow::Result<BTreeMap<PodName, Fault>> {
        let mut of_namespace: BTreeMap<String, Option<Fault>> = BTreeMap::new();
        let mut refused = BTreeMap::new();
        for trial in self.trials() {
            let namespace = &trial.subject.pod.namespace;
            let rights = match of_namespace.get(namespace) {
                Some(known) => known.clone(),
                None => {
                    let asked = self.client.block_on(self.prober.refusal(namespace));
                    let asked =
                        asked.map_err(|error| ApiError::new(error, "ask what you may do"))?;
                    of_namespace.insert(namespace.clone(), asked.clone());
                    asked
                }
            };
            let would_be_taken = || self.client.block_on(self.prober.would_be_taken(&trial));
            let fault = rights.or_else(|| would_be_taken().err());
            refused.extend(fault.map(|fault| (trial.subject.pod.clone(), fault)));
        }
        Ok(refused)
    }

    /// # Errors
    /// The API server refuses the containers of all pods.
    pub fn may_begin(&self, refused: &BTreeMap<PodName, Fault>) -> anyhow::Result<()> {
        if let Some((pod, fault)) = refused.iter().next()
            && refused.len() == self.plan.by_pod().len()
        {
            bail!(
                "no pod can try anything: {pod}: {fault}; {}",
                fault.remedy()
            );
        }
        Ok(())
    }

    /// Tries everything, but in the refused pods, and asks the servers that nobody reached whether they listen.
    pub fn run(&self, refused: BTreeMap<PodName, Fault>) -> Heard {
        let mut trials = self.trials();
        trials.retain(|trial| !refused.contains_key(&trial.subject.pod));
        let mut pods = self.tried(&trials);
        let refused = refused.into_iter();
        pods.extend(refused.map(|(pod, fault)| (pod, Err(fault))));
        let mut heard = Heard {
            pods,
            ..Heard::default()
        };
        heard.checks = self.ask_servers(&heard);
        heard
    }

    fn tried(&self, trials: &[Trial]) -> BTreeMap<PodName, Result<Vec<Told>, Fault>> {
        let ended = |pod: &PodName| eprintln!("{pod} has ended");
        self.client.block_on(self.prober.run(trials, ended))
    }

    /// Asks the servers that nobody reached, in their own pods, whether they listen.
    fn ask_servers(&self, heard: &Heard) -> Answers {
        let checks = self.plan.checks(&unproven(self.plan, heard), self.fit);
        let mut by_pod: BTreeMap<&PodName, Vec<&Check>> = BTreeMap::new();
        for check in &checks {
            by_pod.entry(&check.pod).or_default().push(check);
        }
        let trial = |subject: &Subject| {
            let checks = by_pod.get(&subject.pod)?;
            // The first container of this run has its number already.
            let was_tried = usize::from(heard.pods.contains_key(&subject.pod));
            Some(Trial {
                subject: Subject {
                    next: subject.next.saturating_add(was_tried),
                    ..subject.clone()
                },
                tasks: checks.iter().map(|check| check.task).collect(),
            })
        };
        let trials: Vec<Trial> = self.fit.iter().filter_map(trial).collect();
        if trials.is_empty() {
            return Answers::new();
        }
        eprintln!(
            "{} servers were reached by nobody: their own pods are asked whether they listen",
            checks.len()
        );
        let told = self.tried(&trials);
        let answers = by_pod.into_iter().flat_map(|(pod, checks)| {
            let told = told.get(pod).cloned().unwrap_or(Err(Fault::PodGone));
            answers(&checks, &told)
        });
        answers.collect()
    }
}

fn answers(checks: &[&Check], told: &Result<Vec<Told>, Fault>) -> Answers {
    let each = checks.iter().enumerate();
    let answer = |(at, check): (usize, &&Check)| {
        let told = told.as_ref().map_err(Clone::clone);
        let told = told.and_then(|all| all.get(at).copied().ok_or(Fault::PodGone));
        ((*check).clone(), told)
    };
    each.map(answer).collect()
}
