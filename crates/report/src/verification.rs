//! The result of checking policies against recorded traffic, also for code-review tools.

use super::Error;
use super::sarif::{Found, Level, Place, Rule, sarif};
use super::words::large;
use nanoseg_evaluate::RuleRef;
use nanoseg_net::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// The result of the check.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    pub policies: usize,
    /// Edges that were observed, and how many of them the policies allow completely.
    pub observed: usize,
    pub allowed: usize,
    /// The same for edges that were not seen but that others imply, such as DNS over TCP.
    pub implied: usize,
    pub implied_allowed: usize,
    pub would_block: Vec<Blocked>,
    /// Allowed, and not observed; cut at 10 000.
    pub unused: Vec<Unused>,
    /// How many pairs of client and server `unused` has in all; all addresses with which one workload is allowed the
    /// same are one end.
    pub unused_total: u64,
    /// How many connections these are, each address counted (rule: excess-is-listed); at most `u64::MAX`.
    pub unused_connections: u64,
    /// Rules that no observed connection used.
    pub unused_rules: Vec<RuleRef>,
    /// How many rules there are.
    pub rules: usize,
    /// Workloads that no policy isolates, in one direction at least.
    pub open: Vec<String>,
    /// Those of them to which everything may connect.
    pub open_ingress: Vec<String>,
    /// Those of them that may connect to everything.
    pub open_egress: Vec<String>,
}

impl Verification {
    /// The connections behind the pairs in words, to be put behind the number of pairs: ` (2.7 billion connections)`.
    /// Empty if each pair is one connection.
    pub fn unused_connections_text(&self) -> String {
        if self.unused_connections == self.unused_total {
            return String::new();
        }
        format!(" ({} connections)", large(self.unused_connections))
    }

    /// The open workloads, each with the directions in which no policy isolates it, in words.
    pub fn open_ways(&self) -> Vec<(&String, &'static str)> {
        let [ingress, egress] = [&self.open_ingress, &self.open_egress]
            .map(|list| list.iter().collect::<BTreeSet<&String>>());
        let open = self.open.iter();
        open.map(|one| match (ingress.contains(one), egress.contains(one)) {
            (true, false) => (one, "ingress"),
            (false, true) => (one, "egress"),
            _ => (one, "ingress and egress"),
        })
        .collect()
    }
}

/// An observed connection that the policies do not allow.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    pub client: String,
    pub server: String,
    pub ports: String,
    /// Established connections that were seen; 0 for implied ones.
    pub connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    pub by: String,
    /// The policies that block it, as `namespace/name`.
    pub policies: Vec<String>,
}

impl Blocked {
    /// How often it was seen, in words.
    pub fn seen(&self) -> String {
        match self.last_seen {
            Some(last) => format!("{} connections, the last at {last}", self.connections),
            None => "implied".into(),
        }
    }
}

/// Connections that are allowed and were not observed.
#[derive(Debug, Clone, Serialize)]
pub struct Unused {
    pub client: String,
    pub server: String,
    pub ports: String,
    /// The policies (`namespace/name`) that select the server, or, if it is not a pod, the client.
    pub policies: Vec<String>,
}

const WOULD_BLOCK: Rule = Rule {
    id: "would-block",
    level: Level::Error,
    means: "The policies block a connection that was observed.",
    remedy: "Allow it in one of the policies that are pointed at, or make sure that it is not wanted.",
};

const UNUSED_RULE: Rule = Rule {
    id: "unused-rule",
    level: Level::Note,
    means: "No observed connection used this rule.",
    remedy: "Remove the rule if the recorded traffic covers all that the workload does.",
};

const UNUSED_CONNECTION: Rule = Rule {
    id: "unused-connection",
    level: Level::Note,
    means: "The policies allow a connection that was not observed.",
    remedy: "Narrow the policies if the recorded traffic covers all that the workload does.",
};

const OPEN_WORKLOAD: Rule = Rule {
    id: "open-workload",
    level: Level::Warning,
    means: "No policy isolates the workload, in one direction at least: everything may reach it, or it everything.",
    remedy: "Write a policy that selects it: nanoseg generate does.",
};

const RULES: [&Rule; 4] = [
    &WOULD_BLOCK,
    &UNUSED_RULE,
    &UNUSED_CONNECTION,
    &OPEN_WORKLOAD,
];

/// The result as SARIF. `place` finds where a policy, or one of its rules, is written; `nearest` returns where to look in
/// a namespace if it is written nowhere.
///
/// # Errors
/// See [`sarif`].
pub fn as_sarif(
    verdict: &Verification,
    place: impl Fn(&str, Option<&RuleRef>) -> Option<Place>,
    nearest: impl Fn(&str) -> Option<Place>,
) -> Result<String, Error> {
    // The places of policies; if they are in no file, one in the namespace of `subject`.
    let places = |policies: &[String], subject: &str| -> Vec<Place> {
        let found = policies.iter().filter_map(|name| place(name, None));
        let found: Vec<Place> = found.collect();
        if found.is_empty() {
            nearest(namespace_of(subject)).into_iter().collect()
        } else {
            found
        }
    };
    let blocked = verdict.would_block.iter().map(|one| {
        let what = format!("{} => {} : {}", one.client, one.server, one.ports);
        Found {
            rule: &WOULD_BLOCK,
            message: format!("Would be blocked: {what} ({}; {})", one.seen(), one.by),
            places: places(&one.policies, &one.server),
            subject: one.server.clone(),
            identity: what,
        }
    });
    let rules = verdict.unused_rules.iter().map(|rule| Found {
        rule: &UNUSED_RULE,
        message: format!("Never used: {rule}"),
        places: match place(&rule.policy, Some(rule)) {
            Some(found) => vec![found],
            None => places(&[], &rule.policy),
        },
        subject: rule.policy.clone(),
        identity: rule.to_string(),
    });
    let unused = verdict.unused.iter().map(|one| {
        let what = format!("{} => {} : {}", one.client, one.server, one.ports);
        Found {
            rule: &UNUSED_CONNECTION,
            message: format!("Allowed and never used: {what}"),
            places: places(&one.policies, &one.server),
            subject: one.server.clone(),
            identity: what,
        }
    });
    let open = verdict
        .open_ways()
        .into_iter()
        .map(|(workload, ways)| Found {
            rule: &OPEN_WORKLOAD,
            message: format!("Open for {ways}, for lack of a policy: {workload}"),
            places: places(&[], workload),
            subject: workload.clone(),
            identity: String::new(),
        });
    let found: Vec<Found> = blocked.chain(rules).chain(unused).chain(open).collect();
    sarif("verify", &RULES, &found)
}

/// The namespace of `namespace/name`.
fn namespace_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(namespace, _)| namespace)
}
