//! Reads any text as two times and as a period between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::net::Timestamp;
use nanoseg::report::period::Period;

fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from(at))
}

fuzz_target!(|text: &str| {
    let mut times = text.lines().map(time);
    let mut next = || times.next().flatten();
    let period = Period {
        from: next(),
        to: next(),
        ..Period::default()
    };
    let hours = period.by_the_hour();
    if let (Some(from), Some(widened)) = (hours.from, hours.counted_from) {
        assert!(widened <= from, "the whole hours begin too late");
    }
    let (Some(begin), Some(end)) = (next(), next()) else {
        return;
    };
    let (first, last) = period.clip((begin, end));
    assert!(first <= last);
    let _ = (period.contains(begin), period.touches(begin, Some(end)));
});
