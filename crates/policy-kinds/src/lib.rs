//! Room 0: the kinds of policy beside NetworkPolicy, as data: Cilium's, Calico's and those of an administrator.
//!
//! It owns the fields of each kind and the list of those that nanoseg does not judge
//! (rule: other-kinds-are-judged). It refuses to say what a policy allows: that is `evaluate`'s. Every field that an
//! API server may fill is here, or is found by [`OtherKindPolicy::read`] and named as unknown: nothing is dropped in
//! silence.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

pub mod admin;
pub mod calico;
mod calico_limits;
pub mod calico_selector;
pub mod cilium;
mod cilium_limits;
mod limit;
mod policy;
mod unknown_fields;

#[cfg(test)]
mod tests;

pub use limit::{Limit, LimitKind};
pub use policy::{OtherKind, OtherKindPolicy, ReadOtherKind};
