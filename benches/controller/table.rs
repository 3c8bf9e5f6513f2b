//! The results as a table.

use std::time::Duration;

/// One figure.
pub struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    /// The upper limit of the figure.
    limit: Option<f64>,
}

impl Row {
    pub fn plain(name: &str, value: f64, unit: &'static str) -> Row {
        Row {
            name: name.to_owned(),
            value,
            unit,
            limit: None,
        }
    }

    pub fn limit(name: &str, value: f64, unit: &'static str, limit: f64) -> Row {
        Row {
            limit: Some(limit),
            ..Row::plain(name, value, unit)
        }
    }

    /// Adds median and 99th percentile. The limit is for the latter.
    pub fn times(name: &str, times: &[Duration], limit: Duration) -> Vec<Row> {
        let mut millis: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1000.0).collect();
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (millis.len() as f64 * share).ceil() as usize;
            millis
                .get(place.saturating_sub(1))
                .copied()
                .unwrap_or(f64::NAN)
        };
        let limit = limit.as_secs_f64() * 1000.0;
        vec![
            Row::plain(&format!("{name}, median"), at(0.5), "ms"),
            Row::limit(&format!("{name}, p99"), at(0.99), "ms", limit),
        ]
    }

    fn is_met(&self) -> bool {
        self.limit.is_none_or(|limit| self.value <= limit)
    }
}

/// Prints all rows. Returns true if every limit is met.
pub fn print(rows: &[Row]) -> bool {
    for row in rows {
        let limit = row
            .limit
            .map_or(String::new(), |limit| format!("(limit {limit})"));
        let missed = if row.is_met() { "" } else { "  MISSED" };
        println!(
            "{:<36} {:>10.1} {:<12} {limit}{missed}",
            row.name, row.value, row.unit
        );
    }
    rows.iter().all(Row::is_met)
}
