//! A network without anything that enforces policies, such as flannel alone.

use super::spec::SPEC;
use crate::fact::{Facts, fact};

pub const NONE: Facts = Facts {
    enforces: fact(
        false,
        "Kubernetes documentation, Network Policies, Prerequisites; flannel-io/flannel#558: without a plugin that \
         enforces them, policies have no effect",
        "flannel without kube-network-policies, Calico or another enforcer beside it",
    ),
    ..SPEC
};
