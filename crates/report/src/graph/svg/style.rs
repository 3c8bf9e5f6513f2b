//! The style sheet: every colour as a variable, light and dark. Each declaration comes twice, first
//! with the light colour itself, for renderers that know no variables (librsvg, Inkscape).

use std::fmt::Write as _;

/// How many namespace colours there are before they repeat. None is near the warning colours.
pub const HUES: usize = 8;

/// Name, light, dark.
const COLOURS: [(&str, &str, &str); 9] = [
    ("bg", "#ffffff", "#0d1117"),
    ("card", "#ffffff", "#161b22"),
    ("text", "#1f2328", "#e6edf3"),
    ("muted", "#59636e", "#9198a1"),
    ("line", "#818b98", "#7d8590"),
    ("port", "#424a53", "#b6bec8"),
    ("border", "#d1d9e0", "#3d444d"),
    ("review", "#bc6c00", "#e3a008"),
    ("ignored", "#cf222e", "#f85149"),
];

/// Light and dark.
const HUE_COLOURS: [(&str, &str); HUES] = [
    ("#2563eb", "#6ea8fe"),
    ("#0f8a7e", "#3fd0c0"),
    ("#7c3aed", "#b392f0"),
    ("#3f8a1c", "#7ee05a"),
    ("#0b7fab", "#56c7ee"),
    ("#a21caf", "#e58af0"),
    ("#4f46e5", "#979cff"),
    ("#6b7a1e", "#c4d65a"),
];

/// Selector, property, colour.
const RULES: [(&str, &str, &str); 15] = [
    (".bg", "fill", "bg"),
    (".card", "fill", "card"),
    (".name", "fill", "text"),
    (".sub", "fill", "muted"),
    (".port", "fill", "port"),
    (".e", "stroke", "line"),
    (".a", "fill", "line"),
    (".plain", "stroke", "line"),
    (".icon.plain", "stroke", "muted"),
    (".review", "stroke", "review"),
    (".ignored", "stroke", "ignored"),
    (".warn", "stroke", "ignored"),
    (".warntext", "fill", "ignored"),
    (".reviewf", "fill", "review"),
    (".ignoredf", "fill", "ignored"),
];

/// What needs no colour.
const FIXED: &str = ".nanoseg text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}
.nanoseg .name{font-size:14px;font-weight:600}
.nanoseg .sub{font-size:11px}
.nanoseg .ns{font-size:13px;font-weight:600;letter-spacing:.02em}
.nanoseg .port{font-size:12px}
.nanoseg .pill{font-size:10px;font-weight:600}
.nanoseg .e{fill:none;stroke-width:1.6}
.nanoseg .implied{stroke-dasharray:6 4}
.nanoseg .review,.nanoseg .ignored{stroke-width:1.2;stroke-dasharray:1.5 4;stroke-linecap:round}
.nanoseg .a{stroke:none}
.nanoseg .card{stroke-width:1.2}
.nanoseg .icon{fill:none;stroke-width:1.3;stroke-linejoin:round;stroke-linecap:round}
.nanoseg .box{stroke-width:1.2;fill-opacity:.06;stroke-opacity:.4}
.nanoseg .back{fill-opacity:.14;stroke:none}
.nanoseg .dashed{stroke-dasharray:4 3}
.nanoseg .e:hover{stroke-width:3.5}
";

/// The whole style sheet.
pub fn style() -> String {
    let mut out = String::from("<style>\n.nanoseg{");
    variables(&mut out, false);
    out.push_str("}\n@media(prefers-color-scheme:dark){.nanoseg{");
    variables(&mut out, true);
    out.push_str("}}\n");
    for (selector, property, name) in RULES {
        let light = COLOURS
            .iter()
            .find(|(colour, _, _)| *colour == name)
            .map_or("", |c| c.1);
        rule(&mut out, selector, property, light, name);
    }
    for (index, (light, _)) in HUE_COLOURS.iter().enumerate() {
        let name = format!("h{index}");
        rule(&mut out, &format!(".s{index}"), "stroke", light, &name);
        rule(&mut out, &format!(".f{index}"), "fill", light, &name);
    }
    out.push_str(FIXED);
    out.push_str("</style>\n");
    out
}

fn rule(out: &mut String, selector: &str, property: &str, light: &str, name: &str) {
    let _ = writeln!(
        out,
        ".nanoseg {selector}{{{property}:{light};{property}:var(--{name})}}"
    );
}

fn variables(out: &mut String, dark: bool) {
    for (name, light, dark_colour) in COLOURS {
        let _ = write!(out, "--{name}:{};", if dark { dark_colour } else { light });
    }
    for (index, (light, dark_colour)) in HUE_COLOURS.iter().enumerate() {
        let _ = write!(
            out,
            "--h{index}:{};",
            if dark { dark_colour } else { light }
        );
    }
}
