//! The requirements that controls of known frameworks have for segmentation, in our own short words, and the
//! assessment of the evidence for each. The numbers are those of the framework's edition; the wording of a
//! framework belongs to its owner.

mod of_policies;
mod of_record;
mod of_tests;
mod of_traffic;

use super::{ControlLine, Evidence, FrameworkReport, Standing};

/// A framework with controls for which segmentation is evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    PciDss,
    Nist80053,
    CisK8s,
    Soc2,
}

/// The question of a control, as far as it can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Is everything denied that is not allowed, for every workload?
    DenyByDefault,
    /// Is inbound traffic denied by default, and only observed traffic allowed?
    Inbound,
    /// The same for outbound traffic.
    Outbound,
    /// Does every namespace have policies that isolate its workloads?
    Namespaces,
    /// Does the network plugin enforce the policies?
    Enforced,
    /// Are the policies in force the approved ones?
    Kept,
    /// Was a decision made about each violation?
    Answered,
    /// Is the record protected?
    Protected,
    /// Is only what is needed allowed?
    LeastPrivilege,
    /// Is every allowed service, protocol and port known and approved?
    Approved,
    /// Is there a diagram of the flows?
    Diagram,
    /// Is there a diagram of the flows of account data?
    AccountData,
    /// Is every flow documented, and approved by a person?
    Authorised,
    /// Is every change recorded with person, time and reason?
    Changes,
    /// Are the actions of administrators logged?
    Logged,
    /// Are deviations found and answered?
    Monitoring,
    /// Was it tested that segmentation works?
    Tested,
}

/// One control.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    number: &'static str,
    asks: &'static str,
    question: Question,
}

const fn control(number: &'static str, asks: &'static str, question: Question) -> Control {
    Control {
        number,
        asks,
        question,
    }
}

/// PCI DSS v4.0.1.
const PCI_DSS: &[Control] = &[
    control(
        "1.2.3",
        "A current diagram of the network's connections.",
        Question::Diagram,
    ),
    control(
        "1.2.4",
        "A current diagram of the flows of account data.",
        Question::AccountData,
    ),
    control(
        "1.2.5",
        "Allowed services, protocols and ports are known, approved and needed.",
        Question::Approved,
    ),
    control(
        "1.2.1",
        "Configuration standards for network rules are defined and kept.",
        Question::Kept,
    ),
    control(
        "1.2.2",
        "Changes of network rules are approved and managed.",
        Question::Changes,
    ),
    control(
        "1.2.8",
        "Network rules are kept from unauthorised change, and in force as approved.",
        Question::Kept,
    ),
    control(
        "1.3.1",
        "Inbound traffic is limited to what is needed; all else is denied.",
        Question::Inbound,
    ),
    control(
        "1.3.2",
        "Outbound traffic is limited to what is needed; all else is denied.",
        Question::Outbound,
    ),
    control(
        "10.2.1.2",
        "Actions of administrators are logged.",
        Question::Logged,
    ),
    control(
        "10.3.2",
        "The log is protected from being changed by individuals.",
        Question::Protected,
    ),
    control(
        "10.3.4",
        "Changes of what was logged are found.",
        Question::Protected,
    ),
    control(
        "10.4.3",
        "Anomalies that are found are dealt with.",
        Question::Answered,
    ),
    control(
        "11.4.5",
        "Segmentation is tested to isolate what it should.",
        Question::Tested,
    ),
];

/// NIST SP 800-53 Rev. 5.
const NIST: &[Control] = &[
    control(
        "AC-4",
        "Flows of information are controlled by approved rules.",
        Question::Approved,
    ),
    control("AC-6", "Least privilege.", Question::LeastPrivilege),
    control(
        "SC-7",
        "Communication at boundaries is monitored and controlled.",
        Question::Monitoring,
    ),
    control(
        "SC-7(5)",
        "Deny by default, allow by exception.",
        Question::DenyByDefault,
    ),
    control(
        "SC-7(21)",
        "Components are isolated from each other.",
        Question::DenyByDefault,
    ),
    control(
        "CM-3",
        "Changes are reviewed, approved and recorded.",
        Question::Changes,
    ),
    control(
        "CM-7",
        "Only needed ports, protocols and services.",
        Question::LeastPrivilege,
    ),
    control(
        "CM-6",
        "Settings are as approved, and deviations are found.",
        Question::Kept,
    ),
    control(
        "AU-3",
        "The log shows what was done, when and by whom.",
        Question::Changes,
    ),
    control(
        "AU-9",
        "The log is protected from change.",
        Question::Protected,
    ),
    control(
        "IR-5",
        "Incidents are tracked and documented.",
        Question::Answered,
    ),
    control(
        "SI-4",
        "The system is watched for unwanted connections.",
        Question::Monitoring,
    ),
    control(
        "CA-9",
        "Internal connections are authorised and documented.",
        Question::Authorised,
    ),
];

/// CIS Kubernetes Benchmark v1.9.
const CIS: &[Control] = &[
    control(
        "5.3.1",
        "The network plugin enforces NetworkPolicies.",
        Question::Enforced,
    ),
    control(
        "5.3.2",
        "All namespaces have NetworkPolicies.",
        Question::Namespaces,
    ),
];

/// AICPA Trust Services Criteria 2017 (points of focus 2022).
const SOC2: &[Control] = &[
    control(
        "CC6.1",
        "Logical access is restricted, by segmentation too.",
        Question::DenyByDefault,
    ),
    control(
        "CC6.6",
        "Threats from outside the boundary are kept out.",
        Question::LeastPrivilege,
    ),
    control(
        "CC7.1",
        "Changes of configuration and new exposures are found.",
        Question::Monitoring,
    ),
    control(
        "CC7.2",
        "Anomalies are watched for and looked into.",
        Question::Monitoring,
    ),
    control(
        "CC7.3",
        "Security events are judged and acted upon.",
        Question::Answered,
    ),
    control(
        "CC8.1",
        "Changes are authorised, documented and approved.",
        Question::Changes,
    ),
];

/// Facts that no run of nanoseg proves.
const NOT_PROVEN: &[&str] = &[
    "That the observed traffic was legitimate: rules follow what was seen and approved.",
    "That everything was seen: the learning estimate shows how much may be missing, and losses are listed.",
    "What goes through a node's own network, through allowed connections (their contents), or over other protocols than TCP, UDP and SCTP.",
    "Which flows carry account data or other data of a certain kind: nanoseg sees connections, not what is in them.",
    "That the scope is right: workloads and namespaces outside of the report are not judged.",
    "That all lines of the record are there: keep its head elsewhere and compare.",
    "That the named approver is that person: the cluster's authentication identified the user.",
    "What was in force of policies that others wrote: only the policies of the end of the period were judged.",
];

/// The same about the network plugin, without a test and with one.
const NOT_TRIED: &str = "That the network plugin enforces NetworkPolicies as Kubernetes defines them: the figures show what the policies allow.";
const TRIED_IN_PART: &str = "That the network plugin enforces NetworkPolicies beyond the connections that were tried, and after they were.";

fn not_proven(evidence: &Evidence) -> Vec<&'static str> {
    let plugin = match evidence.last_test() {
        Some(test) if test.counts() => TRIED_IN_PART,
        _ => NOT_TRIED,
    };
    let all = std::iter::once(plugin);
    all.chain(NOT_PROVEN.iter().copied()).collect()
}

impl Framework {
    pub const ALL: [Framework; 4] = [
        Framework::PciDss,
        Framework::Nist80053,
        Framework::CisK8s,
        Framework::Soc2,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Framework::PciDss => "pci-dss",
            Framework::Nist80053 => "nist-800-53",
            Framework::CisK8s => "cis-k8s",
            Framework::Soc2 => "soc2",
        }
    }

    fn edition(self) -> &'static str {
        match self {
            Framework::PciDss => "PCI DSS v4.0.1",
            Framework::Nist80053 => "NIST SP 800-53 Rev. 5",
            Framework::CisK8s => "CIS Kubernetes Benchmark v1.9",
            Framework::Soc2 => "AICPA Trust Services Criteria 2017, revised points of focus 2022",
        }
    }

    fn controls(self) -> &'static [Control] {
        match self {
            Framework::PciDss => PCI_DSS,
            Framework::Nist80053 => NIST,
            Framework::CisK8s => CIS,
            Framework::Soc2 => SOC2,
        }
    }

    /// Returns each of its controls with the assessment of the evidence.
    pub fn judge(self, evidence: &Evidence) -> FrameworkReport {
        let line = |control: &Control| {
            let (standing, finding, files) = control.question.answer(evidence);
            ControlLine {
                number: control.number,
                asks: control.asks,
                standing,
                finding,
                files: files
                    .iter()
                    .copied()
                    .filter(|file| *file != "record.jsonl" || !evidence.record.is_empty())
                    .collect(),
            }
        };
        FrameworkReport {
            framework: self.name(),
            edition: self.edition(),
            controls: self.controls().iter().map(line).collect(),
            not_proven: not_proven(evidence),
        }
    }
}

type Assessment = (Standing, String, &'static [&'static str]);

impl Question {
    fn answer(self, evidence: &Evidence) -> Assessment {
        match self {
            Question::DenyByDefault
            | Question::Inbound
            | Question::Outbound
            | Question::Namespaces
            | Question::LeastPrivilege => of_policies::answer(self, evidence),
            Question::Enforced | Question::Tested => of_tests::answer(self, evidence),
            Question::Diagram | Question::AccountData | Question::Authorised => {
                of_traffic::answer(self, evidence)
            }
            Question::Approved
            | Question::Changes
            | Question::Logged
            | Question::Monitoring
            | Question::Kept
            | Question::Answered
            | Question::Protected => of_record::answer(self, evidence),
        }
    }
}

fn share(part: usize, whole: usize) -> Standing {
    match part {
        _ if whole == 0 => Standing::NotTold,
        0 => Standing::Gap,
        part if part >= whole => Standing::Shown,
        _ => Standing::Partly,
    }
}
