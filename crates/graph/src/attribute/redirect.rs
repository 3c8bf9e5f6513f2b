//! Connections that a pod takes to another of its own ports (rule: mesh-port-is-what-the-plugin-sees).

use nanoseg_flow::FlowRecord;
use std::net::SocketAddr;

/// What a client called, where the pod itself took it to another of its own ports (REDIRECT): the application's port,
/// which is what was on the wire and what a network plugin sees. Whoever looks from inside of the pod, such as a flow
/// log made of its connection tracking, tells the port of the proxy.
pub(super) fn redirected_inside(record: &FlowRecord) -> Option<SocketAddr> {
    record
        .via
        .filter(|via| via.ip() == record.server && via.port() != record.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;
    use nanoseg_flow::Verdict;

    #[test]
    fn only_a_redirection_to_another_port_of_the_same_address_is_inside_of_a_pod() {
        let mut one = record("10.0.0.1", "10.0.0.2:15006", Verdict::Established);
        assert_eq!(redirected_inside(&one), None);
        one.via = Some("10.0.0.2:8080".parse().unwrap());
        assert_eq!(redirected_inside(&one), one.via);
        one.via = Some("10.96.0.1:8080".parse().unwrap());
        assert_eq!(redirected_inside(&one), None, "a Service");
        one.via = Some("10.0.0.2:15006".parse().unwrap());
        assert_eq!(redirected_inside(&one), None);
    }
}
