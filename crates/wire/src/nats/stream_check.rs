//! Whether a stream or a consumer that was there before us is as we would have made it.
//!
//! A setting that we do not know counts as wrong as soon as it is set: what it does to batches is not known either.

use super::super::MAX_BATCH_BYTES;
use super::{CONSUMER, PREFIX};
use serde_json::Value;
use std::time::Duration;

/// The smallest stream that is of use, in bytes.
const MIN_BYTES: i64 = 16 << 20;
/// The most messages of one node: about a day of windows of 10 s.
const MAX_PER_NODE: i64 = 10_000;
/// The shortest time in which a batch that is sent again must be found.
const MIN_DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// The shortest time in which a receiver must store a batch.
const MIN_ACK_WAIT: Duration = Duration::from_secs(10);
/// The fewest messages that receivers must be given at a time.
const MIN_ACK_PENDING: i64 = 32;

/// A setting, whether its value is right, and what it must be.
struct Demand {
    key: &'static str,
    is_right: fn(&Value) -> bool,
    wanted: &'static str,
}

const fn demand(key: &'static str, is_right: fn(&Value) -> bool, wanted: &'static str) -> Demand {
    Demand {
        key,
        is_right,
        wanted,
    }
}

const STREAM: &[Demand] = &[
    demand(
        "storage",
        |v| v == "file",
        "\"file\": a batch must outlive the server",
    ),
    demand(
        "subjects",
        |v| {
            v.as_array()
                .is_some_and(|all| all.len() == 1 && all[0] == format!("{PREFIX}*"))
        },
        "[\"nanoseg.flows.v1.*\"]",
    ),
    demand("retention", |v| v == "workqueue", "\"workqueue\""),
    demand(
        "discard",
        |v| v == "new",
        "\"new\": what it has no room for waits at the agents, and nothing is thrown away",
    ),
    demand(
        "discard_new_per_subject",
        |v| v == true,
        "true: no node may fill it for the others",
    ),
    demand(
        "max_msgs_per_subject",
        |v| number(v).is_some_and(|n| (1..=MAX_PER_NODE).contains(&n)),
        "1 to 10000: no node may fill it for the others",
    ),
    demand(
        "max_bytes",
        |v| number(v).is_some_and(|n| n >= MIN_BYTES),
        "at least 16777216, and not unlimited",
    ),
    demand("max_msgs", is_unlimited, "-1"),
    demand("max_age", |v| number(v) == Some(0), "0: no batch expires"),
    demand(
        "max_msg_size",
        |v| is_unlimited(v) || number(v).is_some_and(|n| n >= MAX_BATCH_BYTES as i64),
        "-1",
    ),
    demand(
        "duplicate_window",
        |v| is_at_least(v, MIN_DUPLICATE_WINDOW),
        "at least 120000000000 (2 minutes, in ns)",
    ),
    demand(
        "num_replicas",
        |v| number(v).is_some_and(|n| n >= 1),
        "at least 1",
    ),
];

/// What a stream may have besides: it changes nothing for us.
const STREAM_MAY: &[&str] = &[
    "name",
    "description",
    "max_consumers",
    "placement",
    "metadata",
    "compression",
    "allow_direct",
    "deny_delete",
    "deny_purge",
    "first_seq",
];

const CONSUMER_DEMANDS: &[Demand] = &[
    demand("durable_name", |v| v == CONSUMER, "\"nanoseg-controller\""),
    demand("ack_policy", |v| v == "explicit", "\"explicit\""),
    demand("deliver_policy", |v| v == "all", "\"all\""),
    demand("replay_policy", |v| v == "instant", "\"instant\""),
    demand(
        "max_deliver",
        |v| v.is_null() || is_unlimited(v) || number(v) == Some(0),
        "-1: a batch comes again until it is stored",
    ),
    demand(
        "ack_wait",
        |v| is_at_least(v, MIN_ACK_WAIT),
        "at least 10000000000 (10 s, in ns)",
    ),
    demand(
        "max_ack_pending",
        |v| number(v).is_some_and(|n| n >= MIN_ACK_PENDING),
        "at least 32",
    ),
];

const CONSUMER_MAY: &[&str] = &[
    "name",
    "description",
    "metadata",
    "max_waiting",
    "num_replicas",
];

/// Returns what is wrong with the configuration of the stream of batches. `replicas`: the fewest that it must have.
pub fn stream_problems(config: &Value, replicas: usize) -> Vec<String> {
    let mut problems = problems(config, STREAM, STREAM_MAY);
    let found = config.get("num_replicas").and_then(number).unwrap_or(0);
    if found >= 1 && usize::try_from(found).is_ok_and(|found| found < replicas) {
        problems.push(format!(
            "num_replicas is {found}, and must be at least {replicas}"
        ));
    }
    problems
}

/// Returns what is wrong with the configuration of the consumer.
pub fn consumer_problems(config: &Value) -> Vec<String> {
    problems(config, CONSUMER_DEMANDS, CONSUMER_MAY)
}

fn problems(config: &Value, demands: &[Demand], may: &[&str]) -> Vec<String> {
    let Some(settings) = config.as_object() else {
        return vec!["the server does not tell its configuration".to_owned()];
    };
    let mut problems = Vec::new();
    for demand in demands {
        let value = settings.get(demand.key).unwrap_or(&Value::Null);
        if !(demand.is_right)(value) {
            problems.push(format!(
                "{} is {}, and must be {}",
                demand.key,
                shown(value),
                demand.wanted
            ));
        }
    }
    for (key, value) in settings {
        let is_known = may.contains(&&**key) || demands.iter().any(|demand| demand.key == key);
        if !is_known && !is_unset(value) {
            problems.push(format!(
                "{key:.100} is {}, and must not be set",
                shown(value)
            ));
        }
    }
    problems
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        other => format!("{:.200}", other.to_string()),
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64()
}

fn is_unlimited(value: &Value) -> bool {
    number(value) == Some(-1)
}

fn is_at_least(value: &Value, least: Duration) -> bool {
    let nanos = value.as_u64().map(Duration::from_nanos);
    nanos.is_some_and(|found| found >= least)
}

/// What servers write for a setting that nobody made.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_i64() == Some(0) || number.as_i64() == Some(-1),
        Value::String(text) => text.is_empty() || text == "none" || text == "default",
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_unset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As nats-server 2.9 shows it.
    fn stream() -> Value {
        json!({
            "name": "NANOSEG_FLOWS", "subjects": ["nanoseg.flows.v1.*"], "retention": "workqueue",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": 1 << 30, "max_age": 0, "max_msgs_per_subject": 256,
            "max_msg_size": -1, "discard": "new", "storage": "file", "num_replicas": 1,
            "duplicate_window": 1_800_000_000_000_u64, "sealed": false, "deny_delete": false, "deny_purge": false,
            "allow_rollup_hdrs": false, "allow_direct": false, "mirror_direct": false,
            "discard_new_per_subject": true
        })
    }

    #[test]
    fn each_wrong_setting_of_a_stream_is_found_by_its_name() {
        assert_eq!(stream_problems(&stream(), 1), Vec::<String>::new());
        let wrong = [
            ("storage", json!("memory")),
            ("subjects", json!(["nanoseg.>"])),
            ("subjects", json!(["nanoseg.flows.v1.*", "other"])),
            ("subjects", Value::Null),
            ("retention", json!("limits")),
            ("retention", json!("interest")),
            ("discard", json!("old")),
            ("discard_new_per_subject", json!(false)),
            ("max_msgs_per_subject", json!(-1)),
            ("max_msgs_per_subject", json!(1_000_000)),
            ("max_bytes", json!(-1)),
            ("max_bytes", json!(1)),
            ("max_msgs", json!(1)),
            ("max_age", json!(1_000_000_000)),
            ("max_msg_size", json!(10)),
            ("duplicate_window", json!(100_000_000)),
            ("num_replicas", json!(0)),
            ("mirror", json!({"name": "OTHER"})),
            ("sources", json!([{"name": "OTHER"}])),
            ("republish", json!({"src": ">", "dest": "public.>"})),
            ("subject_transform", json!({"src": ">", "dest": "other"})),
            ("allow_rollup_hdrs", json!(true)),
            ("allow_msg_ttl", json!(true)),
            ("no_ack", json!(true)),
            ("sealed", json!(true)),
            ("consumer_limits", json!({"max_ack_pending": 1})),
            ("persist_mode", json!("async")),
            ("what_comes_in_later_versions", json!(1)),
        ];
        for (key, value) in wrong {
            let mut config = stream();
            config[key] = value;
            let problems = stream_problems(&config, 1);
            assert_eq!(problems.len(), 1, "{key}: {problems:?}");
            assert!(problems[0].starts_with(key), "{problems:?}");
        }
        assert_eq!(stream_problems(&stream(), 3).len(), 1, "fewer replicas");
        assert_eq!(stream_problems(&Value::Null, 1).len(), 1);
    }

    #[test]
    fn what_changes_nothing_for_batches_may_be_set() {
        let mut config = stream();
        config["metadata"] = json!({"_nats.level": "1"});
        config["placement"] = json!({"cluster": "east"});
        config["compression"] = json!("s2");
        config["consumer_limits"] = json!({});
        config["persist_mode"] = json!("default");
        assert_eq!(stream_problems(&config, 1), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_setting_of_a_consumer_is_found_by_its_name() {
        let good = json!({
            "durable_name": "nanoseg-controller", "name": "nanoseg-controller", "deliver_policy": "all",
            "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64, "max_deliver": -1, "replay_policy": "instant",
            "max_waiting": 512, "max_ack_pending": 256, "num_replicas": 0
        });
        assert_eq!(consumer_problems(&good), Vec::<String>::new());
        let wrong = [
            ("deliver_policy", json!("new")),
            ("ack_policy", json!("none")),
            ("max_deliver", json!(1)),
            ("filter_subject", json!("nanoseg.flows.v1.node-1")),
            ("filter_subjects", json!(["nanoseg.flows.v1.node-1"])),
            ("deliver_subject", json!("elsewhere")),
            ("headers_only", json!(true)),
            ("mem_storage", json!(true)),
            ("inactive_threshold", json!(5_000_000_000_u64)),
            ("backoff", json!([1])),
            ("rate_limit_bps", json!(1)),
            ("pause_until", json!("2030-01-01T00:00:00Z")),
            ("max_ack_pending", json!(1)),
            ("ack_wait", json!(1)),
        ];
        for (key, value) in wrong {
            let mut config = good.clone();
            config[key] = value;
            let problems = consumer_problems(&config);
            assert_eq!(problems.len(), 1, "{key}: {problems:?}");
            assert!(problems[0].starts_with(key), "{problems:?}");
        }
    }
}
