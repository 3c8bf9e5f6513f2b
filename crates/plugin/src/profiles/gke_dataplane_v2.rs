//! GKE Dataplane V2: Cilium's agent as the DaemonSet anetd.

use super::super::behaviour::PodMatch;
use super::super::fact::Facts;
use super::cilium::CILIUM;
use super::fact;

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
