use crate::{Expected, Fault, MessageError, Outcome, Task, Told, Way, message, parse_message};

#[test]
fn a_task_is_read_as_it_is_written() {
    for expected in [Expected::Allowed, Expected::Denied, Expected::Open] {
        for way in [Way::Tcp, Way::Sctp, Way::Datagram, Way::DnsQuery] {
            for to in ["10.0.0.1:80", "[fd00::1]:53"] {
                let task = Task {
                    expected,
                    way,
                    to: to.parse().unwrap(),
                };
                assert_eq!(task.to_string().parse(), Ok(task));
            }
        }
    }
    for wrong in [
        "",
        "allowed",
        "allowed/tcp",
        "allowed/tcp/10.0.0.1",
        "allowed/tcp/10.0.0.1:0",
        "allowed/tcp/10.0.0.1:65536",
        "allowed/icmp/10.0.0.1:80",
        "maybe/tcp/10.0.0.1:80",
        "allowed/tcp/host:80",
        "allowed/tcp/10.0.0.1:80/x",
    ] {
        assert!(wrong.parse::<Task>().is_err(), "{wrong}");
    }
}

fn told(first: &str, second: &str) -> Told {
    Told {
        first: first.parse().unwrap(),
        second: (!second.is_empty()).then(|| second.parse().unwrap()),
    }
}

#[test]
fn a_message_is_read_as_it_is_written_and_fits_into_a_termination_message() {
    let all = vec![
        told("connected", ""),
        told("silent", "refused"),
        told(
            "rejected-by=fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "answered",
        ),
        told("failed=99", "unreachable"),
        told("rejected", ""),
    ];
    assert_eq!(parse_message(&message(&all), all.len()), Ok(all));
    let longest = "rejected-by=fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let many = vec![told(longest, longest); crate::Limits::default().per_pod];
    assert!(message(&many).len() <= 4096, "the kubelet would cut it");
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let good = message(&[told("connected", ""), told("silent", "")]);
    assert_eq!(parse_message("", 2), Err(MessageError::Empty));
    assert_eq!(
        parse_message(good.trim_end_matches("end\n"), 2),
        Err(MessageError::Cut(2))
    );
    assert!(matches!(
        parse_message(&good, 1),
        Err(MessageError::Count { .. })
    ));
    assert!(matches!(
        parse_message(&good, 3),
        Err(MessageError::Count { found: 2, asked: 3 })
    ));
    for wrong in [
        "error: unrecognized subcommand",
        "nanoseg-probe/2\nend\n",
        "nanoseg-probe/1\nconnected connected connected\nend\n",
        "nanoseg-probe/1\nconnected \nend\n",
        "nanoseg-probe/1\nfailed=\nend\n",
        "nanoseg-probe/1\nrejected-by=x\nend\n",
    ] {
        assert!(
            matches!(parse_message(wrong, 1), Err(MessageError::Other(_))),
            "{wrong}"
        );
    }
    let long = "x".repeat(100_000);
    let Err(MessageError::Other(kept)) = parse_message(&long, 1) else {
        panic!("it is something else");
    };
    assert_eq!(kept.len(), 80);
}

#[test]
fn an_outcome_is_the_same_in_json() {
    let outcome = Outcome::Rejected {
        by: "10.0.0.1".parse().ok(),
    };
    let json = serde_json::to_string(&outcome).unwrap();
    assert_eq!(json, "\"rejected-by=10.0.0.1\"");
    assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
}

#[test]
fn a_refusal_is_told_apart_by_who_refused() {
    let security = "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
    let rights = "pods \"web\" is forbidden: User \"olga\" cannot patch resource \"pods/ephemeralcontainers\" in API group \"\" in the namespace \"shop\"";
    let webhook = "admission webhook \"validate.kyverno.svc\" denied the request: images";
    assert!(matches!(
        Fault::of_refusal(403, security),
        Fault::PodSecurity { .. }
    ));
    assert!(matches!(
        Fault::of_refusal(403, rights),
        Fault::NotPermitted { .. }
    ));
    assert!(matches!(
        Fault::of_refusal(403, webhook),
        Fault::Refused { .. }
    ));
    assert!(matches!(
        Fault::of_refusal(400, webhook),
        Fault::Refused { .. }
    ));
    assert_eq!(Fault::of_refusal(404, "not found"), Fault::PodGone);
    assert!(
        Fault::of_refusal(403, security)
            .remedy()
            .contains("securityContext")
    );
    let long = Fault::of_refusal(500, &"ü".repeat(10_000)).to_string();
    assert!(long.chars().count() < 700);
}
