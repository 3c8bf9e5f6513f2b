//! A network without anything that enforces policies, such as flannel alone.

use super::super::fact::Facts;
use super::fact;
use super::spec::SPEC;

pub const NONE: Facts = Facts {
    enforces: fact(
        false,
        "Kubernetes documentation, Network Policies, Prerequisites; flannel-io/flannel#558: without a plugin that \
         enforces them, policies have no effect",
        "flannel without kube-network-policies, Calico or another enforcer beside it",
    ),
    ..SPEC
};
