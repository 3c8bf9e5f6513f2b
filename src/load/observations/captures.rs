//! Captures, up to flow records.

use super::TrafficSource;
use super::vantage::UnnamedSource;
use crate::flow::{
    FlowConfig, FlowResult, FlowTable, LinkSeen, LinkSigns, LinkWatch, SkipCounters,
};
use crate::graph::InventoryListeners;
use crate::inventory::{Inventory, LinkSpan};
use crate::load::error::LoadError;
use crate::load::notice::NoticeSink;
use crate::load::source_path::paths;
use crate::observe::{
    AddressPair, AddressPairs, CaptureNotes, CaptureRead, CaptureSet, CaptureSummary,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What was read from captures: the last is the name of each with the pairs of addresses in it.
pub(super) type CapturesRead = (
    FlowResult,
    SkipCounters,
    CaptureSummary,
    BTreeMap<String, Vec<AddressPair>>,
);

/// Reads the captures; what they show of links goes to the inventory.
pub(super) fn read_captures(
    source: &TrafficSource,
    inventory: &mut Inventory,
    notices: &dyn NoticeSink,
) -> Result<CapturesRead, LoadError> {
    let mut captures = CaptureSet::open(&paths(&source.captures))?;
    captures.align_clocks();
    let names = captures.names();
    // Where there is one node, nothing has to be found out.
    let asked = inventory.node_names().len() > 1;
    let config = FlowConfig {
        max_connections: source.max_connections,
        ..FlowConfig::default()
    };
    let listeners = InventoryListeners(inventory);
    let open: Vec<IpAddr> = inventory.addresses.open().collect();
    let epochs = source.epochs(inventory).with_open(open.iter().copied());
    let mut table = FlowTable::new(listeners, epochs, config);
    let services = inventory.services.iter();
    let virtual_addresses = services.flat_map(|s| s.cluster_ips.iter().chain(&s.external_ips));
    let mut notes = CaptureNotes {
        pairs: AddressPairs::new(if asked { names.len() } else { 0 }),
        links: LinkWatch::new(open).without(virtual_addresses.copied()),
    };
    let (summary, frames) = captures
        .feed_and_note(&mut table, &mut notes, |progress| {
            notices.progress(progress)
        })
        .map_err(LoadError::ReadCaptures)?;
    notices.progress_done();
    let pairs = names.into_iter().zip(notes.pairs.finish()).collect();
    let flows = table.finish();
    confirm(inventory, &notes.links.finish());
    Ok((flows, frames, summary, pairs))
}

/// Tells the inventory which links the packets of addresses came from whose owner is gone.
fn confirm(inventory: &mut Inventory, signs: &LinkSigns) {
    let span = |link: &LinkSeen| LinkSpan {
        first: link.first,
        last: link.last,
        interface: link.interface,
    };
    let links = signs
        .links
        .iter()
        .map(|(address, links)| (*address, links.iter().map(span).collect()))
        .collect();
    inventory.addresses.confirm(&links, &signs.interfaces);
}

/// What each capture saw, for finding out its node.
pub(super) fn observed(
    summary: &CaptureSummary,
    mut pairs: BTreeMap<String, Vec<AddressPair>>,
) -> Vec<UnnamedSource> {
    let observed = |read: &CaptureRead| UnnamedSource {
        name: read.name.clone(),
        span: read.span,
        pairs: pairs.remove(&read.name).unwrap_or_default(),
        may_be_of_several: false,
    };
    // What nobody could decode had nothing in view (rule: undecodable-capture).
    let read = summary.read.iter().filter(|read| !read.is_undecodable());
    read.map(observed).collect()
}
