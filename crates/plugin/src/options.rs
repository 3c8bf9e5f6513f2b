//! Options of network plugins that change what they do: those of the plugin's own configuration, by its own names.

use super::behaviour::EnforcedPorts;
use std::fmt;

/// An option, as `--network-plugin NAME,option=value` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginOption {
    /// Cilium's `policy-cidr-match-mode`: which addresses of the cluster an ipBlock matches.
    PolicyCidrMatchMode,
    /// Cilium's `kube-proxy-replacement`.
    KubeProxyReplacement,
    /// Cilium's `enable-sctp`.
    EnableSctp,
    /// Cilium's `enable-policy`: with `never` no policy is enforced.
    EnablePolicy,
    /// Whether ranges of ports (`endPort`) are enforced: in Cilium since 1.16.
    EndPort,
    /// The Amazon VPC CNI's `enable-network-policy`: without it no policy is enforced.
    EnableNetworkPolicy,
    /// kube-router's `run-firewall`: without it no policy is enforced.
    RunFirewall,
    /// On which ports connections through a Service are checked: `pod` or `either`.
    ServicePorts,
}

impl PluginOption {
    /// Every option.
    pub const ALL: &'static [PluginOption] = &[
        PluginOption::PolicyCidrMatchMode,
        PluginOption::KubeProxyReplacement,
        PluginOption::EnableSctp,
        PluginOption::EnablePolicy,
        PluginOption::EndPort,
        PluginOption::EnableNetworkPolicy,
        PluginOption::RunFirewall,
        PluginOption::ServicePorts,
    ];

    /// The name, which is the plugin's own where it is the plugin's option.
    pub const fn name(self) -> &'static str {
        match self {
            PluginOption::PolicyCidrMatchMode => "policy-cidr-match-mode",
            PluginOption::KubeProxyReplacement => "kube-proxy-replacement",
            PluginOption::EnableSctp => "enable-sctp",
            PluginOption::EnablePolicy => "enable-policy",
            PluginOption::EndPort => "end-port",
            PluginOption::EnableNetworkPolicy => "enable-network-policy",
            PluginOption::RunFirewall => "run-firewall",
            PluginOption::ServicePorts => "service-ports",
        }
    }

    /// The values that it takes.
    pub const fn values(self) -> &'static [&'static str] {
        match self {
            PluginOption::PolicyCidrMatchMode => &["none", "nodes", "pods", "nodes+pods"],
            PluginOption::KubeProxyReplacement
            | PluginOption::EnableSctp
            | PluginOption::EndPort
            | PluginOption::EnableNetworkPolicy
            | PluginOption::RunFirewall => &["true", "false"],
            PluginOption::EnablePolicy => &["default", "always", "never"],
            PluginOption::ServicePorts => &["pod", "either"],
        }
    }
}

/// Cilium's `enable-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyMode {
    /// A pod is isolated where a policy selects it.
    #[default]
    Default,
    /// Every pod is isolated.
    Always,
    /// No pod is isolated.
    Never,
}

impl PolicyMode {
    fn parse(text: &str) -> Option<PolicyMode> {
        match text.trim() {
            "default" => Some(PolicyMode::Default),
            "always" => Some(PolicyMode::Always),
            "never" => Some(PolicyMode::Never),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            PolicyMode::Default => "default",
            PolicyMode::Always => "always",
            PolicyMode::Never => "never",
        }
    }
}

/// Which addresses of the cluster Cilium's CIDR rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CidrMatchMode {
    pub nodes: bool,
    pub pods: bool,
}

impl CidrMatchMode {
    /// Reads the value of Cilium's option: a list with commas, spaces or `+` between its words.
    pub fn parse(text: &str) -> Option<CidrMatchMode> {
        let mut mode = CidrMatchMode::default();
        let words = text.split([',', ' ', '+']).filter(|word| !word.is_empty());
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "nodes" => mode.nodes = true,
                "pods" => mode.pods = true,
                "none" => {}
                _ => return None,
            }
        }
        Some(mode)
    }
}

/// The options of a profile; `None` where nothing says the value and the plugin's default counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginOptions {
    pub policy_cidr_match_mode: Option<CidrMatchMode>,
    pub kube_proxy_replacement: Option<bool>,
    pub enable_sctp: Option<bool>,
    pub enable_policy: Option<PolicyMode>,
    pub end_port: Option<bool>,
    pub enable_network_policy: Option<bool>,
    pub run_firewall: Option<bool>,
    pub service_ports: Option<EnforcedPorts>,
}

impl PluginOptions {
    /// Sets an option from its text. Returns false if the text is none of the option's values.
    #[must_use]
    pub fn set(&mut self, option: PluginOption, text: &str) -> bool {
        match option {
            PluginOption::PolicyCidrMatchMode => {
                put(&mut self.policy_cidr_match_mode, CidrMatchMode::parse(text))
            }
            PluginOption::KubeProxyReplacement => {
                put(&mut self.kube_proxy_replacement, parse_switch(text))
            }
            PluginOption::EnableSctp => put(&mut self.enable_sctp, parse_switch(text)),
            PluginOption::EnablePolicy => put(&mut self.enable_policy, PolicyMode::parse(text)),
            PluginOption::EndPort => put(&mut self.end_port, parse_switch(text)),
            PluginOption::EnableNetworkPolicy => {
                put(&mut self.enable_network_policy, parse_switch(text))
            }
            PluginOption::RunFirewall => put(&mut self.run_firewall, parse_switch(text)),
            PluginOption::ServicePorts => put(&mut self.service_ports, parse_ports(text)),
        }
    }
}

fn put<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let known = value.is_some();
    *slot = value.or(slot.take());
    known
}

/// `true`, `false`, and what Cilium wrote before 1.14: `strict`, `partial`, `probe`, `disabled`.
fn parse_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "strict" | "yes" => Some(true),
        "false" | "disabled" | "partial" | "probe" | "no" => Some(false),
        _ => None,
    }
}

fn parse_ports(text: &str) -> Option<EnforcedPorts> {
    match text.trim() {
        "pod" => Some(EnforcedPorts::Pod),
        "either" => Some(EnforcedPorts::Either),
        _ => None,
    }
}

impl fmt::Display for CidrMatchMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.nodes, self.pods) {
            (false, false) => "none",
            (true, false) => "nodes",
            (false, true) => "pods",
            (true, true) => "nodes+pods",
        })
    }
}

impl fmt::Display for PluginOptions {
    /// `,policy-cidr-match-mode=nodes`: what stands behind the plugin's name; empty without options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PluginOptions {
            policy_cidr_match_mode,
            kube_proxy_replacement,
            enable_sctp,
            enable_policy,
            end_port,
            enable_network_policy,
            run_firewall,
            service_ports,
        } = self;
        if let Some(mode) = policy_cidr_match_mode {
            write!(f, ",{}={mode}", PluginOption::PolicyCidrMatchMode.name())?;
        }
        let switches = [
            (PluginOption::KubeProxyReplacement, kube_proxy_replacement),
            (PluginOption::EnableSctp, enable_sctp),
            (PluginOption::EndPort, end_port),
            (PluginOption::EnableNetworkPolicy, enable_network_policy),
            (PluginOption::RunFirewall, run_firewall),
        ];
        for (option, value) in switches {
            if let Some(value) = value {
                write!(f, ",{}={value}", option.name())?;
            }
        }
        if let Some(mode) = enable_policy {
            write!(f, ",{}={}", PluginOption::EnablePolicy.name(), mode.name())?;
        }
        match service_ports {
            None => Ok(()),
            Some(EnforcedPorts::Pod) => f.write_str(",service-ports=pod"),
            Some(EnforcedPorts::Either) => f.write_str(",service-ports=either"),
        }
    }
}
