//! `nanoseg review`: one proposal, for the person who decides.

mod text;

use super::access::{AccessArgs, NamespaceArg};
use super::style::Style;
use super::{pager, terminal};
use crate::load::ApiError;
use crate::review::resources::PolicyProposal;
use anyhow::Context;
use clap::ValueEnum;
use kube::Api;
use std::process::ExitCode;

/// Show a proposal: what it opens, closes and would block, why, and the policy
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Show a proposal for a decision: its reason, the connections that it opens and closes, its \
risk and findings, the recorded flows that it would have blocked, the evidence for what it allows, and \
the difference to the policy that it changes.",
    after_long_help = "\
Examples:
  One of the open proposals:
    nanoseg proposals -n shop
    nanoseg review web-3 -n shop

  The connections that it opens, for a script:
    nanoseg review web-3 -n shop -o json | jq .spec.review.gained

The text is shown through $PAGER (less) if it does not fit the terminal."
)]
pub struct Args {
    /// The proposal
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: NamespaceArg,
    #[command(flatten)]
    access: AccessArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Do not use a pager.
    #[arg(long)]
    no_pager: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    /// The whole object
    Json,
    /// The whole object
    Yaml,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.access.connect()?;
    let namespace = args.place.or_default(&client);
    let api: Api<PolicyProposal> = Api::namespaced(client.client.clone(), &namespace);
    let what = format!("read proposal {} in namespace {namespace}", args.name);
    let mut proposal = client
        .block_on(api.get(&args.name))
        .map_err(|error| ApiError::new(error, what))?;
    // Which client wrote which field does not help a decision.
    proposal.metadata.managed_fields = None;
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&proposal)?)?,
        Output::Yaml => {
            let text = serde_yaml::to_string(&proposal);
            terminal::print(&text.context("failed to print the proposal; please report it")?)?;
        }
        Output::Text => {
            let text = text::render(&proposal, Style::new(terminal::colour()))?;
            pager::print(&text, !args.no_pager)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
