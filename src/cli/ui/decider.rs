//! Decisions on the page, made as the operator.

use crate::cli::access::{AccessArgs, NamespaceArg};
use crate::cli::decision::{DecideArgs, Decider, Decision};
use crate::review::resources::Verb;
use crate::web::{Decide, Decided, DecisionRequest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// How long the result of a decision is awaited.
const WAIT: Duration = Duration::from_secs(30);

/// Decides with the operator's kubeconfig.
pub struct KubeDecider {
    access: AccessArgs,
}

impl KubeDecider {
    pub fn new(access: AccessArgs) -> Self {
        KubeDecider { access }
    }
}

impl Decide for KubeDecider {
    fn decide(&self, request: DecisionRequest) -> BoxFuture<'_, Decided> {
        let args = DecideArgs {
            place: NamespaceArg {
                namespace: Some(request.namespace.clone()),
            },
            access: self.access.clone(),
            yes: true,
            wait: WAIT,
        };
        // The client has a runtime of its own, which must not run inside another.
        let job = tokio::task::spawn_blocking(move || decide(&args, &request));
        job.map(|done| match done {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err("the decision was interrupted; see the record for its result".into()),
        })
        .boxed()
    }
}

fn decide(args: &DecideArgs, request: &DecisionRequest) -> anyhow::Result<String> {
    let decider = Decider::connect(args)?;
    let proposal = decider.proposal(&request.proposal)?;
    anyhow::ensure!(
        proposal.spec.review.revision == request.revision,
        "not decided: the proposal changed since the page showed it; review it again"
    );
    let blocks = proposal.spec.review.would_block_total;
    anyhow::ensure!(
        request.verb != Verb::Approve || blocks <= request.blocks,
        "not decided: the proposal would block {blocks} recorded connections by now; review it again"
    );
    decider.decide_one(&Decision {
        proposal: &proposal,
        verb: request.verb,
        reason: &request.reason,
        except: &request.except,
        open_for: request.open_for,
    })
}
