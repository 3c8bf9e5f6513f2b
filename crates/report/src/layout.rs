//! A layered drawing of a directed graph with groups, after Sugiyama, Tagawa and Toda (1981): columns
//! by longest path, few crossings by median sweeps, straight lines by isotonic regression.
//!
//! Three things differ from the textbook, all for communication graphs:
//! - **Groups are rows.** A group is a rectangle without nodes of other groups. Rows are stacked, with
//!   channels between them for the lines that run past.
//! - **Lines to the same pin share a trunk.** A pin is a place on a node's side where one or more
//!   links end under one label (a server port). Trunks only join, never part, on the way to the pin,
//!   so a line can always be followed from its client.
//! - **Lines bend only between columns**, and beside a node they run level. With places kept free for
//!   labels before the pins, no line crosses a node and no label touches another.
//!
//! Pure geometry: no text, no colours, no graph types. Units are pixels. The same input gives the
//! same output; time grows about linearly in links times columns.

mod acyclic;
mod columns;
mod force;
mod layered;
mod mesh;
mod order;
mod place;
mod rank;
mod route;
mod rows;

pub use force::force;
pub use layered::layered;

/// What to draw.
#[derive(Debug, Clone, Default)]
pub struct Input {
    pub nodes: Vec<Node>,
    /// How many groups there are; nodes refer to them by index.
    pub groups: usize,
    pub links: Vec<Link>,
}

/// One node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// The least width; all nodes of a column get the widest's.
    pub width: f64,
    /// The least height; a node with many pins grows.
    pub height: f64,
    pub group: Option<usize>,
    pub side: Side,
}

/// Where a node may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where its links put it.
    Any,
    /// Left of all others. Only for nodes without a group.
    First,
    /// Right of all others. Only for nodes without a group.
    Last,
}

/// One link. Links from a node to itself and to nodes that do not exist get an empty route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    /// Links to the same node with the same pin end at the same point.
    pub pin: usize,
    /// How much room the pin's label needs beside the node.
    pub label: f64,
    /// It should not decide the positions of nodes.
    pub light: bool,
}

/// A rectangle by its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// Returns true if the two share more than an edge.
    pub fn overlaps(&self, other: &Rect) -> bool {
        self.x < other.right()
            && other.x < self.right()
            && self.y < other.bottom()
            && other.y < self.bottom()
    }
}

/// A point.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// One step of a route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    Line(Point),
    /// A cubic Bézier curve: two control points and the end.
    Curve(Point, Point, Point),
}

/// The route of a link, listed from its server's end to its client's: so the dashes of lines that share a
/// trunk fall together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    pub start: Point,
    pub steps: Vec<Step>,
}

/// Where links end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pin {
    pub node: usize,
    /// [`Link::pin`] of its links.
    pub pin: usize,
    /// The point on the node's side.
    pub at: Point,
    /// The links come from the right (a cycle's way back).
    pub from_right: bool,
}

/// The positions of everything. Nodes, groups and links are in the order of the input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    pub width: f64,
    pub height: f64,
    pub nodes: Vec<Rect>,
    /// Empty for a group without nodes.
    pub groups: Vec<Rect>,
    pub links: Vec<Route>,
    pub pins: Vec<Pin>,
}

/// The sizes of gaps, in pixels.
mod gap {
    /// Around the whole picture.
    pub const MARGIN: f64 = 20.0;
    /// Between nodes of a column.
    pub const NODES: f64 = 18.0;
    /// Between a node and a line that passes.
    pub const NODE_LINE: f64 = 16.0;
    /// Between lines that pass.
    pub const LINES: f64 = 11.0;
    /// Between a group's border and its nodes.
    pub const GROUP: f64 = 16.0;
    /// The same at its top, where its title stands.
    pub const TITLE: f64 = 36.0;
    /// Between rows of groups.
    pub const ROWS: f64 = 22.0;
    /// Between labelled pins of a node.
    pub const PINS: f64 = 19.0;
    /// Between lines that leave a node.
    pub const EXITS: f64 = 9.0;
    /// Between a node's corner and its first line.
    pub const CORNER: f64 = 10.0;
    /// Between a node and the beginning of a pin's label, the arrow.
    pub const ARROW: f64 = 12.0;
    /// How far a line runs level before it may bend, where no border is.
    pub const STUB: f64 = 6.0;
    /// The least and the greatest width of the zone between columns in which lines bend.
    pub const BEND: (f64, f64) = (30.0, 76.0);
}

/// A valid node: sizes are finite, the group exists, sides are for nodes
/// without a group. The others without a group form one of their own, without a border, behind the
/// last: so they keep out of the borders of others.
fn sane(node: &Node, groups: usize) -> Node {
    let size = |value: f64| {
        if value.is_finite() {
            value.clamp(1.0, 4_000.0)
        } else {
            1.0
        }
    };
    let group = node.group.filter(|group| *group < groups);
    let side = if group.is_some() {
        Side::Any
    } else {
        node.side
    };
    let group = if side == Side::Any {
        Some(group.unwrap_or(groups))
    } else {
        None
    };
    Node {
        width: size(node.width),
        height: size(node.height),
        group,
        side,
    }
}
