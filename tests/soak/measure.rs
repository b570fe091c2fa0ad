//! What the server holds, and whether that grows.

use std::fs;
use std::path::Path;

/// What a process and its directory hold at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Hours of the accelerated clock since the run began.
    pub hour: f64,
    pub resident_bytes: u64,
    pub descriptors: u64,
    pub threads: u64,
    /// The journal and its write-ahead log.
    pub journal_bytes: u64,
    pub checkpoint_bytes: u64,
    /// Events that must be there.
    pub retained: u64,
}

impl Sample {
    pub fn of(process: u32, data_dir: &Path, hour: f64, retained: u64) -> Sample {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the server runs");
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
            line.split_whitespace().next().expect("a number").parse().expect("a number")
        };
        let (mut journal_bytes, mut checkpoint_bytes) = (0, 0);
        for entry in fs::read_dir(data_dir).expect("the data directory is there").flatten() {
            // What is renamed or removed meanwhile counts for nothing.
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            match entry.file_name().to_string_lossy().starts_with("checkpoint-") {
                true => checkpoint_bytes += bytes,
                false => journal_bytes += bytes,
            }
        }
        Sample {
            hour,
            resident_bytes: number("VmRSS:") * 1024,
            descriptors: descriptors(process),
            threads: number("Threads:"),
            journal_bytes,
            checkpoint_bytes,
            retained,
        }
    }
}

pub fn descriptors(process: u32) -> u64 {
    fs::read_dir(format!("/proc/{process}/fd")).expect("the server runs").count() as u64
}

/// By this share of what is usual the retained events of an hour may differ, to be compared with others.
const UNLIKE: f64 = 0.15;

/// How something went on over the hours of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// The median of each whole hour.
    pub hours: Vec<f64>,
    /// What it has grown by over these hours: the median of the slopes between all of them, which one odd hour does not
    /// move, times their number.
    pub growth: f64,
    /// Whether as much was retained in each of them.
    pub even: bool,
}

impl Trend {
    /// `None` with less than three whole hours. One without a sample, when the machine stood still, is left out, and so is
    /// one in which the machine was too slow for the load, and little retained, if that leaves three.
    pub fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Option<Trend> {
        let (first, last) = (samples.first()?.hour.ceil() as i64, samples.last()?.hour.floor() as i64);
        let of_hours = |figure: &dyn Fn(&Sample) -> f64| -> Vec<(i64, f64)> {
            let of_hour = |hour: i64| {
                let within = samples.iter().filter(|sample| sample.hour.floor() as i64 == hour);
                Some((hour, median(within.map(figure).collect())?))
            };
            (first..last).filter_map(of_hour).collect()
        };
        let retained = of_hours(&|sample| sample.retained as f64);
        let usual = median(retained.iter().map(|(_, retained)| *retained).collect())?;
        let mut hours = of_hours(&figure);
        let mut compares = retained.iter().map(|(_, retained)| (retained - usual).abs() <= usual * UNLIKE);
        let like: Vec<_> = hours.iter().filter(|_| compares.next() == Some(true)).copied().collect();
        let even = like.len() >= 3;
        if even {
            hours = like;
        }
        if hours.len() < 3 {
            return None;
        }
        let mut slopes = Vec::new();
        for (at, (from, one)) in hours.iter().enumerate() {
            for (to, other) in &hours[at + 1..] {
                slopes.push((other - one) / (to - from) as f64);
            }
        }
        let length = hours.last()?.0 - hours.first()?.0;
        let growth = median(slopes)? * length as f64;
        Some(Trend { growth, hours: hours.into_iter().map(|(_, one)| one).collect(), even })
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: impl Fn(f64) -> f64) -> Vec<Sample> {
        let sample = |second: u32| {
            let hour = 7.3 + f64::from(second) / 30.0;
            let (resident_bytes, zero) = (bytes(hour) as u64, 0);
            Sample {
                hour,
                resident_bytes,
                descriptors: zero,
                threads: zero,
                journal_bytes: zero,
                checkpoint_bytes: zero,
                retained: zero,
            }
        };
        (0..150).map(sample).collect()
    }

    fn growth(bytes: impl Fn(f64) -> f64) -> f64 {
        Trend::of(&samples(bytes), |sample| sample.resident_bytes as f64).unwrap().growth
    }

    #[test]
    fn what_rises_and_falls_within_each_hour_or_for_one_hour_does_not_grow() {
        let saw = |hour: f64| 5e6 + 1e6 * hour.fract();
        assert!(growth(saw).abs() < 1e3);
        assert!(growth(|hour| saw(hour) + if hour.floor() == 9.0 { 3e6 } else { 0.0 }).abs() < 1e3);
    }

    #[test]
    fn what_grows_beneath_that_is_found() {
        let leak = |hour: f64| 5e6 + 1e6 * hour.fract() + 4e5 * hour;
        assert!((growth(leak) / 4e5 - 3.0).abs() < 0.2, "{}", growth(leak));
    }

    #[test]
    fn an_hour_that_the_machine_stood_still_for_is_left_out() {
        let mut samples = samples(|hour| 5e6 + 4e5 * hour.floor());
        samples.retain(|sample| sample.hour.floor() != 9.0);
        let trend = Trend::of(&samples, |sample| sample.resident_bytes as f64).unwrap();
        assert_eq!((trend.hours.len(), trend.growth), (3, 3.0 * 4e5));
    }

    #[test]
    fn an_hour_of_little_load_is_left_out() {
        let mut samples = samples(|_| 5e6);
        for sample in &mut samples {
            let is_slow = sample.hour.floor() == 8.0;
            (sample.retained, sample.resident_bytes) = if is_slow { (10, 1_000_000) } else { (100, 5_000_000) };
        }
        assert_eq!(Trend::of(&samples, |sample| sample.resident_bytes as f64).unwrap().hours, [5e6; 3]);
    }

    #[test]
    fn less_than_three_whole_hours_say_nothing() {
        assert_eq!(Trend::of(&samples(|_| 1.0)[..100], |sample| sample.hour), None);
    }
}
