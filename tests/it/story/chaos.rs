//! Kills the leader at random moments. The moments depend on a seed, so they are the same on a machine of the same
//! speed.

use super::controllers::Controllers;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The shortest and the longest time for which a controller leads, in milliseconds. The next one leads after 15 s, the
/// duration of the Lease.
const LEADS: std::ops::Range<u64> = 5_000..22_000;

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Runs a function while the leader is killed repeatedly. Returns the number of kills.
pub fn amid_murder(controllers: &Controllers, seed: u64, what: impl FnOnce()) -> u32 {
    let (over, killed) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(seed);
            while !over.load(Ordering::Relaxed) {
                if !controllers.is_led() {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                let pause = LEADS.start + random.next() % (LEADS.end - LEADS.start);
                let until = Instant::now() + Duration::from_millis(pause);
                while Instant::now() < until {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                // Every third time its pod is deleted as well, and the other one must wait until the Lease expires.
                if controllers.kill_leader(random.next().is_multiple_of(3)) {
                    killed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Also if it fails.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _over = Over(&over);
        what();
    });
    killed.into_inner()
}
