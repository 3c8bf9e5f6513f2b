//! All integration tests, in one binary so that linking is paid once.

#![allow(
    unsafe_code,
    reason = "tests of namespaces and signals make system calls that have no safe wrapper"
)]
#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

mod admission;
mod architecture;
mod baseline;
mod binary;
mod boutique;
mod capture;
mod captures;
mod cluster;
mod connections;
mod connectivity;
mod conntrack;
mod controller;
mod deploy;
mod design;
mod dialects;
mod docs;
mod durability;
mod evidence;
mod flows;
mod folder;
mod gaps;
mod hubble;
mod install;
mod judge;
mod kube_api;
mod kubernetes;
mod links;
mod live;
mod logs;
mod metrics;
mod node;
mod node_addresses;
mod operator;
mod oracle;
mod page;
mod places;
mod plugins;
mod pod_commands;
mod policy;
mod probe;
mod properties;
mod protocol;
mod record;
mod risk;
mod scenarios;
mod shop;
mod snapshot;
mod story;
mod support;
mod wire;
