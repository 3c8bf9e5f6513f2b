//! stub
use super::Options;
use crate::graph::Graph;
pub fn svg(_graph: &Graph, _options: Options) -> String {
    "<svg/>".into()
}
