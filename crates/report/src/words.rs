//! Figures and times in words, the same way in every report.

use nanoseg_net::Timestamp;

/// `48213` → `48 213`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A number of which only the size matters: `48 213`, `1.2 million`, `2.7 billion`.
pub fn large(number: u64) -> String {
    const NAMES: [(u64, &str); 4] = [
        (1_000_000_000_000_000_000, "quintillion"),
        (1_000_000_000_000, "trillion"),
        (1_000_000_000, "billion"),
        (1_000_000, "million"),
    ];
    if number == u64::MAX {
        return "more than 18 quintillion".to_owned();
    }
    match NAMES.iter().find(|(size, _)| number >= *size) {
        Some((size, name)) => {
            let tenths = number / (size / 10);
            let (whole, tenth) = (thousands(tenths / 10), tenths % 10);
            match tenth {
                0 => format!("{whole} {name}"),
                _ => format!("{whole}.{tenth} {name}"),
            }
        }
        None => thousands(number),
    }
}

/// The number, at most `u64::MAX`.
pub fn saturated(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// `1 edge`, `31 edges`; `policy` becomes `policies`, `address` becomes `addresses`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {}", thousands(number), plural(number, noun))
}

/// The noun alone, in the right number.
pub fn plural(number: u64, noun: &str) -> String {
    let vowel_before_y = noun.ends_with("ay") || noun.ends_with("ey") || noun.ends_with("oy");
    match noun {
        _ if number == 1 => noun.to_owned(),
        n if n.ends_with('y') && !vowel_before_y => format!("{}ies", &n[..n.len() - 1]),
        n if n.ends_with('s') || n.ends_with("ch") || n.ends_with('x') => format!("{n}es"),
        n => format!("{n}s"),
    }
}

/// `1.5 MB` and the like, powers of 1000.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).unwrap_or(&"EB"))
}

/// To the second, UTC: `2026-01-05 10:03:12`.
pub fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(at.nanos())) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_string(),
    }
}

/// A length of time in its largest fitting unit: `12 s`, `3 min`, `5 h`, `4 days`.
pub fn duration(nanos: i64) -> String {
    let secs = nanos.max(0) / 1_000_000_000;
    match secs {
        0 => "less than 1 s".to_owned(),
        1..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => count((secs / 86_400) as u64, "day"),
    }
}

/// A share as whole percent, never rounded up to 100.
pub fn percent(share: f64) -> String {
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let percent = (share * 100.0).round();
    let percent = if share < 1.0 {
        percent.min(99.0)
    } else {
        percent
    };
    format!("{percent:.0} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (48213, "48 213")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn large_numbers_are_told_by_their_size() {
        for (number, text) in [
            (48_213, "48 213"),
            (1_000_000, "1 million"),
            (2_756_000_000, "2.7 billion"),
            (4_294_967_296, "4.2 billion"),
            (u64::MAX, "more than 18 quintillion"),
        ] {
            assert_eq!(large(number), text);
        }
        assert_eq!(saturated(u128::MAX), u64::MAX);
    }

    #[test]
    fn one_is_singular_and_all_else_plural() {
        assert_eq!(count(1, "policy"), "1 policy");
        assert_eq!(count(2, "policy"), "2 policies");
        assert_eq!(count(0, "address"), "0 addresses");
        assert_eq!(count(2, "day"), "2 days");
    }

    #[test]
    fn ninety_nine_point_nine_percent_is_not_rounded_to_all() {
        assert_eq!(percent(0.999), "99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(f64::NAN), "0 %");
    }

    #[test]
    fn durations_and_sizes_use_their_largest_unit() {
        assert_eq!(duration(180_000_000_000), "3 min");
        assert_eq!(duration(-5), "less than 1 s");
        assert_eq!(duration(86_400_000_000_000 * 3), "3 days");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
    }
}
