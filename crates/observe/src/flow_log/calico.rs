//! Calico's flow logs (felix: `collector/flowlog`, one JSON object a flow) and Goldmane's flows
//! (projectcalico/calico: `goldmane/proto/api.proto`), which have names instead of addresses.

use super::entry::Entry;
use super::parsed_line::{LineError, ParsedLine};
use super::time::FlowTime;
use nanoseg_flow::{
    ActivityWindows, FlowRecord, Observed, Observer, Opening, PeerLabel, PeerLabels, PodLabel,
    Source, Verdict, stand_in_address,
};
use nanoseg_net::{Protocol, parse_address};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// One flow with its fields under lower-case names without underscores: `source_ip`, `sourceIP` and
/// `sourceIp` are one. Goldmane's key is opened into it.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(object: Map<String, Value>) -> Fields {
        let mut fields = Map::new();
        for (name, value) in object {
            let name: String = name.chars().filter(|c| *c != '_').collect();
            match (name.to_ascii_lowercase(), value) {
                (name, Value::Object(inner))
                    if ["key", "flow", "stats"].contains(&name.as_str()) =>
                {
                    fields.extend(Fields::of(inner).0);
                }
                (name, value) => {
                    fields.insert(name, value);
                }
            }
        }
        Fields(fields)
    }

    /// The first of the names that has a value; Calico writes `-` for none.
    fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| match self.0.get(*name)? {
            Value::String(text) if !text.is_empty() && text != "-" => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    fn number(&self, names: &[&str]) -> Option<u64> {
        self.text(names)?.parse().ok()
    }

    fn time(&self, names: &[&str]) -> Option<FlowTime> {
        names
            .iter()
            .find_map(|name| FlowTime::deserialize(self.0.get(*name)?).ok())
    }

    /// The address and the label of one end, `source` or `dest`.
    fn end(&self, side: &str) -> Result<(IpAddr, Option<PeerLabel>), &'static str> {
        let named = |what: &str| format!("{side}{what}");
        let short = if side == "source" { "srcip" } else { "dstip" };
        let address = self.text(&[&named("ip"), short]);
        let address = match address {
            Some(text) => Some(parse_address(&text).ok_or("address")?),
            None => None,
        };
        let label = self.label(side);
        match (address, &label) {
            (Some(address), _) => {
                // An address says more than the name of a set of networks.
                let is_set = matches!(label, Some(PeerLabel::Network { .. }));
                Ok((address, label.filter(|_| !is_set)))
            }
            (None, Some(PeerLabel::Pod(pod))) => {
                let name = format!("{}/{}", pod.namespace, pod.name);
                Ok((stand_in_address(&name), label))
            }
            (None, Some(PeerLabel::Network { name })) => Ok((stand_in_address(name), label)),
            (None, _) => Err("address"),
        }
    }

    /// A pod, if the end is a workload endpoint ("wep", `WorkloadEndpoint`, 1); a set of networks ("net", "ns": `pub`, `pvt`
    /// and network sets), if it is one of these and has no address.
    fn label(&self, side: &str) -> Option<PeerLabel> {
        let named = |what: &str| format!("{side}{what}");
        let kind = self.text(&[&named("type")]);
        let is_pod =
            kind.is_none_or(|kind| ["wep", "WorkloadEndpoint", "1"].contains(&kind.as_str()));
        let name = self.text(&[&named("name"), &named("nameaggr")])?;
        let Some(namespace) = self.text(&[&named("namespace")]) else {
            return Some(PeerLabel::Network { name });
        };
        if !is_pod {
            return Some(PeerLabel::Network {
                name: format!("{namespace}/{name}"),
            });
        }
        Some(PeerLabel::Pod(PodLabel {
            labels: self.labels(&named("labels")),
            ..PodLabel::named(namespace, name)
        }))
    }

    /// `a=b | c=d` (Goldmane, Whisker), a list, or `{"labels": […]}` (Calico).
    fn labels(&self, field: &str) -> BTreeSet<String> {
        let list = |values: &[Value]| {
            let texts = values.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        match self.0.get(field) {
            Some(Value::String(text)) => {
                let parts = text.split(['|', ',']).map(str::trim);
                parts
                    .filter(|part| part.contains('='))
                    .map(str::to_owned)
                    .collect()
            }
            Some(Value::Array(values)) => list(values),
            Some(Value::Object(object)) => match object.get("labels") {
                Some(Value::Array(values)) => list(values),
                _ => BTreeSet::new(),
            },
            _ => BTreeSet::new(),
        }
    }

    fn service(&self) -> Option<(String, String)> {
        Some((
            self.text(&["destservicenamespace"])?,
            self.text(&["destservicename"])?,
        ))
    }
}

/// Reads one line.
///
/// # Errors
/// What is no JSON object.
pub(super) fn parse_line(text: &str) -> Result<Vec<Entry>, LineError> {
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| LineError::of_json(&error))?;
    Ok(parse(&Fields::of(object)).unwrap_or_else(|what| vec![Entry::Incomplete(what)]))
}

fn parse(fields: &Fields) -> Result<Vec<Entry>, &'static str> {
    let protocol = fields.text(&["proto", "protocol"]).ok_or("protocol")?;
    let Some(protocol) = super::jsonl::parse_protocol(&protocol) else {
        return Ok(vec![Entry::Skipped("calico-other-protocol")]);
    };
    let port = fields.number(&["destport", "dstport"]);
    let port = port
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0);
    let port = port.ok_or("port")?;
    let (client, client_claim) = fields.end("source")?;
    let (server, server_claim) = fields.end("dest")?;
    let first = fields.time(&["starttime"]).ok_or("start time")?.0;
    let last = fields
        .time(&["endtime"])
        .map_or(first, |end| end.0)
        .max(first);
    let mut windows = ActivityWindows::at(first);
    windows.mark(last);
    let reporter = match fields.text(&["reporter"]).as_deref() {
        Some("dst" | "Dst" | "2") => "dst",
        _ => "src",
    };
    let dropped = matches!(
        fields.text(&["action"]).as_deref(),
        Some("deny" | "Deny" | "2")
    );
    let labels = PeerLabels {
        client: client_claim,
        server: server_claim,
        service: fields.service(),
    };
    // `in` is what the reporting end received.
    let (received, sent) = (
        fields.number(&["bytesin"]).unwrap_or(0),
        fields.number(&["bytesout"]).unwrap_or(0),
    );
    let (to_server, to_client) = match reporter {
        "dst" => (received, sent),
        _ => (sent, received),
    };
    let record = FlowRecord {
        observers: Default::default(),
        told: None,
        client,
        server,
        port,
        protocol,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: verdict(dropped, protocol, fields),
        opening: match protocol {
            Protocol::Udp => Opening::FirstPacket,
            _ => Opening::Handshake,
        },
        labels: (labels != PeerLabels::default()).then(|| Arc::new(labels)),
        connections: fields
            .number(&["numflowsstarted", "numconnectionsstarted"])
            .unwrap_or(1),
        datagrams: 0,
        bytes_to_server: to_server,
        bytes_to_client: to_client,
        first,
        last,
        windows,
    };
    let node = fields
        .text(&["host", "node", "nodename"])
        .unwrap_or_default();
    let observer = (!node.is_empty()).then(|| Entry::Observer(node.clone(), first, last));
    let flow = Entry::Line(Box::new(ParsedLine::Flow(Observed {
        observer: Observer {
            // Each end of a connection reports it, on one node both.
            node: format!("{node}/{reporter}").into(),
            source: Source::FlowLog,
        },
        record,
    })));
    Ok(std::iter::once(flow).chain(observer).collect())
}

/// Allowed is not answered: what a scan tries is allowed, too. Where packets are counted and none came
/// back, there was no answer.
fn verdict(dropped: bool, protocol: Protocol, fields: &Fields) -> Verdict {
    let (received, sent) = (
        fields.number(&["packetsin"]),
        fields.number(&["packetsout"]),
    );
    match (received, sent) {
        _ if dropped => Verdict::Dropped,
        (Some(0), Some(1..)) | (Some(1..), Some(0)) if protocol == Protocol::Tcp => {
            Verdict::Unanswered
        }
        (Some(0), Some(1..)) | (Some(1..), Some(0)) => Verdict::OneWay,
        _ => Verdict::Established,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_log::parse_bytes;

    fn read(name: &str) -> Vec<String> {
        let path = format!(
            "{}/../../tests/data/flows/calico/{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        let (aggregate, summary) = parse_bytes(&std::fs::read(path).unwrap(), name).unwrap();
        assert_eq!(summary.malformed, Vec::<String>::new());
        let end = |label: Option<&PeerLabel>, address: IpAddr| match label {
            Some(PeerLabel::Pod(pod)) => format!("{}/{}", pod.namespace, pod.name),
            Some(PeerLabel::Network { name }) => name.clone(),
            _ => address.to_string(),
        };
        let line = |(observer, r): (&Observer, &FlowRecord)| {
            let labels = r.labels.as_deref().cloned().unwrap_or_default();
            format!(
                "{} {} → {} {}/{} {:?} {} {}>{}<",
                observer.node,
                end(labels.client.as_ref(), r.client),
                end(labels.server.as_ref(), r.server),
                r.port,
                r.protocol,
                r.verdict,
                r.connections,
                r.bytes_to_server,
                r.bytes_to_client
            )
        };
        let mut lines: Vec<String> = aggregate.records().map(line).collect();
        lines.sort();
        let skipped = summary
            .skipped
            .iter()
            .map(|(reason, n)| format!("skipped {reason} {n}"));
        lines.extend(skipped);
        lines.extend(
            aggregate
                .losses()
                .iter()
                .map(|(loss, n)| format!("lost {loss} {n}")),
        );
        lines
    }

    #[test]
    fn calico_s_own_log_is_read_flow_by_flow() {
        assert_eq!(
            read("flows.log"),
            [
                "n1/src 10.65.0.9 → 203.0.113.7 443/TCP Established 2 900>4000<",
                "n1/src shop/web-5d4f8c7b9-x2x7q → pub 443/TCP Established 4 600>1200<",
                "n1/src shop/web-5d4f8c7b9-x2x7q → shop/api-6c9d-* 8080/TCP Established 4 600>1200<",
                "n1/src shop/web-5d4f8c7b9-x2x7q → shop/db-0 5432/TCP Dropped 1 60>0<",
                "n1/src shop/web-5d4f8c7b9-x2x7q → shop/db-0 6379/TCP Unanswered 1 180>0<",
                "n2/dst shop/web-5d4f8c7b9-x2x7q → shop/api-6c9d-* 8080/TCP Established 4 600>1200<",
                "skipped calico-other-protocol 1",
            ]
        );
    }

    #[test]
    fn goldmane_s_flows_are_known_by_their_names() {
        assert_eq!(
            read("goldmane.json"),
            [
                "/dst shop/web-5d4f8c7b9-* → shop/api-6c9d-* 8080/TCP Established 12 1000>9000<",
                "/src shop/web-5d4f8c7b9-* → pub 443/TCP Established 12 1>1<",
                "/src shop/web-5d4f8c7b9-* → shop/api-6c9d-* 8080/TCP Established 12 1000>9000<",
            ]
        );
    }
}
