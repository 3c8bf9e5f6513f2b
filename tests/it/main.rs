//! All integration tests, in one binary so that linking is paid once.

mod architecture;
mod binary;
mod boutique;
mod capture;
mod captures;
mod cluster;
mod connectivity;
mod conntrack;
mod deploy;
mod docs;
mod durability;
mod flows;
mod hubble;
mod judge;
mod kube_api;
mod kubernetes;
mod live;
mod places;
mod policy;
mod properties;
mod protocol;
mod scenarios;
mod shop;
mod story;
mod support;
mod wire;
