use super::shop::Shop;
use crate::{
    Check, Fault, Heard, Judgement, Outcome, Plan, Told, Untold, Verdict, Way, judge, unproven,
};
use std::collections::{BTreeMap, BTreeSet};

fn told(first: Outcome) -> Told {
    Told {
        first,
        second: None,
    }
}

/// Everybody hears `usual`, except these: client, server, whether through the Service.
fn heard(plan: &Plan, usual: Outcome, except: &[(&str, &str, bool, Told)]) -> Heard {
    let mut pods = BTreeMap::new();
    for (pod, probes) in plan.by_pod() {
        let outcomes = probes.iter().map(|index| {
            let probe = &plan.probes[*index];
            let server = probe.server.pod.as_ref().unwrap();
            let mut found = except.iter().filter(|(client, other, through, _)| {
                *client == pod.name && *other == server.name && *through == probe.through.is_some()
            });
            found.next().map_or(told(usual), |one| one.3)
        });
        pods.insert(pod.clone(), Ok(outcomes.collect()));
    }
    Heard {
        pods,
        ..Heard::default()
    }
}

fn of<'a>(plan: &Plan, judged: &'a [Judgement], client: &str, server: &str) -> &'a Judgement {
    let at = plan.probes.iter().position(|one| {
        let is = one
            .server
            .pod
            .as_ref()
            .is_some_and(|pod| pod.name == server);
        one.client.pod.name == client && is && one.through.is_none()
    });
    &judged[at.unwrap()]
}

const ALLOWED: [(&str, &str); 2] = [("web", "api"), ("api", "db")];

/// What a cluster answers that enforces: the allowed connect, all others hear `denied`.
fn enforced(plan: &Plan, denied: Outcome) -> Heard {
    let mut except = Vec::new();
    for (client, server) in ALLOWED {
        for through in [false, true] {
            except.push((client, server, through, told(Outcome::Connected)));
        }
    }
    heard(plan, denied, &except)
}

#[test]
fn silence_and_refusals_of_a_server_that_somebody_reached_are_denials() {
    let plan = Shop::new().plan();
    for denied in [Outcome::Silent, Outcome::Refused, Outcome::Unreachable] {
        let judged = judge(&plan, &enforced(&plan, denied));
        assert!(
            judged.iter().all(|one| one.verdict == Verdict::AsExpected),
            "{denied}: {judged:#?}"
        );
    }
}

#[test]
fn silence_of_a_server_that_nobody_reached_tells_nothing_until_its_own_pod_did() {
    let plan = Shop::new().plan();
    for silence in [Outcome::Silent, Outcome::Refused] {
        let mut all = heard(&plan, silence, &[]);
        let judged = judge(&plan, &all);
        let untold = Verdict::NotTold(Untold::NotListening);
        assert!(
            judged.iter().all(|one| one.verdict == untold),
            "{judged:#?}"
        );
        // All of them are to be asked, each server once.
        let asked = unproven(&plan, &all);
        assert_eq!(asked.len(), plan.probes.len());
        let checks = plan.checks(&asked, &Shop::new().subjects());
        assert_eq!(checks.len(), 2);
        all.checks = checks
            .into_iter()
            .map(|check| (check, Ok(told(Outcome::Connected))))
            .collect();
        let judged = judge(&plan, &all);
        assert_eq!(
            of(&plan, &judged, "job", "api").verdict,
            Verdict::AsExpected
        );
        assert_eq!(of(&plan, &judged, "web", "api").verdict, Verdict::Blocked);
        // One that refuses even itself does not listen.
        for (_, answer) in &mut all.checks {
            *answer = Ok(told(Outcome::Refused));
        }
        assert_eq!(of(&plan, &judge(&plan, &all), "web", "api").verdict, untold);
    }
}

#[test]
fn a_server_that_was_reached_only_through_its_service_is_asked_itself() {
    let plan = Shop::new().plan();
    let all = heard(
        &plan,
        Outcome::Silent,
        &[("web", "api", true, told(Outcome::Connected))],
    );
    let asked = unproven(&plan, &all);
    let api: BTreeSet<usize> = asked
        .into_iter()
        .filter(|index| plan.probes[*index].behind.port() == 8080)
        .collect();
    assert!(
        !api.is_empty(),
        "another pod behind the Service may have answered"
    );
}

#[test]
fn a_denied_connection_that_is_made_differs_and_an_allowed_one_that_is_not_too() {
    let plan = Shop::new().plan();
    let all = heard(&plan, Outcome::Connected, &[]);
    let judged = judge(&plan, &all);
    assert_eq!(of(&plan, &judged, "job", "db").verdict, Verdict::NotBlocked);
    assert_eq!(of(&plan, &judged, "api", "db").verdict, Verdict::AsExpected);
    let all = heard(
        &plan,
        Outcome::Connected,
        &[("api", "db", false, told(Outcome::Silent))],
    );
    let judged = judge(&plan, &all);
    assert_eq!(of(&plan, &judged, "api", "db").verdict, Verdict::Blocked);
}

#[test]
fn what_is_as_expected_at_the_second_try_only_is_late_and_no_difference() {
    let plan = Shop::new().plan();
    let late = Told {
        first: Outcome::Connected,
        second: Some(Outcome::Silent),
    };
    let mut all = enforced(&plan, Outcome::Silent);
    let tries = all
        .pods
        .get_mut(&Shop::new().name("job"))
        .unwrap()
        .as_mut()
        .unwrap();
    tries[0] = late;
    let judged = judge(&plan, &all);
    let verdicts: Vec<Verdict> = judged.iter().map(|one| one.verdict).collect();
    assert_eq!(
        verdicts.iter().filter(|one| **one == Verdict::Late).count(),
        1
    );
    assert!(!verdicts.iter().any(|one| one.differs()));
}

fn datagrams(outcome: Outcome) -> Verdict {
    let mut plan = Shop::new().plan();
    for probe in &mut plan.probes {
        probe.way = Way::Datagram;
    }
    let judged = judge(&plan, &heard(&plan, outcome, &[]));
    of(&plan, &judged, "job", "db").verdict
}

#[test]
fn of_a_datagram_only_answers_and_known_senders_of_icmp_tell() {
    assert_eq!(
        datagrams(Outcome::Silent),
        Verdict::NotTold(Untold::SilentDatagram)
    );
    let by = |text: &str| Outcome::Rejected {
        by: text.parse().ok(),
    };
    // The server's own "port unreachable": the datagram arrived.
    assert_eq!(datagrams(by("10.0.1.2")), Verdict::NotBlocked);
    assert_eq!(datagrams(by("10.0.1.254")), Verdict::AsExpected);
    assert_eq!(datagrams(by("")), Verdict::NotTold(Untold::UnknownSender));
    assert_eq!(datagrams(Outcome::Answered), Verdict::NotBlocked);
}

#[test]
fn what_changed_meanwhile_or_failed_or_was_not_tried_tells_nothing() {
    let plan = Shop::new().plan();
    let mut all = enforced(&plan, Outcome::Failed { errno: 99 });
    let judged = judge(&plan, &all);
    assert_eq!(
        of(&plan, &judged, "job", "db").verdict,
        Verdict::NotTold(Untold::Failed)
    );
    all.changed = (0..plan.probes.len()).collect();
    let judged = judge(&plan, &all);
    assert!(
        judged
            .iter()
            .all(|one| one.verdict == Verdict::NotTold(Untold::Changed))
    );
    all.changed.clear();
    all.pods
        .insert(Shop::new().name("web"), Err(Fault::PodGone));
    let judged = judge(&plan, &all);
    let web = of(&plan, &judged, "web", "api");
    assert_eq!(web.verdict, Verdict::NotTold(Untold::NotTried));
    assert_eq!(web.fault, Some(Fault::PodGone));
}

#[test]
fn fewer_outcomes_than_tries_leave_the_rest_untold() {
    let plan = Shop::new().plan();
    let mut all = enforced(&plan, Outcome::Silent);
    all.pods.insert(Shop::new().name("job"), Ok(Vec::new()));
    let check = plan.checks(&BTreeSet::from([999]), &[]);
    assert_eq!(check, Vec::<Check>::new());
    let judged = judge(&plan, &all);
    assert_eq!(
        of(&plan, &judged, "job", "db").verdict,
        Verdict::NotTold(Untold::NotTried)
    );
}
