//! The graph in columns: nodes and bends as items, and between items of neighbouring columns the
//! segments of lines. Lines to the same pin share their bends.

use super::rows::{Rows, lane};
use super::{Link, Node, gap};
use std::collections::BTreeMap;

/// Something that needs height in a column.
#[derive(Debug, Clone)]
pub struct Item {
    pub column: usize,
    pub lane: usize,
    /// The node, or `None` for a bend: a place where a line passes a column.
    pub node: Option<usize>,
    pub height: f64,
    /// The y of its middle.
    pub y: f64,
    /// Its segments to the column at the left and at the right.
    pub left: Vec<usize>,
    pub right: Vec<usize>,
}

/// A piece of a line between two neighbouring columns.
#[derive(Debug, Clone)]
pub struct Segment {
    pub left: usize,
    pub right: usize,
    /// Where it ends on a node's side; `None` at a bend.
    pub left_slot: Option<usize>,
    pub right_slot: Option<usize>,
    pub weight: f64,
}

/// A place on a node's side where lines begin or end.
#[derive(Debug, Clone)]
pub struct Slot {
    pub item: usize,
    /// On the node's right side.
    pub at_right: bool,
    /// The pin, if lines end here; `None` where one begins.
    pub pin: Option<usize>,
    /// The room for the label, 0 where a line begins.
    pub label: f64,
    /// Below the node's middle.
    pub offset: f64,
    pub segments: Vec<usize>,
}

/// Everything in columns.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// The first ones are the nodes, in order.
    pub items: Vec<Item>,
    pub segments: Vec<Segment>,
    pub slots: Vec<Slot>,
    /// The items of each column from top to bottom; lanes are contiguous.
    pub columns: Vec<Vec<usize>>,
    /// For each link: its index in the input, and its segments from client to server.
    pub paths: Vec<(usize, Vec<usize>)>,
}

/// Identifies a trunk: node, pin, whether it comes from the right, lane.
type Trunk = (usize, usize, bool, usize);

struct Builder {
    mesh: Mesh,
    bends: BTreeMap<(Trunk, usize), usize>,
    pins: BTreeMap<(usize, usize, bool), usize>,
    trunk_segments: BTreeMap<(usize, usize), usize>,
}

impl Mesh {
    pub fn build(nodes: &[Node], links: &[(usize, Link)], columns: &[usize], rows: &Rows) -> Mesh {
        let items = nodes
            .iter()
            .zip(columns)
            .enumerate()
            .map(|(index, (node, column))| Item {
                column: *column,
                lane: 2 * rows.of_node[index] + 1,
                node: Some(index),
                height: node.height,
                y: 0.0,
                left: Vec::new(),
                right: Vec::new(),
            });
        let mut builder = Builder {
            mesh: Mesh {
                items: items.collect(),
                ..Mesh::default()
            },
            bends: BTreeMap::new(),
            pins: BTreeMap::new(),
            trunk_segments: BTreeMap::new(),
        };
        for (index, link) in links {
            let path = builder.path(link, columns, lane(nodes, columns, rows, link));
            builder.mesh.paths.push((*index, path));
        }
        let mut mesh = builder.mesh;
        mesh.fill_columns();
        mesh.grow_nodes();
        mesh
    }

    fn fill_columns(&mut self) {
        let count = self
            .items
            .iter()
            .map(|item| item.column + 1)
            .max()
            .unwrap_or(0);
        self.columns = vec![Vec::new(); count];
        for (index, item) in self.items.iter().enumerate() {
            self.columns[item.column].push(index);
        }
        for column in &mut self.columns {
            column.sort_by_key(|item| (self.items[*item].lane, *item));
        }
        for (index, segment) in self.segments.iter().enumerate() {
            self.items[segment.left].right.push(index);
            self.items[segment.right].left.push(index);
        }
    }

    /// Gives nodes with many pins the height for their labels.
    fn grow_nodes(&mut self) {
        let mut pins = BTreeMap::new();
        for slot in self.slots.iter().filter(|slot| slot.pin.is_some()) {
            *pins.entry((slot.item, slot.at_right)).or_insert(0_usize) += 1;
        }
        for ((item, _), count) in pins {
            let needed = (count - 1) as f64 * gap::PINS + 2.0 * gap::PINS;
            self.items[item].height = self.items[item].height.max(needed);
        }
    }

    /// For each item its place in its column.
    pub fn places(&self) -> Vec<usize> {
        let mut places = vec![0; self.items.len()];
        for column in &self.columns {
            for (place, item) in column.iter().enumerate() {
                places[*item] = place;
            }
        }
        places
    }

    /// Orders the slots of each node's side by where their lines lead, so that they do not cross.
    pub fn sort_slots(&mut self) {
        let places = self.places();
        let mut sides: BTreeMap<(usize, bool), Vec<(f64, usize)>> = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let far = |segment: &usize| {
                let segment = &self.segments[*segment];
                places[if slot.at_right {
                    segment.right
                } else {
                    segment.left
                }] as f64
            };
            let mean =
                slot.segments.iter().map(far).sum::<f64>() / slot.segments.len().max(1) as f64;
            sides
                .entry((slot.item, slot.at_right))
                .or_default()
                .push((mean, index));
        }
        for ((item, _), mut slots) in sides {
            slots.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            self.spread(
                item,
                &slots.iter().map(|(_, slot)| *slot).collect::<Vec<_>>(),
            );
        }
    }

    /// Sets the offsets of one side's slots, from top to bottom, around the node's middle.
    fn spread(&mut self, item: usize, slots: &[usize]) {
        let plain = slots
            .iter()
            .filter(|slot| self.slots[**slot].pin.is_none())
            .count();
        let labelled = slots.len() - plain;
        let room = self.items[item].height - 2.0 * gap::CORNER - labelled as f64 * gap::PINS;
        let exit = (room.max(0.0) / plain.max(1) as f64).min(gap::EXITS);
        let mut at = 0.0;
        let mut offsets = Vec::with_capacity(slots.len());
        for (index, slot) in slots.iter().enumerate() {
            if index > 0 {
                at += if self.slots[*slot].pin.is_some() {
                    gap::PINS
                } else {
                    exit
                };
            }
            offsets.push(at);
        }
        for (slot, offset) in slots.iter().zip(offsets) {
            self.slots[*slot].offset = (offset - at / 2.0).round();
        }
    }

    /// The y at which a segment ends at its left (or right) item.
    pub fn end_offset(&self, segment: &Segment, left: bool) -> f64 {
        let slot = if left {
            segment.left_slot
        } else {
            segment.right_slot
        };
        slot.map_or(0.0, |slot| self.slots[slot].offset)
    }
}

impl Builder {
    /// The segments of one link from client to server, bends and trunk shared where possible.
    fn path(&mut self, link: &Link, columns: &[usize], lane: usize) -> Vec<usize> {
        let (start, end) = (columns[link.from], columns[link.to]);
        let from_right = start > end;
        let trunk = (link.to, link.pin, from_right, lane);
        let between: Vec<usize> = if from_right {
            (end + 1..start).rev().collect()
        } else {
            (start + 1..end).collect()
        };
        let mut at = link.from;
        let mut exit = Some(self.exit(link.from, from_right));
        let mut path = Vec::new();
        for column in between {
            let bend = self.bend(trunk, column);
            path.push(self.segment(at, bend, exit, None, from_right));
            (at, exit) = (bend, None);
        }
        let pin = self.pin(link, from_right);
        path.push(self.segment(at, link.to, exit, Some(pin), from_right));
        path
    }

    fn exit(&mut self, item: usize, from_right: bool) -> usize {
        let slot = Slot {
            item,
            at_right: !from_right,
            pin: None,
            label: 0.0,
            offset: 0.0,
            segments: Vec::new(),
        };
        self.mesh.slots.push(slot);
        self.mesh.slots.len() - 1
    }

    fn pin(&mut self, link: &Link, from_right: bool) -> usize {
        let label = if link.label.is_finite() {
            link.label.clamp(0.0, 600.0)
        } else {
            0.0
        };
        let slots = &mut self.mesh.slots;
        let slot = *self
            .pins
            .entry((link.to, link.pin, from_right))
            .or_insert_with(|| {
                slots.push(Slot {
                    item: link.to,
                    at_right: from_right,
                    pin: Some(link.pin),
                    label: 0.0,
                    offset: 0.0,
                    segments: Vec::new(),
                });
                slots.len() - 1
            });
        self.mesh.slots[slot].label = self.mesh.slots[slot].label.max(label);
        slot
    }

    fn bend(&mut self, trunk: Trunk, column: usize) -> usize {
        let items = &mut self.mesh.items;
        *self.bends.entry((trunk, column)).or_insert_with(|| {
            items.push(Item {
                column,
                lane: trunk.3,
                node: None,
                height: 0.0,
                y: 0.0,
                left: Vec::new(),
                right: Vec::new(),
            });
            items.len() - 1
        })
    }

    /// The segment from `near` to `far`, in the link's direction. Only those that leave a bend
    /// are shared.
    fn segment(
        &mut self,
        near: usize,
        far: usize,
        near_slot: Option<usize>,
        far_slot: Option<usize>,
        from_right: bool,
    ) -> usize {
        let shared = near_slot.is_none();
        if let Some(index) = self.trunk_segments.get(&(near, far)).filter(|_| shared) {
            self.mesh.segments[*index].weight += 0.5;
            return *index;
        }
        let index = self.mesh.segments.len();
        let weight = match (near_slot, far_slot) {
            (None, None) => 6.0,
            (Some(_), Some(_)) => 1.0,
            _ => 2.0,
        };
        self.mesh.segments.push(if from_right {
            Segment {
                left: far,
                right: near,
                left_slot: far_slot,
                right_slot: near_slot,
                weight,
            }
        } else {
            Segment {
                left: near,
                right: far,
                left_slot: near_slot,
                right_slot: far_slot,
                weight,
            }
        });
        for slot in [near_slot, far_slot].into_iter().flatten() {
            self.mesh.slots[slot].segments.push(index);
        }
        if shared {
            self.trunk_segments.insert((near, far), index);
        }
        index
    }
}
