//! A histogram of latencies: how long from the frame, or the edge of an input, to the pin.
//!
//! Buckets are log-linear: 16 to each power of two, so that a quantile is told at most 1/16 too long, whatever its size,
//! and counting asks for no memory. [`Histogram::rows`] puts them under the bounds that people read, 1-2-5 to a decade.

/// Buckets to a power of two, as a power of two.
const FINE: u32 = 4;
/// Buckets for every 32-bit number of microseconds.
const BUCKETS: usize = ((32 - FINE as usize) << FINE) + (1 << FINE);
/// Upper bounds of the rows for people, in microseconds.
pub const ROWS_US: [u32; 16] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    u32::MAX,
];

/// Counts of latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>, // (BUCKETS,)
    rows: [u64; ROWS_US.len()],
    count: u64,
    max_us: u32,
}

/// One row for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Upper bound in microseconds, inclusive; `u32::MAX`: none.
    pub upto_us: u32,
    /// Latencies at most so long and longer than the row's before.
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], rows: [0; ROWS_US.len()], count: 0, max_us: 0 }
    }
}

fn bucket(us: u32) -> usize {
    let power = us.checked_ilog2().unwrap_or(0);
    if power < FINE {
        return us as usize;
    }
    let within = (us >> (power - FINE)) & ((1 << FINE) - 1);
    (((power - FINE + 1) << FINE) + within) as usize
}

/// The longest latency of a bucket, in microseconds.
fn longest(bucket: usize) -> u32 {
    let (power, within) = ((bucket >> FINE) as u32, bucket as u32 & ((1 << FINE) - 1));
    if power == 0 {
        return within;
    }
    let step = 1u32 << (power - 1);
    (((1 << FINE) + within) * step).saturating_add(step - 1)
}

impl Histogram {
    /// Counts a latency in microseconds.
    pub fn record(&mut self, us: u32) {
        self.counts[bucket(us)] += 1;
        self.rows[ROWS_US.iter().position(|upto| us <= *upto).unwrap_or(ROWS_US.len() - 1)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Latencies counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, in microseconds.
    pub fn max_us(&self) -> u32 {
        self.max_us
    }

    /// A latency in microseconds that the share `q` (0..=1) does not exceed, by the nearest rank; 0 if none was counted.
    pub fn quantile_us(&self, q: f64) -> u32 {
        let rank = ((self.count as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return longest(at).min(self.max_us);
            }
        }
        0
    }

    /// The rows from the first to the last that holds something.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let first = self.rows.iter().position(|count| *count > 0).unwrap_or(0);
        let last = self.rows.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
        let all = ROWS_US.iter().zip(&self.rows).map(|(upto_us, count)| Row { upto_us: *upto_us, count: *count });
        all.skip(first).take(last.saturating_sub(first))
    }

    /// `{"count","p50_ms","p90_ms","p99_ms","max_ms","rows":[{"upto_ms","count"}]}`; `upto_ms` is null where the row has
    /// no upper bound.
    pub fn json(&self) -> serde_json::Value {
        let ms = |us: u32| f64::from(us) / 1e3;
        let rows: Vec<_> = self
            .rows()
            .map(|row| {
                let upto_ms = (row.upto_us != u32::MAX).then(|| ms(row.upto_us));
                serde_json::json!({"upto_ms": upto_ms, "count": row.count})
            })
            .collect();
        serde_json::json!({
            "count": self.count, "p50_ms": ms(self.quantile_us(0.5)), "p90_ms": ms(self.quantile_us(0.9)),
            "p99_ms": ms(self.quantile_us(0.99)), "max_ms": ms(self.max_us), "rows": rows,
        })
    }

    /// Lines for people: a summary and a bar a row.
    pub fn lines(&self, of: &str) -> Vec<String> {
        let ms = |us: u32| f64::from(us) / 1e3;
        if self.count == 0 {
            return vec![format!("{of}: none")];
        }
        let mut lines = vec![format!(
            "{of}: {} times, {:.1} ms median, {:.1} ms at 90 %, {:.1} ms at 99 %, {:.1} ms the longest",
            self.count,
            ms(self.quantile_us(0.5)),
            ms(self.quantile_us(0.9)),
            ms(self.quantile_us(0.99)),
            ms(self.max_us)
        )];
        let most = self.rows.iter().copied().max().unwrap_or(1).max(1);
        for row in self.rows() {
            let bar = "#".repeat((row.count * BAR_MAX).div_ceil(most) as usize);
            let upto = if row.upto_us == u32::MAX { "more".to_owned() } else { format!("{} ms", row.upto_us / 1000) };
            lines.push(format!("{upto:>9} {:>8}  {bar}", row.count).trim_end().to_owned());
        }
        lines
    }
}

/// The longest bar in characters.
const BAR_MAX: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_latency_has_its_bucket(us in any::<u32>()) {
            let upto = longest(bucket(us));
            prop_assert!(us <= upto && u64::from(upto) <= u64::from(us) + u64::from(us) / 16, "{us}: {upto}");
            prop_assert!(bucket(us) < BUCKETS);
            prop_assert!(us == 0 || bucket(us - 1) <= bucket(us));
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_latencies(mut all in prop::collection::vec(0u32..100_000_000, 1..200), q in 0.0f64..=1.0) {
            let mut histogram = Histogram::default();
            all.iter().for_each(|us| histogram.record(*us));
            all.sort_unstable();
            let exact = all[((all.len() as f64 * q).ceil() as usize).max(1) - 1];
            let told = histogram.quantile_us(q);
            prop_assert!(exact <= told && f64::from(told) <= f64::from(exact) * 1.0626 + 1.0, "{exact} told as {told}");
            prop_assert_eq!(histogram.rows().map(|row| row.count).sum::<u64>(), all.len() as u64);
            prop_assert_eq!(histogram.max_us(), *all.last().unwrap());
        }
    }

    #[test]
    fn the_ends_have_buckets() {
        assert_eq!((bucket(0), bucket(u32::MAX)), (0, BUCKETS - 1));
        assert_eq!(longest(BUCKETS - 1), u32::MAX);
    }

    #[test]
    fn people_see_bars() {
        let mut histogram = Histogram::default();
        [9_000, 15_000, 15_000, 40_000].into_iter().for_each(|us| histogram.record(us));
        let lines = histogram.lines("frame to pin");
        assert!(lines[0].starts_with("frame to pin: 4 times, 15."), "{}", lines[0]);
        assert_eq!(lines.len(), 4);
        assert!(lines[2].ends_with(&format!("20 ms        2  {}", "#".repeat(50))), "{}", lines[2]);
        assert_eq!(Histogram::default().lines("x"), ["x: none"]);
        assert_eq!(histogram.json()["rows"][2]["count"], 1);
    }
}
