//! Four large zeros, each with the audits that it rests on and their queries.

use crate::audits::{AuditReport, Health};
use crate::ledger::audit::Finding;
use leptos::prelude::*;

/// A tile: its name, what it means, and its audits.
struct Tile {
    id: &'static str,
    name: &'static str,
    audits: &'static [&'static str],
}

/// The invariants that everybody asks about. Every other audit is listed below them.
const TILES: [Tile; 4] = [
    Tile {
        id: "oversold",
        name: "Oversold",
        audits: &["A6", "A7"],
    },
    Tile {
        id: "charged-twice",
        name: "Charged twice",
        audits: &["A10", "A18"],
    },
    Tile {
        id: "over-mandate",
        name: "Over a mandate",
        audits: &["A11"],
    },
    Tile {
        id: "drift",
        name: "Ledger drift",
        audits: &["A1", "A2", "A3", "A4", "A15", "A19"],
    },
];

const fn word(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Broken => "broken",
        Health::Unknown => "unknown",
    }
}

/// How long ago, in words.
fn age(report: &AuditReport) -> String {
    match report.age_ms {
        None => "never checked".to_owned(),
        Some(ms) => format!("checked {} s ago", ms / 1_000),
    }
}

/// How a tile's own audits stand. None of them can be better than all of them are known to be.
fn standing(report: &AuditReport, audits: &[&str]) -> (Health, usize) {
    let own: Vec<&Finding> = report
        .audits
        .iter()
        .filter(|finding| audits.contains(&finding.audit.id))
        .collect();
    let violations = own.iter().map(|finding| finding.violations).sum();
    let is_known = own.len() == audits.len() && own.iter().all(|one| one.unknown.is_none());
    let is_fresh = report.is_fresh();
    match (violations, is_known && is_fresh) {
        (0, true) => (Health::Ok, 0),
        (0, false) => (Health::Unknown, 0),
        (n, _) => (Health::Broken, n),
    }
}

fn query(finding: &Finding) -> AnyView {
    let Finding { audit, .. } = finding;
    let (id, invariant, query) = (audit.id, audit.invariant, audit.query);
    // The queries are indented as they stand in the program.
    let lines: Vec<&str> = query.lines().map(str::trim).collect();
    view! {
        <li>
            <p><b>{id}</b> " " {invariant}</p>
            <pre tabindex="0"><code>{lines.join("\n")}</code></pre>
            <p class="evidence" data-evidence=id>{evidence_of(finding)}</p>
        </li>
    }
    .into_any()
}

/// What an audit found, or why it is not known.
fn evidence_of(finding: &Finding) -> String {
    match (&finding.unknown, finding.violations) {
        (Some(why), _) => format!("Not known: {why}"),
        (None, 0) => "0 rows".to_owned(),
        (None, rows) => format!("{rows} rows: {}", finding.evidence.join(", ")),
    }
}

fn tile(report: &AuditReport, tile: &Tile) -> AnyView {
    let (health, violations) = standing(report, tile.audits);
    let shown = match health {
        Health::Unknown => "?".to_owned(),
        Health::Ok | Health::Broken => violations.to_string(),
    };
    let own = report.audits.iter();
    let own = own.filter(|finding| tile.audits.contains(&finding.audit.id));
    let queries: Vec<AnyView> = own.map(query).collect();
    view! {
        <article
            class="tile"
            data-tile=tile.id
            data-audits=tile.audits.join(" ")
            data-health=word(health)
            data-testid=format!("tile-{}", tile.id)
        >
            <p class="tile-number" data-number>{shown}</p>
            <h2 class="tile-name">{tile.name}</h2>
            <p class="tile-age"><span data-word>{word(health)}</span> ", " <span data-age>{age(report)}</span></p>
            <details>
                <summary>"Show me"</summary>
                <ul class="queries" data-queries>{queries}</ul>
            </details>
        </article>
    }
    .into_any()
}

/// The four tiles, and what else is audited.
pub fn tiles(report: &AuditReport) -> AnyView {
    let all: Vec<AnyView> = TILES.iter().map(|one| tile(report, one)).collect();
    let listed: Vec<AnyView> = report.audits.iter().map(query).collect();
    let count = listed.len();
    view! {
        <section class="tiles" aria-label="Invariants" data-tiles>{all}</section>
        <div class="audit-bar">
            <button class="panel-button" type="button" data-audit-now hidden>"Check now"</button>
            <details class="all-audits">
                <summary>{format!("All {count} audits with their queries")}</summary>
                <ul class="queries">{listed}</ul>
            </details>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::audit::AUDITS;

    fn report(unknown: &str, age_ms: u64) -> AuditReport {
        let finding = |audit| Finding {
            audit,
            violations: usize::from(audit.id == "A6") * 3,
            evidence: Vec::new(),
            unknown: (audit.id == unknown).then(|| "why".to_owned()),
        };
        AuditReport {
            health: Health::Broken,
            age_ms: Some(age_ms),
            took_ms: 1,
            violations: 3,
            audits: AUDITS.map(finding).to_vec(),
        }
    }

    #[test]
    fn a_tile_is_green_only_by_what_is_known_of_its_own_audits() {
        let table: [(&[&str], &str, u64, Health); 5] = [
            (&["A6", "A7"], "", 10, Health::Broken),
            (&["A11"], "", 10, Health::Ok),
            (&["A11"], "A11", 10, Health::Unknown),
            (&["A11"], "", 10_000_000, Health::Unknown),
            // Not run at all.
            (&["A19"], "", 10, Health::Unknown),
        ];
        for (audits, unknown, age_ms, health) in table {
            let seen = standing(&report(unknown, age_ms), audits);
            assert_eq!(seen.0, health, "{audits:?} {unknown} {age_ms}");
        }
    }

    #[test]
    fn every_audit_of_a_tile_exists() {
        for tile in &TILES {
            for id in tile.audits {
                let known = AUDITS.iter().any(|audit| audit.id == *id);
                assert!(known || *id == "A19", "{id}");
            }
        }
    }
}
