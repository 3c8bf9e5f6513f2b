//! The legend: only what the picture shows.

use super::draw::pill;
use super::scene::{Badge, Scene, Style, Tone};
use super::text;
use crate::escape;
use crate::layout::Point;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const FONT: f64 = 11.0;
const LINE: f64 = 22.0;
const GAP: f64 = 22.0;
/// Samples of lines are this long.
const SAMPLE: f64 = 28.0;

/// Entries with their places, relative to the legend's upper left corner.
#[derive(Debug, Clone, Default)]
pub struct Legend {
    entries: Vec<(Point, Entry)>,
    pub width: f64,
    pub height: f64,
}

#[derive(Debug, Clone)]
enum Entry {
    /// The class of a line, and its meaning.
    Line(String, String),
    Pill(Badge, f64, String),
    Text(String),
}

impl Entry {
    fn width(&self) -> f64 {
        match self {
            Entry::Line(_, meaning) => SAMPLE + 6.0 + text::width(meaning, FONT),
            Entry::Pill(_, wide, meaning) => wide + 6.0 + text::width(meaning, FONT),
            Entry::Text(meaning) => text::width(meaning, FONT),
        }
    }
}

/// Sets the entries in lines of at most `width` pixels.
pub fn build(scene: &Scene, width: f64) -> Legend {
    let mut legend = Legend::default();
    let mut at = Point { x: 0.0, y: 0.0 };
    for entry in entries(scene) {
        let wide = entry.width();
        if at.x > 0.0 && at.x + wide > width {
            at = Point {
                x: 0.0,
                y: at.y + LINE,
            };
        }
        legend.width = legend.width.max(at.x + wide);
        legend.entries.push((at, entry));
        at.x += wide + GAP;
    }
    legend.height = at.y + LINE + 14.0;
    legend
}

fn entries(scene: &Scene) -> Vec<Entry> {
    let styles: BTreeSet<Style> = scene.links.iter().map(|link| link.style).collect();
    let line = |class: &str, meaning: &str| Entry::Line(class.to_owned(), meaning.to_owned());
    let mut entries = Vec::new();
    for style in styles {
        match style {
            Style::Learned => entries.push(line("learned", "observed")),
            Style::Implied => entries.push(line("implied", "implied")),
            Style::Review => entries.push(line("review", "seen, to be reviewed")),
            Style::Ignored => entries.push(line("ignored", "seen, not learned")),
        }
    }
    if let Some(hue) = scene.links.iter().find_map(|link| link.hue) {
        let class = format!("learned s{}", hue % super::style::HUES);
        entries.push(Entry::Line(class, "leaves its namespace".to_owned()));
    }
    for (badge_text, meaning) in scene.badges.iter().take(4) {
        let used = scene.nodes.iter().flat_map(|node| &node.badges);
        let tone = used
            .filter(|badge| badge.text == *badge_text)
            .map(|badge| badge.tone)
            .next();
        let other = if badge_text.starts_with('!') {
            Tone::Warning
        } else {
            Tone::Plain
        };
        let tone = tone.unwrap_or(other);
        let badge = Badge {
            text: badge_text.clone(),
            tooltip: meaning.clone(),
            tone,
        };
        let wide = super::draw::pill_width(&badge);
        entries.push(Entry::Pill(badge, wide, meaning.clone()));
    }
    entries.push(Entry::Text(scene.summary.clone()));
    entries
}

impl Legend {
    /// Draws it with its top at `top`.
    pub fn draw(&self, out: &mut String, top: f64) {
        out.push_str("<g>\n");
        for (at, entry) in &self.entries {
            let (x, y) = (20.0 + at.x, top + at.y);
            let (start, meaning) = match entry {
                Entry::Line(class, meaning) => {
                    let end = x + SAMPLE;
                    let _ = writeln!(
                        out,
                        "<path class=\"e {class}\" d=\"M{x} {}H{end}\"/>",
                        y + 10.0
                    );
                    (end + 6.0, meaning)
                }
                Entry::Pill(badge, wide, meaning) => {
                    pill(out, badge, Point { x, y: y + 2.0 });
                    (x + wide + 6.0, meaning)
                }
                Entry::Text(meaning) => (x, meaning),
            };
            let meaning = escape::xml(meaning);
            let _ = writeln!(
                out,
                "<text class=\"sub\" x=\"{start}\" y=\"{}\">{meaning}</text>",
                y + 14.0
            );
        }
        out.push_str("</g>\n");
    }
}
