//! Step 2: Observe, traffic, the coverage rises, Propose.

use crate::story::people::nanoseg;
use crate::story::telling::Telling;
use serde_json::json;

/// All workloads of the scenario that get policies: `legacy` has no traffic, and `node-exporter` uses its node's
/// network.
pub const LEARNED: [&str; 14] = [
    "kube-system/coredns",
    "monitoring/prometheus",
    "monitoring/statsd",
    "shop/app",
    "shop/batch",
    "shop/broker",
    "shop/consumer",
    "shop/feed",
    "shop/loadgen",
    "shop/pay",
    "shop/postgres",
    "shop/quotes",
    "shop/redis",
    "shop/web",
];

/// The minimum coverage for proposals, in percent.
const ENOUGH: u8 = 60;

pub fn traffic_is_watched_until_enough_is_known(telling: &Telling) {
    set_mode(telling, "Observe");
    telling.shop.start_batch("batch-1");
    let mut seen: Vec<(u32, u32)> = Vec::new();
    let shop = telling.shop.namespace("shop");
    let learned = LEARNED
        .iter()
        .filter(|name| name.starts_with("shop/"))
        .count();
    telling.until("the coverage of the shop", async || {
        let status = telling
            .segmentation(&shop)
            .await?
            .status
            .unwrap_or_default();
        // There is no estimate before the first observation.
        let now = parse_coverage(&status.coverage).unwrap_or_default();
        if seen.last() != Some(&now) {
            telling.say(&format!("coverage {}", status.coverage));
            seen.push(now);
        }
        let enough = now.0 >= u32::from(ENOUGH) && now.1 as usize == learned;
        enough.then_some(()).ok_or_else(|| format!("{status:?}"))
    });
    assert!(
        seen.len() > 1 && seen.is_sorted_by_key(|(_, workloads)| *workloads),
        "it rises: {seen:?}"
    );
    telling.shop.await_batch("batch-1");
    let waiting = telling.cluster.run(telling.waiting()).expect("proposals");
    assert!(waiting.is_empty(), "Observe only watches: {waiting:?}");
    let said = nanoseg(&telling.people.vera, &["status", "-n", &shop]);
    assert!(
        said.code <= 1 && said.stdout.contains("Observe"),
        "{said:?}"
    );
    set_mode(telling, "Propose");
}

/// Rosa creates a Segmentation in each namespace of the shop.
pub fn set_mode(telling: &Telling, mode: &str) {
    for namespace in telling.shop.namespaces() {
        let segmentation = json!({
            "apiVersion": "nanoseg.dev/v1alpha1",
            "kind": "Segmentation",
            "metadata": {"name": "default", "namespace": namespace},
            "spec": {
                "mode": mode,
                "changedBy": "rosa",
                "learning": {"minimumDuration": "10s", "minimumCoverage": ENOUGH},
            },
        });
        let file = telling.cluster.path(&telling.cluster.name("segmentation"));
        std::fs::write(&file, segmentation.to_string()).expect("a file");
        let file = file.to_string_lossy();
        let apply = ["apply", "--server-side", "-f", &*file];
        let applied = telling.cluster.kubectl_of(&telling.people.rosa, &apply);
        assert!(applied.status.success(), "{applied:?}");
    }
    telling.say(&format!("mode {mode}"));
}

/// Parses `97 % (9 of 12 workloads)` as 97 and 9.
fn parse_coverage(text: &str) -> Option<(u32, u32)> {
    let (percent, rest) = text.split_once(" % (")?;
    let (known, _) = rest.split_once(" of ")?;
    Some((percent.parse().ok()?, known.parse().ok()?))
}
