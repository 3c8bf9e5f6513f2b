//! Small line drawings, one per kind of peer, 18 × 18 pixels from the origin.

use super::scene::NodeShape;

/// Path data of the icon for a peer; `kind` is the workload's.
pub fn path(shape: NodeShape, kind: &str) -> &'static str {
    match shape {
        NodeShape::Outside => {
            "M9 1.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 1 0 0-15M1.5 9H16.5M9 1.5c-5 4.5-5 10.5 0 15M9 1.5c5 4.5 5 10.5 0 15"
        }
        NodeShape::ApiServer => {
            "M9 1.5L15.5 5.2V12.8L9 16.5L2.5 12.8V5.2ZM9 6.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 1 0 0-5.6M9 1.5V6.2M9 11.8V16.5M2.5 5.2L6.6 7.6M11.4 10.4L15.5 12.8M15.5 5.2L11.4 7.6M6.6 10.4L2.5 12.8"
        }
        NodeShape::Node => {
            "M2.5 3H15.5V8H2.5ZM2.5 10H15.5V15H2.5ZM5 5.5H6.5M5 12.5H6.5M11 5.5H13M11 12.5H13"
        }
        NodeShape::Unattributed => "M6 6.5a3 3 0 1 1 4.6 2.6c-1.1.7-1.6 1.2-1.6 2.6M9 14.2V14.6",
        NodeShape::Workload => workload(kind),
    }
}

fn workload(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "ReplicaSet" | "ReplicationController" => {
            "M6.5 2H16V11.5H6.5ZM11.5 11.5V16H2V6.5H6.5"
        }
        "StatefulSet" => {
            "M3 4.3c0-1.5 2.7-2.6 6-2.6s6 1.1 6 2.6s-2.7 2.6-6 2.6s-6-1.1-6-2.6V13.7c0 1.5 2.7 2.6 6 2.6s6-1.1 6-2.6V4.3M3 9c0 1.5 2.7 2.6 6 2.6s6-1.1 6-2.6"
        }
        "DaemonSet" => "M2 2H8V8H2ZM10 2H16V8H10ZM2 10H8V16H2ZM10 10H16V16H10Z",
        "CronJob" => "M9 1.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 1 0 0-15M9 4.8V9L12 11",
        "Job" => "M9 1.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 1 0 0-15M5.6 9.2L8 11.6L12.4 6.6",
        _ => "M9 1.5L15.5 5.2V12.8L9 16.5L2.5 12.8V5.2ZM2.5 5.2L9 9L15.5 5.2M9 9V16.5",
    }
}
