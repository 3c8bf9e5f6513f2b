//! `nanoseg crd`: the custom resource definitions.

use super::terminal;
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use anyhow::Context;
use clap::ValueEnum;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;
use std::process::ExitCode;

/// Print the custom resource definitions that nanoseg needs in a cluster
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Print the custom resource definitions that nanoseg needs in a cluster, as YAML.

They are generated from the program's own types, so they always match this version. \
deploy/crds/ has the same definitions, one file each.",
    after_long_help = "\
Examples:
  Install or update them:
    nanoseg crd | kubectl apply --server-side -f -

  Only one of them:
    nanoseg crd --name segmentations

  The meaning of their fields, once they are installed:
    kubectl explain segmentation.spec --recursive"
)]
pub struct Args {
    /// Print only this one (repeatable; default: all).
    #[arg(long, value_enum, value_name = "NAME")]
    name: Vec<Resource>,
}

/// A custom resource by its plural, as kubectl accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Resource {
    Segmentations,
    #[value(name = "policyproposals")]
    PolicyProposals,
    #[value(name = "proposaldecisions")]
    ProposalDecisions,
}

impl Resource {
    /// The plural name; its file in deploy/crds has the same name.
    pub fn plural(self) -> &'static str {
        match self {
            Resource::Segmentations => "segmentations",
            Resource::PolicyProposals => "policyproposals",
            Resource::ProposalDecisions => "proposaldecisions",
        }
    }

    fn definition(self) -> CustomResourceDefinition {
        match self {
            Resource::Segmentations => Segmentation::crd(),
            Resource::PolicyProposals => PolicyProposal::crd(),
            Resource::ProposalDecisions => ProposalDecision::crd(),
        }
    }

    /// The definition as a YAML document, without its `---`.
    ///
    /// # Errors
    /// None that input can cause.
    pub fn yaml(self) -> anyhow::Result<String> {
        let print = || -> anyhow::Result<String> {
            let mut tree = serde_json::to_value(self.definition())?;
            for version in array(&mut tree, "/spec/versions") {
                if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                    tidy(schema);
                    describe(schema);
                }
            }
            Ok(serde_yaml::to_string(&tree)?)
        };
        let name = self.plural();
        print()
            .with_context(|| format!("failed to print the definition of {name}; please report it"))
    }
}

/// The formats that an API server supports (apiextensions-apiserver, `pkg/apiserver/validation/formats.go`). It
/// warns about every other format, and ignores it.
const FORMATS: [&str; 5] = ["int32", "int64", "float", "double", "date-time"];

fn array<'a>(tree: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = tree.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// Removes formats that an API server does not support, and writes bounds as it returns them.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            let format = fields.get("format").and_then(Value::as_str);
            if format.is_some_and(|format| !FORMATS.contains(&format)) {
                fields.remove("format");
            }
            for bound in ["minimum", "maximum"] {
                if let Some(value) = fields.get_mut(bound) {
                    whole(value);
                }
            }
            fields.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// `0.0` as `0`.
fn whole(value: &mut Value) {
    if let Some(number) = value.as_f64()
        && number.fract() == 0.0
        && number.abs() < f64::from(u32::MAX)
    {
        *value = Value::from(number as i64);
    }
}

/// Gives the resource the description of its spec: `kubectl explain` shows it first.
fn describe(schema: &mut Value) {
    let words = schema.pointer("/properties/spec/description").cloned();
    if let (Some(words), Some(fields)) = (words, schema.as_object_mut()) {
        fields.insert("description".into(), words);
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = |one: &&Resource| args.name.is_empty() || args.name.contains(one);
    let all = Resource::value_variants().iter().filter(wanted);
    let documents: Vec<String> = all.map(|one| one.yaml()).collect::<Result<_, _>>()?;
    terminal::print(&documents.join("---\n"))?;
    Ok(ExitCode::SUCCESS)
}
