//! A profile: a network plugin with the options that change what it does.

use super::behaviour::{Behaviour, EnforcedPorts, PodMatch};
use super::deviation::Deviation;
use super::fact::Facts;
use super::network_plugin::NetworkPlugin;
use super::options::{PluginOption, PluginOptions, PolicyMode};
use super::profiles;
use std::fmt;
use std::str::FromStr;

/// A network plugin with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    pub plugin: NetworkPlugin,
    pub options: PluginOptions,
}

/// A text that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("no network plugin {0:?} is known; there are {names}", names = names())]
    Plugin(String),
    #[error("{plugin} has no option {option:?}; it has {known}", known = options_of(*.plugin))]
    Option {
        plugin: NetworkPlugin,
        option: String,
    },
    #[error("{option} of {plugin} cannot be {value:?}; it is one of {known}", known = .known.join(", "))]
    Value {
        plugin: NetworkPlugin,
        option: &'static str,
        value: String,
        known: &'static [&'static str],
    },
}

fn names() -> String {
    let names: Vec<&str> = NetworkPlugin::ALL.iter().map(|one| one.name()).collect();
    names.join(", ")
}

fn options_of(plugin: NetworkPlugin) -> String {
    let known: Vec<&str> = Profile::options_of(plugin)
        .iter()
        .map(|option| option.name())
        .collect();
    known.join(", ")
}

impl Profile {
    /// The plugin with its default options.
    pub const fn of(plugin: NetworkPlugin) -> Profile {
        Profile {
            plugin,
            options: PluginOptions {
                policy_cidr_match_mode: None,
                kube_proxy_replacement: None,
                enable_sctp: None,
                enable_policy: None,
                end_port: None,
                enable_network_policy: None,
                run_firewall: None,
                service_ports: None,
            },
        }
    }

    /// The options that the plugin has.
    pub const fn options_of(plugin: NetworkPlugin) -> &'static [PluginOption] {
        use PluginOption as O;
        match plugin {
            NetworkPlugin::Cilium => &[
                O::PolicyCidrMatchMode,
                O::KubeProxyReplacement,
                O::EnableSctp,
                O::EnablePolicy,
                O::EndPort,
                O::ServicePorts,
            ],
            NetworkPlugin::AzureCilium | NetworkPlugin::GkeDataplaneV2 => {
                &[O::PolicyCidrMatchMode, O::EndPort, O::ServicePorts]
            }
            NetworkPlugin::AwsVpcCni => &[O::EnableNetworkPolicy, O::ServicePorts],
            NetworkPlugin::KubeRouter => &[O::RunFirewall, O::ServicePorts],
            NetworkPlugin::Spec
            | NetworkPlugin::Calico
            | NetworkPlugin::AzureNpm
            | NetworkPlugin::Antrea
            | NetworkPlugin::OvnKubernetes
            | NetworkPlugin::KubeNetworkPolicies
            | NetworkPlugin::None => &[O::ServicePorts],
        }
    }

    /// What the plugin does with these options, each fact with its source.
    pub fn facts(&self) -> Facts {
        let mut facts = *profiles::facts_of(self.plugin);
        let options = &self.options;
        if let Some(mode) = options.policy_cidr_match_mode {
            let pods = if mode.pods {
                PodMatch::Always
            } else {
                PodMatch::Never
            };
            facts.nodes = facts.nodes.with(mode.nodes);
            facts.pods = facts.pods.with(pods);
        }
        if let Some(sctp) = options.enable_sctp {
            facts.sctp = facts.sctp.with(sctp);
        }
        if let Some(ranges) = options.end_port {
            facts.end_port = facts.end_port.with(ranges);
        }
        let off = options.enable_network_policy == Some(false)
            || options.run_firewall == Some(false)
            || options.enable_policy == Some(PolicyMode::Never);
        if off {
            facts.enforces = facts.enforces.with(false);
        }
        if let Some(ports) = options.service_ports {
            facts.ports = facts.ports.with(ports);
        }
        facts
    }

    /// The values alone.
    pub fn behaviour(&self) -> Behaviour {
        Behaviour {
            deviations: Deviation::of(self.plugin),
            ..self.facts().behaviour()
        }
    }

    /// The same profile with other ports behind Services.
    pub const fn with_service_ports(self, ports: EnforcedPorts) -> Profile {
        let options = PluginOptions {
            service_ports: Some(ports),
            ..self.options
        };
        Profile { options, ..self }
    }
}

impl Behaviour {
    /// The API's own documentation; where it leaves something open, what holds on every plugin that follows it.
    pub const fn spec() -> Behaviour {
        profiles::SPEC.behaviour()
    }
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour::spec()
    }
}

impl fmt::Display for Profile {
    /// `cilium,policy-cidr-match-mode=nodes`: as [`Profile::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.plugin, self.options)
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    /// Reads `NAME[,option=value…]`.
    fn from_str(text: &str) -> Result<Profile, ProfileError> {
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let plugin = NetworkPlugin::named(name).ok_or_else(|| ProfileError::Plugin(name.into()))?;
        let mut profile = Profile::of(plugin);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let known = Profile::options_of(plugin).iter().copied();
            let option = known
                .into_iter()
                .find(|option| option.name() == name.trim())
                .ok_or_else(|| ProfileError::Option {
                    plugin,
                    option: name.into(),
                })?;
            if !profile.options.set(option, value.trim()) {
                return Err(ProfileError::Value {
                    plugin,
                    option: option.name(),
                    value: value.into(),
                    known: option.values(),
                });
            }
        }
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_written_as_it_is_read() {
        for plugin in NetworkPlugin::ALL {
            let profile = Profile::of(*plugin);
            assert_eq!(plugin.name().parse(), Ok(profile));
            for option in Profile::options_of(*plugin) {
                for value in option.values() {
                    let text = format!("{plugin},{}={value}", option.name());
                    let profile: Profile = text.parse().unwrap();
                    assert_eq!(profile.to_string(), text);
                }
            }
        }
    }

    #[test]
    fn what_is_no_profile_is_refused_with_what_there_is() {
        let error = |text: &str| text.parse::<Profile>().unwrap_err().to_string();
        assert!(error("cillium").contains("there are spec, cilium, calico"));
        assert!(error("").contains("no network plugin \"\""));
        assert!(error("calico,policy-cidr-match-mode=nodes").contains("it has service-ports"));
        assert!(error("cilium,enable-sctp=maybe").contains("one of true, false"));
        assert!(error("cilium,policy-cidr-match-mode=services").contains("nodes+pods"));
        assert!(error("cilium,").contains("has no option \"\""));
    }

    #[test]
    fn an_option_changes_the_fact_that_it_sets_and_no_other() {
        let plain: Profile = "cilium".parse().unwrap();
        let nodes: Profile = "cilium,policy-cidr-match-mode=nodes".parse().unwrap();
        let (plain, mut nodes) = (plain.behaviour(), nodes.behaviour());
        assert!(!plain.ip_block.nodes && nodes.ip_block.nodes);
        nodes.ip_block.nodes = false;
        assert_eq!(plain, nodes);
    }

    #[test]
    fn plugins_whose_enforcement_is_switched_off_enforce_nothing() {
        for (on, off) in [
            ("aws-vpc-cni", "aws-vpc-cni,enable-network-policy=false"),
            ("kube-router", "kube-router,run-firewall=false"),
            ("cilium", "cilium,enable-policy=never"),
        ] {
            let enforces = |text: &str| text.parse::<Profile>().unwrap().behaviour().enforces;
            assert!(enforces(on) && !enforces(off));
        }
    }
}
