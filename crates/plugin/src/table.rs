//! The table of all profiles as Markdown: plugin × fact × source × test (docs/plugins.md).

use super::deviation::Deviation;
use super::fact::Aspect;
use super::network_plugin::NetworkPlugin;
use super::profile::Profile;
use std::collections::BTreeMap;

/// Aspects side by side in the first table; the others only stand in the tables of each plugin.
const OVERVIEW: [Aspect; 7] = [
    Aspect::Enforces,
    Aspect::IpBlockNodes,
    Aspect::IpBlockPods,
    Aspect::ServicePorts,
    Aspect::EndPort,
    Aspect::Sctp,
    Aspect::EstablishedConnections,
];

/// All profiles as Markdown: one table of plugins × facts, and one for each plugin with source, versions and test.
pub fn table() -> String {
    let mut text = String::from("## Overview\n\n| plugin |");
    for aspect in OVERVIEW {
        text.push_str(&format!(" {} |", aspect.question()));
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(OVERVIEW.len()));
    text.push('\n');
    for plugin in NetworkPlugin::ALL {
        let rows = Profile::of(*plugin).facts().rows();
        let values: BTreeMap<Aspect, String> = rows
            .into_iter()
            .map(|row| (row.aspect, row.value))
            .collect();
        text.push_str(&format!("| [`{plugin}`](#{plugin}) |"));
        for aspect in OVERVIEW {
            let value = values.get(&aspect).map_or("", String::as_str);
            text.push_str(&format!(" {value} |"));
        }
        text.push('\n');
    }
    for plugin in NetworkPlugin::ALL {
        text.push_str(&of_plugin(*plugin));
    }
    text
}

fn of_plugin(plugin: NetworkPlugin) -> String {
    let mut text = format!("\n## {plugin}\n\n{}.", capital(plugin.title()));
    let options: Vec<String> = Profile::options_of(plugin)
        .iter()
        .map(|option| format!("`{}` ({})", option.name(), option.values().join(", ")))
        .collect();
    text.push_str(&format!(" Options: {}.\n\n", options.join("; ")));
    text.push_str("| fact | value | source | versions | test |\n|---|---|---|---|---|\n");
    for row in Profile::of(plugin).facts().rows() {
        let test = match row.test {
            "" => "by its source".to_owned(),
            path => format!("[{path}](../{path})"),
        };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {test} |\n",
            row.aspect.question(),
            row.value,
            row.source,
            row.versions,
        ));
    }
    text.push_str(&deviations_of(plugin));
    text
}

/// What the plugin does otherwise than the API says, as a table; nothing if nothing is known.
fn deviations_of(plugin: NetworkPlugin) -> String {
    let deviations = Deviation::of(plugin);
    if deviations.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\nOtherwise than the API's documentation says:\n\n| deviation | judged so | source | versions | test |\n|---|---|---|---|---|\n",
    );
    for one in deviations {
        text.push_str(&format!(
            "| {} | {} | {} | {} | [{test}](../{test}) |\n",
            one.text(),
            if one.is_judged() { "yes" } else { "no" },
            one.source(),
            one.versions(),
            test = one.test(),
        ));
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text.starts_with("kube-") => first.to_uppercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_of_every_plugin_has_a_source_and_versions() {
        for plugin in NetworkPlugin::ALL {
            let rows = Profile::of(*plugin).facts().rows();
            assert_eq!(rows.len(), Aspect::ALL.len());
            for row in rows {
                let place = format!("{plugin}: {}", row.aspect.question());
                assert!(
                    !row.source.is_empty() && !row.versions.is_empty(),
                    "{place}"
                );
                assert!(
                    !row.source.contains('|') && !row.value.is_empty(),
                    "{place}"
                );
            }
        }
    }

    #[test]
    fn the_table_has_every_plugin_with_every_fact() {
        let text = table();
        for plugin in NetworkPlugin::ALL {
            assert!(text.contains(&format!("\n## {plugin}\n")), "{plugin}");
        }
        let rows = text.matches("| Are policies enforced? |").count();
        assert_eq!(rows, NetworkPlugin::ALL.len() + 1);
    }
}
