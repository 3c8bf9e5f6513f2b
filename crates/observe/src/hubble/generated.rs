//! Made from proto/hubble; one module per package, named after it.

pub mod flow;
pub mod observer;
pub mod relay;
