//! Reads any text as a record: each line by itself, and all lines as a published part that is verified. A line that is
//! read is written again as the same bytes, since its digest covers them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::record::{Head, Tail, parse_line, to_line};

fuzz_target!(|text: &str| {
    let _ = Head::parse(text);
    for line in text.lines() {
        if let Ok(entry) = parse_line(line) {
            assert_eq!(to_line(&entry), line);
        }
    }
    let lines = text.lines().map(str::to_owned).collect();
    if let Ok(Some(part)) = Tail::of_lines(lines) {
        let _ = part.check(None);
        assert_eq!(Tail::from_data(&part.to_data()).as_ref(), Ok(&part));
    }
});
