//! What the formats of the graph have in common to choose from.

/// Which edges a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Leave out edges that were seen but not learned (review and ignored), and peers that then
    /// have no edge. JSON, CSV and the table show everything either way.
    pub only_learned: bool,
}
