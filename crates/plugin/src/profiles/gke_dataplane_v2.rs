//! GKE Dataplane V2: Cilium's agent as the DaemonSet anetd.

use super::cilium::CILIUM;
use crate::behaviour::PodMatch;
use crate::fact::{Facts, fact};

const PAGE: &str = "Google Cloud documentation, GKE Dataplane V2: it is implemented using Cilium; cilium/cilium#20550";

pub const GKE_DATAPLANE_V2: Facts = Facts {
    enforces: fact(
        true,
        "Google Cloud documentation, GKE Dataplane V2: enforcement is always on",
        "all",
    ),
    nodes: fact(false, PAGE, "all"),
    pods: fact(PodMatch::Never, PAGE, "all"),
    ..CILIUM
};
