//! The elements of the picture, from back to front: namespaces, lines, pins, nodes, legend.

use super::scene::{Badge, NodeShape, Scene, SceneLink, SceneNode, Style, Tone};
use super::style::{HUES, style};
use super::{icons, legend, text};
use crate::escape;
use crate::layout::{Layout, Pin, Point, Rect, Route, Step};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const NAME_FONT: f64 = 14.0;
const SUB_FONT: f64 = 11.0;
pub const PORT_FONT: f64 = 12.0;
const PILL_FONT: f64 = 10.0;
/// Bold text is wider.
const BOLD: f64 = 1.08;
/// The widest that a name may be.
const MOST_TEXT: f64 = 180.0;
/// Where text begins in a node: after the icon.
const TEXT_X: f64 = 36.0;
const PADDING: f64 = 12.0;
const PILL_HEIGHT: f64 = 16.0;
const LINE: f64 = 16.0;

/// The width and height that a node needs.
pub fn node_size(node: &SceneNode) -> (f64, f64) {
    let name = text::width(&name(node), NAME_FONT * BOLD);
    let sub = text::width(&sub(node), SUB_FONT);
    let second = if node.badges.is_empty() {
        sub
    } else {
        sub + 8.0 + pills_width(&node.badges)
    };
    let notes = node
        .notes
        .iter()
        .map(|note| text::width(note, SUB_FONT))
        .fold(0.0, f64::max);
    let width = TEXT_X + name.max(second).max(notes) + PADDING;
    (
        width.max(104.0).ceil(),
        48.0 + LINE * node.notes.len() as f64,
    )
}

fn name(node: &SceneNode) -> String {
    text::fit(&node.label, NAME_FONT * BOLD, MOST_TEXT)
}

fn sub(node: &SceneNode) -> String {
    text::fit(&node.sublabel, SUB_FONT, MOST_TEXT)
}

fn pill_text(badge: &Badge) -> String {
    text::fit(&badge.text, PILL_FONT * BOLD, 110.0)
}

pub fn pill_width(badge: &Badge) -> f64 {
    text::width(&pill_text(badge), PILL_FONT * BOLD) + 12.0
}

fn pills_width(badges: &[Badge]) -> f64 {
    badges
        .iter()
        .map(|badge| pill_width(badge) + 4.0)
        .sum::<f64>()
        - 4.0
}

/// The document.
pub fn draw(scene: &Scene, layout: &Layout) -> String {
    let legend = legend::build(scene, layout.width.max(360.0) - 40.0);
    let width = layout.width.max(legend.width + 40.0).ceil();
    let height = (layout.height + legend.height).ceil();
    let label = escape::xml(&format!("Communication graph: {}", scene.summary));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"nanoseg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n<title>{label}</title>\n"
    );
    out.push_str(&style());
    let _ = writeln!(
        out,
        "<rect class=\"bg\" width=\"{width}\" height=\"{height}\" rx=\"12\"/>"
    );
    for (index, (name, rect)) in scene.groups.iter().zip(&layout.groups).enumerate() {
        group(&mut out, name, rect, index);
    }
    for style in [
        Style::Ignored,
        Style::Review,
        Style::Implied,
        Style::Learned,
    ] {
        for (link, route) in scene.links.iter().zip(&layout.links) {
            if link.style == style {
                line(&mut out, link, route);
            }
        }
    }
    pins(&mut out, scene, &layout.pins);
    for (shown, rect) in scene.nodes.iter().zip(&layout.nodes) {
        node(&mut out, shown, rect);
    }
    legend.draw(&mut out, layout.height);
    out.push_str("</svg>\n");
    out
}

fn group(out: &mut String, name: &str, rect: &Rect, index: usize) {
    let hue = index % HUES;
    let Rect {
        x,
        y,
        width,
        height,
    } = *rect;
    let full = escape::xml(name);
    let shown = escape::xml(&text::fit(name, 13.0 * BOLD * 1.03, width - 28.0));
    let _ = writeln!(
        out,
        "<g><title>namespace {full}</title><rect class=\"box f{hue} s{hue}\" x=\"{x}\" y=\"{y}\" \
         width=\"{width}\" height=\"{height}\" rx=\"14\"/><text class=\"ns f{hue}\" x=\"{}\" y=\"{}\">{shown}</text></g>",
        x + 14.0,
        y + 22.0,
    );
}

fn line(out: &mut String, link: &SceneLink, route: &Route) {
    if route.steps.is_empty() {
        return;
    }
    // An invisible wide line below would ease hovering; the style widens the line itself instead.
    let hue = link
        .hue
        .map(|hue| format!(" s{}", hue % HUES))
        .unwrap_or_default();
    let _ = writeln!(
        out,
        "<path class=\"e {}{hue}\" d=\"{}\"><title>{}</title></path>",
        link.style.class(),
        path(route),
        escape::xml(&link.tooltip),
    );
}

/// Path data. Level pieces in a row are joined.
pub fn path(route: &Route) -> String {
    let mut out = format!("M{} {}", number(route.start.x), number(route.start.y));
    let mut steps = route.steps.iter().peekable();
    while let Some(step) = steps.next() {
        match step {
            Step::Line(_) if matches!(steps.peek(), Some(Step::Line(_))) => {}
            Step::Line(to) => {
                let _ = write!(out, "H{}", number(to.x));
            }
            Step::Curve(a, b, to) => {
                out.push('C');
                for (index, Point { x, y }) in [a, b, to].into_iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    let _ = write!(out, "{space}{} {}", number(*x), number(*y));
                }
            }
        }
    }
    out
}

/// At most one decimal.
fn number(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The arrow and label where lines end.
fn pins(out: &mut String, scene: &Scene, pins: &[Pin]) {
    let links: BTreeMap<usize, &SceneLink> =
        scene.links.iter().map(|link| (link.pin, link)).collect();
    for pin in pins {
        let Some(link) = links.get(&pin.pin) else {
            continue;
        };
        let side = if pin.from_right { 1.0 } else { -1.0 };
        let (x, y) = (pin.at.x, pin.at.y);
        let tail = number(x + side * 8.0);
        let colour = match link.style {
            Style::Review | Style::Ignored => format!(" {}f", link.style.class()),
            Style::Learned | Style::Implied => String::new(),
        };
        let _ = writeln!(
            out,
            "<path class=\"a{colour}\" d=\"M{x} {y}L{tail} {}V{}Z\"/>",
            y - 4.0,
            y + 4.0
        );
        let anchor = if pin.from_right { "start" } else { "end" };
        let _ = writeln!(
            out,
            "<text class=\"port\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            number(x + side * 10.0),
            y - 5.0,
            escape::xml(&link.label),
        );
    }
}

fn node(out: &mut String, node: &SceneNode, rect: &Rect) {
    let _ = writeln!(out, "<g><title>{}</title>", escape::xml(&node.tooltip));
    let hue = node.group.map(|group| group % HUES);
    let stroke = match (node.shape, hue) {
        (NodeShape::Unattributed, _) => "warn dashed".to_owned(),
        (_, Some(hue)) => format!("s{hue}"),
        _ => "plain".to_owned(),
    };
    out.push_str(&outline(node.shape, rect, &stroke));
    let inner = 48.0 + LINE * node.notes.len() as f64;
    let top = rect.y + ((rect.height - inner) / 2.0).floor();
    let icon_y = (rect.y + rect.height / 2.0 - 9.0).floor();
    let _ = writeln!(
        out,
        "<path class=\"icon {}\" transform=\"translate({} {icon_y})\" d=\"{}\"/>",
        stroke.replace(" dashed", ""),
        rect.x + 11.0,
        icons::path(node.shape, &node.kind),
    );
    let x = rect.x + TEXT_X;
    let mut y = top + 21.0;
    let _ = writeln!(
        out,
        "<text class=\"name\" x=\"{x}\" y=\"{y}\">{}</text>",
        escape::xml(&name(node))
    );
    y += LINE;
    let sub = sub(node);
    let _ = writeln!(
        out,
        "<text class=\"sub\" x=\"{x}\" y=\"{y}\">{}</text>",
        escape::xml(&sub)
    );
    let mut right = rect.right() - 8.0;
    for badge in node.badges.iter().rev() {
        let width = pill_width(badge);
        pill(
            out,
            badge,
            Point {
                x: right - width,
                y: y - 12.0,
            },
        );
        right -= width + 4.0;
    }
    for note in &node.notes {
        y += LINE;
        let _ = writeln!(
            out,
            "<text class=\"sub\" x=\"{x}\" y=\"{y}\">{}</text>",
            escape::xml(note)
        );
    }
    out.push_str("</g>\n");
}

/// The outline of a node, one per kind of peer.
fn outline(shape: NodeShape, rect: &Rect, stroke: &str) -> String {
    let Rect {
        x,
        y,
        width,
        height,
    } = *rect;
    let (right, bottom) = (rect.right(), rect.bottom());
    match shape {
        NodeShape::ApiServer => {
            let c = 12.0;
            format!(
                "<path class=\"card {stroke}\" d=\"M{} {y}H{}L{right} {}V{}L{} {bottom}H{}L{x} {}V{}Z\"/>\n",
                x + c,
                right - c,
                y + c,
                bottom - c,
                right - c,
                x + c,
                bottom - c,
                y + c,
            )
        }
        _ => {
            let radius = match shape {
                NodeShape::Outside => height.min(48.0) / 2.0,
                NodeShape::Node => 2.0,
                _ => 9.0,
            };
            format!(
                "<rect class=\"card {stroke}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>\n"
            )
        }
    }
}

/// A badge with its upper left corner at `at`.
pub fn pill(out: &mut String, badge: &Badge, at: Point) {
    let colour = match badge.tone {
        Tone::Hue(hue) => format!("f{}", hue % HUES),
        Tone::Plain => "sub".to_owned(),
        Tone::Warning => "warntext".to_owned(),
    };
    let width = pill_width(badge);
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect class=\"back {colour}\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{PILL_HEIGHT}\" \
         rx=\"8\"/><text class=\"pill {colour}\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
        escape::xml(&badge.tooltip),
        at.x,
        at.y,
        at.x + width / 2.0,
        at.y + 11.5,
        escape::xml(&pill_text(badge)),
    );
}
