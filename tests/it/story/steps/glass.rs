//! Step 9: break-glass.

use super::enforce::{never_observed_is, observed_works};
use crate::story::telling::Telling;
use std::time::{Duration, Instant};

const ANNOTATION: &str = "nanoseg.dev/break-glass";
/// Who does it here: the user of the cluster's own kubeconfig.
const BY: &str = "nanoseg.dev/break-glass-by=admin";
/// The time limit from the annotation until no policy is left.
const BROKEN: Duration = Duration::from_secs(1);

pub fn breaking_the_glass_opens_everything_in_a_second(telling: &Telling) {
    let before = telling.cluster.run(telling.policies()).expect("policies");
    for namespace in telling.shop.namespaces() {
        annotate(
            telling,
            &namespace,
            &format!("{ANNOTATION}=the shop is down"),
        );
        let begun = Instant::now();
        telling.until("no policy to be left", async || {
            let left = telling.our_policies(&namespace).await?.len();
            (left == 0)
                .then_some(())
                .ok_or_else(|| format!("{left} are"))
        });
        telling.in_time(
            &format!("break-glass of {namespace}"),
            begun.elapsed(),
            BROKEN,
        );
    }
    let open = never_observed_is(telling, true);
    telling.say(&format!("{open} ways that were blocked are open"));
    for namespace in telling.shop.namespaces() {
        annotate(telling, &namespace, &format!("{ANNOTATION}-"));
    }
    telling.until("the policies to be back", async || {
        let now = telling.policies().await?;
        (now == before)
            .then_some(())
            .ok_or_else(|| format!("{:?}", now.keys()))
    });
    never_observed_is(telling, false);
    observed_works(telling);
    telling.say("the glass is mended");
}

fn annotate(telling: &Telling, namespace: &str, annotation: &str) {
    let words = [
        "annotate",
        "--overwrite",
        "namespace",
        namespace,
        annotation,
        BY,
    ];
    let done = telling.cluster.kubectl(&words);
    assert!(done.status.success(), "{done:?}");
}
