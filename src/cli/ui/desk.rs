//! Decisions of the page, made as the operator.

use crate::cli::access::{AccessArgs, NamespaceArg};
use crate::cli::decide::{DecideArgs, Desk, Wanted};
use crate::review::resources::Verb;
use crate::web::{Decide, Decided, DecisionRequest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// How long a decision is followed.
const WAIT: Duration = Duration::from_secs(30);

/// Decides with the operator's kubeconfig.
pub struct KubeDesk {
    access: AccessArgs,
}

impl KubeDesk {
    pub fn new(access: AccessArgs) -> Self {
        KubeDesk { access }
    }
}

impl Decide for KubeDesk {
    fn decide(&self, request: DecisionRequest) -> BoxFuture<'_, Decided> {
        let args = DecideArgs {
            place: NamespaceArg {
                namespace: Some(request.namespace.clone()),
            },
            access: self.access.clone(),
            yes: true,
            wait: WAIT,
        };
        // It brings a runtime of its own, which must not run inside another.
        let job = tokio::task::spawn_blocking(move || decide(&args, &request));
        job.map(|done| match done {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err("the decision broke off; see the record for what became of it".into()),
        })
        .boxed()
    }
}

fn decide(args: &DecideArgs, request: &DecisionRequest) -> anyhow::Result<String> {
    let desk = Desk::open(args)?;
    let proposal = desk.proposal(&request.proposal)?;
    anyhow::ensure!(
        proposal.spec.review.revision == request.revision,
        "not decided: it changed since the page showed it; look at it again"
    );
    let blocks = proposal.spec.review.would_block_total;
    anyhow::ensure!(
        request.verb != Verb::Approve || blocks <= request.blocks,
        "not decided: it would block {blocks} recorded connections by now; look at it again"
    );
    desk.decide_one(&Wanted {
        proposal: &proposal,
        verb: request.verb,
        reason: &request.reason,
    })
}
