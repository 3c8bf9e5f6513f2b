//! The story of an operator who segments the shop (samples/shop), end to end: the real API server, the real enforcer,
//! two real controllers, real agents that watch real traffic. (tests/it/controller has the controller alone.)

mod connections;
mod shop;

use crate::support::kubernetes::Cluster;
use connections::{NEVER, attempts, truth};
use shop::Shop;
use std::time::Duration;

#[test]
fn the_shop_works_on_the_cluster_before_anybody_segments_it() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let begun = std::time::Instant::now();
    let shop = Shop::open(cluster, 0);
    eprintln!("open after {:?}", begun.elapsed());
    for edge in truth().0.iter().filter(|edge| edge.client != "shop/batch") {
        for attempt in attempts(cluster, &shop, edge) {
            let took = attempt.until(true, Duration::from_secs(10));
            eprintln!("{} {took:?}", attempt.words);
            took.expect("it works");
        }
    }
    for (client, server, protocol, port) in NEVER {
        let edge = connections::Edge {
            client: client.into(),
            server: server.into(),
            protocol: protocol.into(),
            port,
        };
        for attempt in attempts(cluster, &shop, &edge) {
            let took = attempt.until(true, Duration::from_secs(10));
            eprintln!("{} {took:?}", attempt.words);
            took.expect("it works");
        }
    }
    shop.start_batch("batch-1");
    shop.await_batch("batch-1");
    eprintln!("done after {:?}", begun.elapsed());
    shop.close();
}
