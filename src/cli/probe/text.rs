//! What `nanoseg probe` prints for people.

use crate::cli::style::Style;
use crate::cluster::live::Prober;
use crate::probe::{Expected, Fault, Plan, PodName, Probe, Results, Tried, Verdict, Way};
use crate::report::escape;
use crate::report::table::{Align, Table};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is going to be done.
pub fn listing(
    plan: &Plan,
    refused: &BTreeMap<PodName, Fault>,
    prober: &Prober,
    cluster: &str,
) -> String {
    let mut table =
        Table::new(["FROM", "TO", "PORT", "EXPECTED", "HOW"].map(|name| (name, Align::Left)));
    for probe in &plan.probes {
        table.row([
            probe.client.pod.to_string(),
            to(probe),
            port(probe),
            expected(probe),
            how(probe.way).to_owned(),
        ]);
    }
    let by_pod = plan.by_pod();
    let begin = by_pod.len() - refused.len().min(by_pod.len());
    let mut out = table.render();
    let _ = writeln!(
        out,
        "\n{} connections in {}, from {begin} pods: each gets one ephemeral container with the image {}, which ends after\n\
         at most {} s and stays in the pod's object until the pod goes. Servers that nobody reaches get one too, which asks\n\
         whether they listen. What is not as expected is tried once more after {} s.",
        plan.probes.len(),
        escape::terminal(cluster),
        escape::terminal(&prober.image),
        prober.wait.as_secs(),
        prober.timing.again_after_ms / 1000,
    );
    for (pod, fault) in refused {
        let _ = writeln!(
            out,
            "left out: {pod}: {}",
            escape::terminal(&fault.to_string())
        );
        let _ = writeln!(out, "          {}", fault.remedy());
    }
    out.push_str(&left_out(plan));
    out
}

/// What cannot be tried.
pub fn left_out(plan: &Plan) -> String {
    let line = |one: &crate::probe::LeftOut| {
        format!("left out: {}: {}\n", one.what, escape::terminal(&one.why))
    };
    plan.left_out.iter().map(line).collect()
}

/// The results.
pub fn render(results: &Results, colour: bool) -> String {
    let style = Style::new(colour);
    let mut table = Table::new(
        ["FROM", "TO", "PORT", "EXPECTED", "HEARD", "RESULT"].map(|name| (name, Align::Left)),
    );
    for tried in &results.tried {
        let probe = &tried.probe;
        table.row([
            probe.client.pod.to_string(),
            to(probe),
            port(probe),
            expected(probe),
            heard(tried),
            result(tried),
        ]);
    }
    let mut out = table.render();
    out.push('\n');
    for tried in results.tried.iter().filter(|one| one.verdict.differs()) {
        out.push_str(&difference(tried, style));
    }
    let mut faults: Vec<(&PodName, &Fault)> = results
        .tried
        .iter()
        .filter_map(|one| Some((&one.probe.client.pod, one.fault.as_ref()?)))
        .collect();
    faults.dedup();
    for (pod, fault) in faults {
        let fault_text = fault.to_string();
        let _ = writeln!(
            out,
            "{pod}: {}; {}",
            escape::terminal(&fault_text),
            fault.remedy()
        );
    }
    if results.found_out.checked_port.is_some() {
        let _ = writeln!(out, "found out: {}", results.found_out);
    }
    out.push_str(&figures(results, style));
    out
}

fn difference(tried: &Tried, style: Style) -> String {
    let probe = &tried.probe;
    let (rules, verb) = match probe.expected {
        Expected::Denied => (&probe.denied_by, "denied by"),
        Expected::Allowed | Expected::Open => (&probe.allowed_by, "allowed by"),
    };
    let line = format!(
        "{} → {} {}: {}",
        probe.client.pod,
        to(probe),
        port(probe),
        tried.verdict.words()
    );
    let mut out = format!("{}\n", style.red(&escape::terminal(&line)));
    let rules = match rules.as_slice() {
        [] => "the policies of no end isolate it".to_owned(),
        some => format!("{verb} {}", some.join(", ")),
    };
    let _ = writeln!(out, "  {}", escape::terminal(&rules));
    for cause in &tried.causes {
        let _ = writeln!(out, "  likely: {}", escape::terminal(&cause.to_string()));
    }
    out
}

fn figures(results: &Results, style: Style) -> String {
    let plugin = results.plugin.as_deref().unwrap_or("not known");
    let plugin = escape::terminal(plugin);
    let figures = &results.figures;
    let verdict = match (figures.differences(), figures.told()) {
        (0, 0) => style.yellow("nothing could be told"),
        (0, _) => style.green("no difference"),
        (some, _) => style.red(&format!("{some} differ")),
    };
    format!(
        "network plugin: {plugin}\n{verdict}: {} tried · {} allowed get through · {} denied are stopped · {} blocked though allowed · {} not blocked though denied · {} not told\n",
        figures.tried,
        figures.allowed_confirmed,
        figures.denied_confirmed,
        figures.blocked,
        figures.not_blocked,
        figures.not_told
    )
}

fn to(probe: &Probe) -> String {
    match &probe.through {
        Some(service) => format!("{} by Service {service}", probe.server),
        None => probe.server.to_string(),
    }
}

fn port(probe: &Probe) -> String {
    format!("{}/{}", probe.to.port(), probe.protocol)
}

fn expected(probe: &Probe) -> String {
    let seen = match (probe.expected, probe.seen) {
        (Expected::Allowed, true) => ", seen",
        _ => "",
    };
    format!("{}{seen}", probe.expected.words())
}

fn how(way: Way) -> &'static str {
    match way {
        Way::Tcp | Way::Sctp => "handshake",
        Way::Datagram => "one datagram",
        Way::DnsQuery => "one DNS query",
    }
}

fn heard(tried: &Tried) -> String {
    match tried.told {
        None => "-".into(),
        Some(told) => match told.second {
            Some(second) => format!("{}, then {second}", told.first),
            None => told.first.to_string(),
        },
    }
}

fn result(tried: &Tried) -> String {
    match tried.verdict {
        Verdict::NotTold(why) => format!("not told: {}", why.words()),
        other => other.words().to_owned(),
    }
}
