//! All integration tests in one binary: linking is most of what they cost.

mod captures;
mod places;
