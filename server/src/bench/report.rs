//! `target/reports/kernel.json`, and the same for people.

use super::kernel::{Batches, Figures, Latency, Million};
use super::machine::Machine;
use super::pgbench::{Baseline, Isolation};
use anyhow::Context;
use serde::Serialize;

/// What was measured. What was not is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Purchases a second, callers in the kernel's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purchases_per_s: Option<f64>,
    /// Purchases a second over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_purchases_per_s: Option<f64>,
    /// The baseline's, at repeatable read.
    pub pgbench_purchases_per_s: f64,
    /// The first by the third.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_in_process: Option<f64>,
    /// The second by the third.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_http: Option<f64>,
    /// Of purchases over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// A million attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub million: Option<Million>,
    /// What a batch of the kernel is like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batches: Option<Batches>,
    /// The baseline's at read committed, which promises less.
    pub pgbench_read_committed_purchases_per_s: f64,
    /// What the load generator can make at most.
    pub load_ceiling_requests_per_s: f64,
    /// Whether it was a quick run, whose figures are rough.
    pub quick: bool,
    /// Where.
    pub machine: Machine,
    /// The baseline's runs.
    pub pgbench: Baseline,
}

impl Report {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the baseline lacks a run of either isolation level.
    pub fn new(
        machine: Machine,
        quick: bool,
        baseline: Baseline,
        load_ceiling_requests_per_s: f64,
        kernel: &Figures,
    ) -> anyhow::Result<Self> {
        let best = |isolation| {
            let run = baseline.best(isolation);
            run.map(|run| run.said.purchases_per_s)
                .with_context(|| format!("no run of pgbench at {isolation:?}"))
        };
        let counts = best(Isolation::RepeatableRead)?;
        let promises_less = best(Isolation::ReadCommitted)?;
        let ratio = |speed: Option<f64>| speed.map(|speed| rounded(speed / counts, 100.0));
        Ok(Self {
            purchases_per_s: kernel.purchases_per_s.map(whole),
            http_purchases_per_s: kernel.http_purchases_per_s.map(whole),
            pgbench_purchases_per_s: whole(counts),
            ratio_in_process: ratio(kernel.purchases_per_s),
            ratio_http: ratio(kernel.http_purchases_per_s),
            latency_ms: kernel.latency_ms,
            million: kernel.million,
            batches: kernel.batches.clone(),
            pgbench_read_committed_purchases_per_s: whole(promises_less),
            load_ceiling_requests_per_s: whole(load_ceiling_requests_per_s),
            quick,
            machine,
            pgbench: baseline,
        })
    }

    /// Whether anything of the kernel was measured.
    #[must_use]
    pub const fn has_kernel(&self) -> bool {
        self.purchases_per_s.is_some()
            || self.http_purchases_per_s.is_some()
            || self.latency_ms.is_some()
            || self.million.is_some()
    }
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

fn whole(value: f64) -> f64 {
    rounded(value, 1.0)
}

/// Processors that may have been wanted before a run that is to be compared: half of one.
const BUSY: f64 = 0.5;

/// A figure that has a target.
struct Goal {
    name: &'static str,
    value: Option<f64>,
    unit: &'static str,
    target: f64,
    stretch: f64,
}

impl Goal {
    /// A stretch below its target means that less is better.
    fn verdict(&self) -> &'static str {
        let reaches = |value: f64, bound: f64| {
            if self.stretch > self.target {
                value >= bound
            } else {
                value < bound
            }
        };
        match self.value {
            None => "not measured",
            Some(value) if reaches(value, self.stretch) => "met, with the stretch",
            Some(value) if reaches(value, self.target) => "met",
            Some(_) => "missed",
        }
    }

    fn line(&self) -> String {
        let value = self.value.map_or("–".into(), |value| format!("{value:.1}"));
        let sign = if self.stretch > self.target {
            "≥"
        } else {
            "<"
        };
        format!(
            "{:<28}{value:>9} {:<2} target {sign} {:<4}stretch {sign} {:<4}{}",
            self.name,
            self.unit,
            self.target,
            self.stretch,
            self.verdict()
        )
    }
}

fn goals(report: &Report) -> [Goal; 3] {
    [
        Goal {
            name: "in process by pgbench",
            value: report.ratio_in_process,
            unit: "×",
            target: 8.0,
            stretch: 12.0,
        },
        Goal {
            name: "over HTTP by pgbench",
            value: report.ratio_http,
            unit: "×",
            target: 4.0,
            stretch: 8.0,
        },
        Goal {
            name: "a million attempts",
            value: report.million.map(|million| million.elapsed_s),
            unit: "s",
            target: 20.0,
            stretch: 12.0,
        },
    ]
}

/// What a transaction of the kernel writes, beside the baseline's, and what made it try again.
fn batches(batches: &Batches) -> String {
    let retries: Vec<String> = batches
        .retries
        .iter()
        .map(|(cause, count)| format!("{count} {cause}"))
        .collect();
    format!(
        "a transaction in process: {:.0} purchases, {:.0} rows, {:.0} bytes of log; retries: {}",
        batches.purchases_per_transaction,
        batches.rows_per_transaction,
        batches.bytes_per_transaction,
        if retries.is_empty() {
            "none".to_owned()
        } else {
            retries.join(", ")
        }
    )
}

/// The report as a table. A missed target is said and fails nothing: it may be the machine's.
#[must_use]
pub fn print(report: &Report) -> String {
    let machine = &report.machine;
    let postgres = &machine.postgres;
    let mut lines = vec![
        format!(
            "{} cores of {}, {} GiB, {}, {}",
            machine.cores, machine.cpu, machine.memory_gib, machine.os, machine.os_kernel
        ),
        format!(
            "PostgreSQL {} on {}: fsync {}, synchronous_commit {}, {}; {}",
            postgres.version,
            postgres.file_system,
            postgres.fsync,
            postgres.synchronous_commit,
            postgres.default_transaction_isolation,
            report.pgbench.program
        ),
        String::new(),
    ];
    let figure = |name: &str, value: Option<f64>, unit: &str| {
        value.map(|value| format!("{name:<28}{value:>9.0} {unit}"))
    };
    let baseline = Some(report.pgbench_purchases_per_s);
    let promises_less = Some(report.pgbench_read_committed_purchases_per_s);
    let figures = [
        figure("kernel, in process", report.purchases_per_s, "purchases/s"),
        figure("kernel, HTTP", report.http_purchases_per_s, "purchases/s"),
        figure("pgbench, repeatable read", baseline, "purchases/s"),
        figure("pgbench, read committed", promises_less, "purchases/s"),
        figure(
            "load generator at most",
            Some(report.load_ceiling_requests_per_s),
            "requests/s",
        ),
    ];
    lines.extend(figures.into_iter().flatten());
    lines.extend(report.latency_ms.map(|latency| {
        let Latency { p50, p99, p999 } = latency;
        format!("latency over HTTP: p50 {p50:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms")
    }));
    lines.extend(report.batches.as_ref().map(batches));
    lines.extend(report.million.map(|million| {
        format!(
            "{} attempts: {} sold, {} refused, {} false declines",
            million.attempts, million.sold, million.refused, million.false_declines
        )
    }));
    lines.push(String::new());
    lines.extend(goals(report).iter().map(Goal::line));
    if !report.has_kernel() {
        lines.push("only the baseline was measured".into());
    }
    if machine.busy_before > BUSY {
        lines.push(format!(
            "the machine was busy before ({} processors wanted): other programs took their part",
            machine.busy_before
        ));
    }
    if report.quick || !machine.release_build {
        lines.push("a quick run or a development build: not to be compared".into());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::machine::PostgresSettings;
    use super::super::pgbench::{Run, Said};
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn run(isolation: Isolation, purchases_per_s: f64) -> Run {
        Run {
            isolation,
            clients: 8,
            seconds: 10,
            bytes_per_transaction: 1_500,
            said: Said {
                transactions: 30_000,
                failed: 0,
                retried: 10,
                retries: 12,
                latency_ms_average: 2.5,
                purchases_per_s,
            },
        }
    }

    fn report(kernel: &Figures) -> Report {
        let machine = Machine {
            cores: 2,
            memory_gib: 23.5,
            cpu: "A CPU".into(),
            os: "An OS".into(),
            os_kernel: "6.1".into(),
            busy_before: 0.75,
            release_build: true,
            postgres: PostgresSettings {
                version: "16.14".into(),
                fsync: "on".into(),
                synchronous_commit: "on".into(),
                default_transaction_isolation: "repeatable read".into(),
                wal_level: "minimal".into(),
                shared_buffers: "64MB".into(),
                file_system: "ext4".into(),
            },
        };
        let baseline = Baseline {
            program: "pgbench (PostgreSQL) 15.18".into(),
            rows_per_transaction: 6,
            bytes_per_transaction: 1_500,
            retries: 12,
            runs: vec![
                run(Isolation::RepeatableRead, 3_000.0),
                run(Isolation::ReadCommitted, 3_500.0),
            ],
        };
        Report::new(machine, false, baseline, 70_000.4, kernel).expect("has both levels")
    }

    fn measured() -> Figures {
        Figures {
            purchases_per_s: Some(37_000.0),
            http_purchases_per_s: Some(11_999.0),
            latency_ms: Some(Latency {
                p50: 3.0,
                p99: 9.0,
                p999: 20.0,
            }),
            million: Some(Million {
                attempts: 1_000_000,
                sold: 100,
                refused: 999_900,
                false_declines: 0,
                elapsed_s: 12.5,
            }),
            batches: Some(Batches {
                purchases_per_transaction: 100.0,
                rows_per_transaction: 412.0,
                bytes_per_transaction: 140_000.0,
                retries: BTreeMap::new(),
            }),
        }
    }

    fn keys(value: &Value) -> Vec<&str> {
        let object = value.as_object().expect("an object");
        object.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_full_report_has_every_key() {
        let json = serde_json::to_value(report(&measured())).expect("is JSON");
        for key in [
            "purchases_per_s",
            "http_purchases_per_s",
            "pgbench_purchases_per_s",
            "ratio_in_process",
            "ratio_http",
            "latency_ms",
            "million",
            "machine",
            "pgbench",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        let mut latency = keys(&json["latency_ms"]);
        latency.sort_unstable();
        assert_eq!(latency, ["p50", "p99", "p999"]);
        let mut million = keys(&json["million"]);
        million.sort_unstable();
        assert_eq!(
            million,
            ["attempts", "elapsed_s", "false_declines", "refused", "sold"]
        );
        assert_eq!(json["ratio_in_process"], 12.33);
        assert_eq!(json["ratio_http"], 4.0);
        assert_eq!(json["pgbench"]["runs"][0]["isolation"], "repeatable read");
        assert_eq!(json["pgbench"]["runs"][0]["transactions"], 30_000);
    }

    #[test]
    fn what_was_not_measured_has_no_key() {
        let report = report(&Figures::default());
        let json = serde_json::to_value(&report).expect("is JSON");
        for key in [
            "purchases_per_s",
            "http_purchases_per_s",
            "ratio_in_process",
            "ratio_http",
            "latency_ms",
            "million",
        ] {
            assert!(json.get(key).is_none(), "{key}");
        }
        assert_eq!(json["pgbench_purchases_per_s"], 3_000.0);
        let text = print(&report);
        assert_eq!(text.matches("not measured").count(), 3, "{text}");
        assert!(text.contains("only the baseline was measured"), "{text}");
    }

    #[test]
    fn targets_are_met_or_missed_in_words() {
        let text = print(&report(&measured()));
        let ends = |name, words: &str| {
            let mut lines = text.lines();
            let line = lines.find(|line| line.starts_with(name));
            let line = line.expect("is there");
            assert!(line.ends_with(words), "{line}");
        };
        ends("in process by pgbench", "met, with the stretch");
        ends("over HTTP by pgbench", " met");
        ends("a million attempts", " met");
        let slow = Figures {
            purchases_per_s: Some(100.0),
            ..Figures::default()
        };
        let text = print(&report(&slow));
        assert!(text.contains("missed") && !text.contains("only the baseline"));
        assert!(text.contains("was busy before (0.75"), "{text}");
    }
}
