//! All integration tests, in one binary so that linking is paid once.

mod architecture;
mod binary;
mod boutique;
mod captures;
mod connectivity;
mod docs;
mod flows;
mod places;
mod policy;
mod properties;
mod scenarios;
mod shop;
mod support;
