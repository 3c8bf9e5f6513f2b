//! What approving, rejecting and rolling back have in common: a ProposalDecision is made, signed with the
//! name that the API server knows, and followed until the controller has answered.

use super::access::{Access, AccessArgs, NamespaceArg, explain};
use super::terminal;
use super::units::parse_duration;
use crate::review::resources::{
    DecisionOutcome, Mode, Phase, PolicyProposal, ProposalDecision, ProposalDecisionSpec,
    Segmentation, Verb,
};
use anyhow::{Context, anyhow};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the controller's answer is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// What every decision needs.
#[derive(Debug, Clone, clap::Args)]
pub struct DecideArgs {
    #[command(flatten)]
    pub place: NamespaceArg,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Do not ask on the terminal.
    #[arg(long, short)]
    pub yes: bool,
    /// How long to wait for the controller, 0 for not at all.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    pub wait: Duration,
}

/// One decision about one proposal.
pub struct Wanted<'a> {
    pub proposal: &'a PolicyProposal,
    pub verb: Verb,
    pub reason: &'a str,
}

/// Makes decisions in one namespace.
pub struct Desk {
    access: Access,
    pub namespace: String,
    wait: Duration,
    yes: bool,
}

impl Desk {
    pub fn open(args: &DecideArgs) -> anyhow::Result<Desk> {
        let access = Access::open(&args.access)?;
        Ok(Desk {
            namespace: access.namespace(&args.place),
            access,
            wait: args.wait,
            yes: args.yes,
        })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.access.client.clone(), &self.namespace)
    }

    pub fn proposal(&self, name: &str) -> anyhow::Result<PolicyProposal> {
        let what = format!("read proposal {name} in namespace {}", self.namespace);
        let found = self.access.wait(self.api::<PolicyProposal>().get(name));
        found.map_err(|error| explain(error, &what))
    }

    pub fn proposals(&self) -> anyhow::Result<Vec<PolicyProposal>> {
        let what = format!("list policyproposals in namespace {}", self.namespace);
        let list = self.api::<PolicyProposal>();
        let found = self.access.wait(list.list(&ListParams::default()));
        let mut items = found.map_err(|error| explain(error, &what))?.items;
        items.sort_by_key(ResourceExt::name_any);
        Ok(items)
    }

    pub fn decisions(&self) -> anyhow::Result<Vec<ProposalDecision>> {
        let what = format!("list proposaldecisions in namespace {}", self.namespace);
        let list = self.api::<ProposalDecision>();
        let found = self.access.wait(list.list(&ListParams::default()));
        Ok(found.map_err(|error| explain(error, &what))?.items)
    }

    /// Asks on a terminal; elsewhere, and with --yes, the answer is yes.
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

    /// Makes all decisions and follows each. Tells of each on stdout, of what went wrong on stderr.
    /// `true`: all were accepted and carried out.
    ///
    /// # Errors
    /// The right to decide is missing, or the API server cannot be reached.
    pub fn decide(&self, all: &[Wanted]) -> anyhow::Result<bool> {
        let user = self.user()?;
        let mut made = Vec::new();
        for wanted in all {
            made.push((wanted, self.create(wanted, &user)?));
        }
        let mut well = true;
        for (wanted, decision) in made {
            match self.follow(wanted, &decision) {
                Ok(line) => terminal::print(&format!("{line}\n"))?,
                Err(problem) => {
                    well = false;
                    eprintln!("{}: {problem}", wanted.proposal.name_any());
                }
            }
        }
        Ok(well)
    }

    /// Makes one decision and follows it.
    ///
    /// # Errors
    /// It could not be made, was refused, or was not carried out in time.
    pub fn decide_one(&self, wanted: &Wanted) -> anyhow::Result<String> {
        let decision = self.create(wanted, &self.user()?)?;
        self.follow(wanted, &decision)
    }

    /// The name that the API server knows: the admission policy refuses every other.
    fn user(&self) -> anyhow::Result<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.access.client.clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let answer = self.access.wait(api.create(&params, &review));
        let answer = answer.map_err(|error| explain(error, "ask who you are"))?;
        let user = answer.status.and_then(|status| status.user_info?.username);
        user.context("the API server does not say who you are; decisions need a user name")
    }

    fn create(&self, wanted: &Wanted, user: &str) -> anyhow::Result<String> {
        let proposal = wanted.proposal;
        let name = proposal.name_any();
        let spec = ProposalDecisionSpec {
            proposal: name.clone(),
            proposal_uid: proposal.uid().unwrap_or_default(),
            revision: proposal.spec.review.revision.clone(),
            decision: wanted.verb,
            reason: wanted.reason.to_owned(),
            decided_by: user.to_owned(),
        };
        let mut decision = ProposalDecision::new("", spec);
        decision.metadata.name = None;
        decision.metadata.generate_name = Some(format!("{name}-"));
        let verb = format!("{:?}", wanted.verb).to_lowercase();
        let what = format!("{verb} {name} in namespace {} as {user}", self.namespace);
        let api = self.api::<ProposalDecision>();
        let made = self
            .access
            .wait(api.create(&PostParams::default(), &decision));
        Ok(made.map_err(|error| explain(error, &what))?.name_any())
    }

    /// Waits for the controller's answer, and for what it does then.
    fn follow(&self, wanted: &Wanted, decision: &str) -> anyhow::Result<String> {
        let name = wanted.proposal.name_any();
        if self.wait.is_zero() {
            return Ok(format!("{name}: decision {decision} made"));
        }
        let until = Instant::now() + self.wait;
        let api = self.api::<ProposalDecision>();
        let status = self.poll(until, || {
            let found = self.access.wait(api.get(decision))?;
            Ok(found.status.filter(|status| status.outcome.is_some()))
        })?;
        let status = status.with_context(|| {
            format!(
                "decision {decision} was made, and no controller has answered it within {} s; see that it runs, and then nanoseg proposals",
                self.wait.as_secs()
            )
        })?;
        if status.outcome == Some(DecisionOutcome::Refused) {
            return Err(anyhow!("refused: {}", status.message.unwrap_or_default()));
        }
        match wanted.verb {
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
        let segmentation = self.access.wait(api.get_opt("default"));
        let mode = segmentation.map_err(|error| explain(error, "read the Segmentation"))?;
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
            let found = self.access.wait(api.get(name))?;
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

    /// Looks until there is something or the time is over.
    fn poll<T>(
        &self,
        until: Instant,
        mut look: impl FnMut() -> Result<Option<T>, kube::Error>,
    ) -> anyhow::Result<Option<T>> {
        loop {
            let found = look().map_err(|error| explain(error, "follow the decision"))?;
            if found.is_some() || Instant::now() >= until {
                return Ok(found);
            }
            // Made inside: a timer belongs to the runtime that it is made in.
            self.access.wait(async { tokio::time::sleep(LOOK).await });
        }
    }
}
