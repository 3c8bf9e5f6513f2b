//! Approving, rejecting and rolling back: creates a ProposalDecision with the user name that the API server knows, and
//! waits until the controller has answered it.

use super::access::{AccessArgs, NamespaceArg};
use super::terminal;
use super::units::parse_duration;
use crate::load::{ApiError, BlockingClient};
use crate::record::Connection;
use crate::review::resources::{
    ConnectionRef, DecisionOutcome, Mode, Phase, PolicyProposal, ProposalDecision,
    ProposalDecisionSpec, Segmentation, Verb,
};
use anyhow::{Context, anyhow};
use kube::Api;
use kube::ResourceExt;
use kube::api::PostParams;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the controller's answer is polled.
const POLL: Duration = Duration::from_millis(200);

/// Options of every decision.
#[derive(Debug, Clone, clap::Args)]
pub struct DecideArgs {
    #[command(flatten)]
    pub place: NamespaceArg,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
    /// How long to wait for the controller; 0 does not wait.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    pub wait: Duration,
}

/// One decision about one proposal.
pub struct Decision<'a> {
    pub proposal: &'a PolicyProposal,
    pub verb: Verb,
    pub reason: &'a str,
    /// The connections that are not approved.
    pub except: &'a [Connection],
    /// For how long what it opens stays open, in seconds; `None`: for good.
    pub open_for: Option<u32>,
}

/// Makes decisions in one namespace.
pub struct Decider {
    client: BlockingClient,
    pub namespace: String,
    wait: Duration,
    yes: bool,
}

impl Decider {
    /// # Errors
    /// The kubeconfig is missing or wrong.
    pub fn connect(args: &DecideArgs) -> anyhow::Result<Decider> {
        let client = args.access.connect()?;
        Ok(Decider {
            namespace: args.place.or_default(&client),
            client,
            wait: args.wait,
            yes: args.yes,
        })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.client.clone(), &self.namespace)
    }

    pub fn proposal(&self, name: &str) -> anyhow::Result<PolicyProposal> {
        let what = format!("read proposal {name} in namespace {}", self.namespace);
        let found = self.client.block_on(self.api::<PolicyProposal>().get(name));
        Ok(found.map_err(|error| ApiError::new(error, what))?)
    }

    pub fn proposals(&self) -> anyhow::Result<Vec<PolicyProposal>> {
        Ok(self.client.list(Some(&self.namespace))?)
    }

    pub fn decisions(&self) -> anyhow::Result<Vec<ProposalDecision>> {
        Ok(self.client.list(Some(&self.namespace))?)
    }

    /// Asks for confirmation on a terminal; elsewhere, and with --yes, returns true.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        if self.yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(true);
        }
        eprint!("{question} [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// Makes all decisions and waits for each. Prints each result to stdout, and each failure to stderr. Returns true if
    /// all were accepted and carried out.
    ///
    /// # Errors
    /// The right to decide is missing, or the API server cannot be reached.
    pub fn decide(&self, all: &[Decision]) -> anyhow::Result<bool> {
        let user = self.user()?;
        let mut made = Vec::new();
        for decision in all {
            made.push((decision, self.create(decision, &user)?));
        }
        let mut all_done = true;
        for (decision, object) in made {
            match self.follow(decision, &object) {
                Ok(line) => terminal::print(&format!("{line}\n"))?,
                Err(problem) => {
                    all_done = false;
                    eprintln!("{}: {problem}", decision.proposal.name_any());
                }
            }
        }
        Ok(all_done)
    }

    /// Makes one decision and waits for it.
    ///
    /// # Errors
    /// It could not be made, was refused, or was not carried out in time.
    pub fn decide_one(&self, decision: &Decision) -> anyhow::Result<String> {
        let object = self.create(decision, &self.user()?)?;
        self.follow(decision, &object)
    }

    /// The name that the API server knows: the admission policy refuses every other.
    fn user(&self) -> anyhow::Result<String> {
        let user = self.client.user()?;
        user.context("the API server does not return who you are; decisions need a user name")
    }

    /// Creates the object; returns its name.
    fn create(&self, decision: &Decision, user: &str) -> anyhow::Result<String> {
        let proposal = decision.proposal;
        let name = proposal.name_any();
        let spec = ProposalDecisionSpec {
            proposal: name.clone(),
            proposal_uid: proposal.uid().unwrap_or_default(),
            revision: proposal.spec.review.revision.clone(),
            decision: decision.verb,
            reason: decision.reason.to_owned(),
            decided_by: user.to_owned(),
            except: decision.except.iter().map(ConnectionRef::from).collect(),
            open_for_seconds: decision.open_for,
        };
        let mut object = ProposalDecision::new("", spec);
        object.metadata.name = None;
        object.metadata.generate_name = Some(format!("{name}-"));
        let verb = format!("{:?}", decision.verb).to_lowercase();
        let what = format!("{verb} {name} in namespace {} as {user}", self.namespace);
        let api = self.api::<ProposalDecision>();
        let made = self
            .client
            .block_on(api.create(&PostParams::default(), &object));
        Ok(made.map_err(|error| ApiError::new(error, what))?.name_any())
    }

    /// Waits for the controller's answer, and until it has carried the decision out. `object` is the name of the
    /// ProposalDecision.
    fn follow(&self, decision: &Decision, object: &str) -> anyhow::Result<String> {
        let name = decision.proposal.name_any();
        if self.wait.is_zero() {
            return Ok(format!("{name}: decision {object} created"));
        }
        let until = Instant::now() + self.wait;
        let api = self.api::<ProposalDecision>();
        let status = self.poll(until, || {
            let found = self.client.block_on(api.get(object))?;
            Ok(found.status.filter(|status| status.outcome.is_some()))
        })?;
        let status = status.with_context(|| {
            format!(
                "decision {object} was created, but no controller answered it within {} s; check that the controller runs, then see nanoseg proposals",
                self.wait.as_secs()
            )
        })?;
        if status.outcome == Some(DecisionOutcome::Refused) {
            return Err(anyhow!("refused: {}", status.message.unwrap_or_default()));
        }
        match decision.verb {
            Verb::Approve => self.until_applied(&name, until),
            Verb::Reject => Ok(format!("{name}: rejected")),
            Verb::Rollback => {
                self.until_phase(&name, Phase::RolledBack, until)?;
                Ok(format!("{name}: rolled back"))
            }
        }
    }

    fn until_applied(&self, name: &str, until: Instant) -> anyhow::Result<String> {
        let api = self.api::<Segmentation>();
        let segmentation = self.client.block_on(api.get_opt("default"));
        let mode = segmentation.map_err(|error| ApiError::new(error, "read the Segmentation"))?;
        let mode = mode.map(|segmentation| segmentation.spec.mode);
        if mode != Some(Mode::Enforce) {
            let mode = mode.map_or("not segmented".into(), |mode| format!("in mode {mode:?}"));
            return Ok(format!(
                "{name}: approved; nothing is written while namespace {} is {mode}",
                self.namespace
            ));
        }
        self.until_phase(name, Phase::Applied, until)?;
        Ok(format!("{name}: approved and applied"))
    }

    fn until_phase(&self, name: &str, wanted: Phase, until: Instant) -> anyhow::Result<()> {
        let api = self.api::<PolicyProposal>();
        let mut last = None;
        let found = self.poll(until, || {
            let found = self.client.block_on(api.get(name))?;
            let is = found.phase() == wanted;
            last = Some(found);
            Ok(is.then_some(()))
        })?;
        found.with_context(|| {
            let last = last.as_ref();
            let is = last.map_or(Phase::Pending, PolicyProposal::phase);
            let status = last.and_then(|last| last.status.as_ref());
            let message = status.and_then(|status| status.message.clone());
            let message = message.map_or(String::new(), |text| format!(" ({text})"));
            format!(
                "accepted, but not {wanted:?} within {} s: it is {is:?}{message}; see nanoseg status",
                self.wait.as_secs()
            )
        })
    }

    /// Calls `look` until it returns something or the time is over.
    fn poll<T>(
        &self,
        until: Instant,
        mut look: impl FnMut() -> Result<Option<T>, kube::Error>,
    ) -> anyhow::Result<Option<T>> {
        loop {
            let found = look().map_err(|error| ApiError::new(error, "follow the decision"))?;
            if found.is_some() || Instant::now() >= until {
                return Ok(found);
            }
            // Created inside the runtime: a timer belongs to the runtime that it is created in.
            self.client
                .block_on(async { tokio::time::sleep(POLL).await });
        }
    }
}
