//! The values that the API server refuses in a NetworkPolicy: `ValidateNetworkPolicy` of
//! `pkg/apis/networking/validation`, `ValidateLabelSelector` and `ValidateObjectMeta` of apimachinery.

use super::syntax::{is_dns_label, is_dns_subdomain, is_label_key, is_label_value, is_port_name};
use super::{FieldPath, PolicyProblem, Wrong};
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::fmt;

/// A value that the API server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadValue {
    Missing,
    Name(String),
    Namespace(String),
    LabelKey(String),
    LabelValue(String),
    PolicyType(String),
    TooManyPolicyTypes,
    Protocol(String),
    PortNumber(i64),
    /// A port in quotes: a name that no port can have.
    QuotedPort(String),
    PortName(String),
    EndPortWithoutPort,
    EndPortOfName,
    EndPortBelowPort {
        port: i64,
        end_port: i64,
    },
    NoPeer,
    IpBlockAndSelector,
    Cidr(String),
    NotInside {
        except: String,
        cidr: String,
    },
    Operator(String),
    NoValues(String),
    Values(String),
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use BadValue::*;
        match self {
            Missing => f.write_str("it is required; add it"),
            Name(text) => write!(
                f,
                "{text:?} is no name of an object; use small letters, digits, - and ."
            ),
            Namespace(text) => write!(
                f,
                "{text:?} is no name of a namespace; use small letters, digits and -"
            ),
            LabelKey(text) => write!(
                f,
                "{text:?} is no key of a label; write [prefix/]name with at most 63 letters, digits, -, _ and ."
            ),
            LabelValue(text) => write!(
                f,
                "{text:?} is no value of a label; write at most 63 letters, digits, -, _ and ."
            ),
            PolicyType(text) => write!(f, "unknown policy type {text:?}; write Ingress or Egress"),
            TooManyPolicyTypes => {
                f.write_str("more than two policy types; write Ingress, Egress or both")
            }
            Protocol(text) => write!(f, "unknown protocol {text:?}; write TCP, UDP or SCTP"),
            PortNumber(number) => write!(f, "{number} is not between 1 and 65535; correct it"),
            QuotedPort(text) => write!(
                f,
                "{text:?} in quotes is the name of a port, and a name has a letter; write {text} without quotes"
            ),
            PortName(text) => write!(
                f,
                "{text:?} is no name of a port; use at most 15 small letters, digits and single -, at least one letter"
            ),
            EndPortWithoutPort => {
                f.write_str("endPort needs a port; add the first port of the range")
            }
            EndPortOfName => f.write_str(
                "endPort cannot be combined with a named port; write the port as a number",
            ),
            EndPortBelowPort { port, end_port } => write!(
                f,
                "{end_port} is less than the port {port}; correct one of them"
            ),
            NoPeer => f.write_str(
                "a peer needs a selector or an ipBlock; for every peer leave out the list",
            ),
            IpBlockAndSelector => {
                f.write_str("an ipBlock cannot be combined with a selector; make two items of them")
            }
            Cidr(text) => write!(
                f,
                "{text:?} is not a CIDR; write it like 192.0.2.0/24 or 2001:db8::/32"
            ),
            NotInside { except, cidr } => write!(
                f,
                "{except} is not a part of {cidr}: it must be inside and smaller; correct it, or remove the ipBlock"
            ),
            Operator(text) => write!(
                f,
                "unknown operator {text:?}; write In, NotIn, Exists or DoesNotExist"
            ),
            NoValues(operator) => write!(f, "{operator} needs at least one value; add it"),
            Values(operator) => write!(f, "{operator} takes no values; remove them"),
        }
    }
}

/// The values of a policy that the API server refuses. Values of the wrong type are left to the conversion.
pub fn invalid(object: &Map<String, Value>) -> Vec<PolicyProblem> {
    let mut check = Check { found: Vec::new() };
    let root = FieldPath::default();
    check.metadata(object.get("metadata"), &root.key("metadata"));
    if let Some(spec) = object.get("spec") {
        check.spec(spec, &root.key("spec"));
    }
    check.found
}

struct Check {
    found: Vec<PolicyProblem>,
}

impl Check {
    fn bad(&mut self, path: FieldPath, value: BadValue) {
        self.found.push(PolicyProblem {
            path,
            what: Wrong::Value(value),
        });
    }

    fn metadata(&mut self, metadata: Option<&Value>, path: &FieldPath) {
        let text = |field: &str| {
            let value = metadata.and_then(|metadata| metadata.get(field));
            value
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        match text("name") {
            None if text("generateName").is_none() => self.bad(path.key("name"), BadValue::Missing),
            Some(name) if !is_dns_subdomain(name) => {
                self.bad(path.key("name"), BadValue::Name(name.to_owned()));
            }
            _ => {}
        }
        if let Some(namespace) = text("namespace").filter(|name| !is_dns_label(name)) {
            let bad = BadValue::Namespace(namespace.to_owned());
            self.bad(path.key("namespace"), bad);
        }
        if let Some(labels) = metadata.and_then(|metadata| metadata.get("labels")) {
            self.labels(labels, &path.key("labels"));
        }
    }

    fn spec(&mut self, spec: &Value, path: &FieldPath) {
        if let Some(selector) = spec.get("podSelector") {
            self.selector(selector, &path.key("podSelector"));
        }
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (rule, at) in items(spec, direction, path) {
                for (port, at) in items(rule, "ports", &at) {
                    self.port(port, &at);
                }
                for (peer, at) in items(rule, peers, &at) {
                    self.peer(peer, &at);
                }
            }
        }
        let types: Vec<_> = items(spec, "policyTypes", path).collect();
        if types.len() > 2 {
            self.bad(path.key("policyTypes"), BadValue::TooManyPolicyTypes);
        }
        for (name, at) in types {
            if let Some(other) = name
                .as_str()
                .filter(|name| !["Ingress", "Egress"].contains(name))
            {
                self.bad(at, BadValue::PolicyType(other.to_owned()));
            }
        }
    }

    fn port(&mut self, port: &Value, path: &FieldPath) {
        let protocol = port.get("protocol").and_then(Value::as_str);
        if let Some(other) = protocol.filter(|name| !["TCP", "UDP", "SCTP"].contains(name)) {
            self.bad(path.key("protocol"), BadValue::Protocol(other.to_owned()));
        }
        let end = port.get("endPort").and_then(Value::as_i64);
        let in_range = |number: i64| (1..=65535).contains(&number);
        match port.get("port") {
            None | Some(Value::Null) => {
                if end.is_some() {
                    self.bad(path.key("endPort"), BadValue::EndPortWithoutPort);
                }
            }
            Some(Value::String(name)) => {
                if !is_port_name(name) {
                    let quoted = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
                    self.bad(
                        path.key("port"),
                        if quoted {
                            BadValue::QuotedPort(name.clone())
                        } else {
                            BadValue::PortName(name.clone())
                        },
                    );
                }
                if end.is_some() {
                    self.bad(path.key("endPort"), BadValue::EndPortOfName);
                }
            }
            Some(number) => {
                let Some(number) = number.as_i64() else {
                    return;
                };
                if !in_range(number) {
                    self.bad(path.key("port"), BadValue::PortNumber(number));
                }
                let Some(end) = end else { return };
                if !in_range(end) {
                    self.bad(path.key("endPort"), BadValue::PortNumber(end));
                } else if end < number {
                    let bad = BadValue::EndPortBelowPort {
                        port: number,
                        end_port: end,
                    };
                    self.bad(path.key("endPort"), bad);
                }
            }
        }
    }

    fn peer(&mut self, peer: &Value, path: &FieldPath) {
        let field = |field: &str| peer.get(field).filter(|value| !value.is_null());
        let selectors = ["podSelector", "namespaceSelector"];
        let block = field("ipBlock");
        let given: Vec<_> = selectors
            .into_iter()
            .filter_map(|name| Some((name, field(name)?)))
            .collect();
        match (block, given.is_empty()) {
            (None, true) => self.bad(path.clone(), BadValue::NoPeer),
            (Some(_), false) => self.bad(path.key("ipBlock"), BadValue::IpBlockAndSelector),
            _ => {}
        }
        for (name, selector) in given {
            self.selector(selector, &path.key(name));
        }
        if let Some(block) = block {
            self.block(block, &path.key("ipBlock"));
        }
    }

    fn block(&mut self, block: &Value, path: &FieldPath) {
        let Some(text) = block.get("cidr").and_then(Value::as_str) else {
            return;
        };
        let Ok(cidr) = text.parse::<IpNet>() else {
            self.bad(path.key("cidr"), BadValue::Cidr(text.to_owned()));
            return;
        };
        for (except, at) in items(block, "except", path) {
            let Some(except) = except.as_str() else {
                continue;
            };
            match except.parse::<IpNet>() {
                Err(_) => self.bad(at, BadValue::Cidr(except.to_owned())),
                Ok(part)
                    if cidr.trunc().contains(&part.trunc())
                        && cidr.prefix_len() < part.prefix_len() => {}
                Ok(_) => {
                    let bad = BadValue::NotInside {
                        except: except.to_owned(),
                        cidr: text.to_owned(),
                    };
                    self.bad(at, bad);
                }
            }
        }
    }

    fn selector(&mut self, selector: &Value, path: &FieldPath) {
        if let Some(labels) = selector.get("matchLabels") {
            self.labels(labels, &path.key("matchLabels"));
        }
        for (expression, at) in items(selector, "matchExpressions", path) {
            self.expression(expression, &at);
        }
    }

    fn labels(&mut self, labels: &Value, path: &FieldPath) {
        for (key, value) in labels.as_object().into_iter().flatten() {
            if !is_label_key(key) {
                self.bad(path.key(key), BadValue::LabelKey(key.clone()));
            }
            if let Some(text) = value.as_str().filter(|text| !is_label_value(text)) {
                self.bad(path.key(key), BadValue::LabelValue(text.to_owned()));
            }
        }
    }

    fn expression(&mut self, expression: &Value, path: &FieldPath) {
        let text = |field: &str| {
            expression
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (key, operator) = (text("key"), text("operator"));
        if !is_label_key(key) {
            self.bad(path.key("key"), BadValue::LabelKey(key.to_owned()));
        }
        let values: Vec<_> = items(expression, "values", path).collect();
        let bad = match (operator, values.is_empty()) {
            ("In" | "NotIn", true) => Some(("values", BadValue::NoValues(operator.to_owned()))),
            ("Exists" | "DoesNotExist", false) => {
                Some(("values", BadValue::Values(operator.to_owned())))
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => None,
            (other, _) => Some(("operator", BadValue::Operator(other.to_owned()))),
        };
        if let Some((field, bad)) = bad {
            self.bad(path.key(field), bad);
        }
        for (value, at) in values {
            if let Some(text) = value.as_str().filter(|text| !is_label_value(text)) {
                self.bad(at, BadValue::LabelValue(text.to_owned()));
            }
        }
    }
}

/// The items of a list, each with its path.
fn items<'a>(
    object: &'a Value,
    field: &'a str,
    path: &FieldPath,
) -> impl Iterator<Item = (&'a Value, FieldPath)> + use<'a> {
    let path = path.key(field);
    let list = object.get(field).and_then(Value::as_array);
    let list = list.into_iter().flatten().enumerate();
    list.map(move |(index, value)| (value, path.index(index)))
}
