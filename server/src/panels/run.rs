//! `/proof/runs/{id}`: one run, while it goes on and for ever after.

use super::grouped;
use super::proof::ms_as_s;
use crate::operations::{RunState, RunView};
use leptos::prelude::*;
use serde_json::{Map, Value};
use shared::Timestamp;

/// The page.
pub fn page(run: &RunView) -> String {
    let goes_on = run.state == RunState::Running;
    let rest = match (&run.report, &run.problem) {
        (Some(report), _) => report_of(run, report),
        (None, Some(problem)) => {
            view! { <p class="panel-note" role="alert">{problem.clone()}</p> }.into_any()
        }
        (None, None) => progress(run),
    };
    view! {
        <div
            class="panel-page"
            data-panel="run"
            data-id=run.id.clone()
            data-state=run.state.word()
            data-testid="run"
        >
            <header class="panel-head">
                <p><a href="/proof" rel="external">"Proof"</a></p>
                <h1>{run.wish.title()}</h1>
                <p>
                    <span class="state" data-state=run.state.word() data-testid="run-state">{run.state.word()}</span>
                    " " {run.state.sentence()} " "
                    {(!goes_on).then(|| format!("It took {:.1} s.", ms_as_s(run.elapsed_ms)))}
                </p>
            </header>
            {rest}
        </div>
    }
    .into_any()
    .to_html()
}

/// What is shown while it goes on: the script keeps it up to date.
fn progress(run: &RunView) -> AnyView {
    let standing = run.standing.clone().unwrap_or_default();
    let figure = |name: &'static str, label: &'static str, value: u64| {
        view! { <div class="figure"><dd data-figure=name>{grouped(value)}</dd><dt>{label}</dt></div> }
            .into_any()
    };
    let figures = [
        figure("sent", "offered", standing.sent),
        figure("committed", "committed", standing.committed),
        figure(
            "refused",
            "refused",
            standing.decided() - standing.committed,
        ),
        figure("undecided", "sent again", standing.undecided),
        figure("rate", "answers a second", 0),
    ];
    view! {
        <section class="panel-card" aria-label="Progress">
            <progress max=standing.agents.max(1) value=standing.decided() data-progress>
                "under way"
            </progress>
            <p class="panel-note" data-words role="status"></p>
            <dl class="figures">{Vec::from(figures)}</dl>
            <svg class="chart" data-chart viewBox="0 0 720 180" role="img" aria-label="Answers a second"></svg>
            <button class="panel-button" type="button" data-stop hidden>"Stop it"</button>
        </section>
    }
    .into_any()
}

fn report_of(run: &RunView, report: &Value) -> AnyView {
    let id = run.id.as_str();
    let scenarios = report["scenarios"].as_array().cloned().unwrap_or_default();
    let shown: Vec<AnyView> = scenarios.iter().map(|one| scenario(id, one)).collect();
    let audits = report["audits"].as_array().cloned().unwrap_or_default();
    let broken: Vec<String> = audits
        .iter()
        .filter(|audit| audit["violations"] != 0)
        .filter_map(|audit| {
            Some(format!(
                "{}: {}",
                audit["id"].as_str()?,
                audit["invariant"].as_str()?
            ))
        })
        .collect();
    let said = if broken.is_empty() {
        format!("{} audits over all rows afterwards: 0 rows.", audits.len())
    } else {
        format!("Broken: {}", broken.join("; "))
    };
    let queries: Vec<AnyView> = audits.iter().map(query).collect();
    let count = audits.len();
    let download = format!("/api/proof/runs/{id}");
    let place = format!(
        "Begun at {} UTC, on {} processors of one machine: requests, nodes and the private PostgreSQL share them.",
        utc(run.begun),
        text(&report["cores"]),
    );
    let seed = report["settings"]["seed"].to_string();
    // A run that was kept by an earlier version has none.
    let exit_code = report["exit_code"]
        .as_u64()
        .map_or("unknown".to_owned(), |code| code.to_string());
    view! {
        {shown}
        <section class="panel-card" aria-labelledby="after">
            <h2 id="after">"Afterwards"</h2>
            <p data-testid="audited">{said}</p>
            <details>
                <summary>{format!("The {count} audits with their queries")}</summary>
                <ul class="queries">{queries}</ul>
            </details>
            <p class="panel-note">{place}</p>
            <p>"Seed " <code data-testid="seed">{seed}</code> ", exit code "
                <code data-testid="exit-code">{exit_code}</code> ", " <a href=download download=format!("run-{id}.json") rel="external">"the report as JSON"</a></p>
        </section>
    }
    .into_any()
}

/// An audit of a report, with its query as it ran.
fn query(audit: &Value) -> AnyView {
    let word = |key: &str| audit[key].as_str().unwrap_or_default().to_owned();
    let query = word("query");
    let lines: Vec<&str> = query.lines().map(str::trim).collect();
    let rows = audit["violations"].as_u64().unwrap_or_default();
    view! {
        <li>
            <p><b>{word("id")}</b> " " {word("invariant")} ": " {format!("{rows} rows")}</p>
            <pre tabindex="0"><code>{lines.join("\n")}</code></pre>
        </li>
    }
    .into_any()
}

/// A day and time as people write them, such as 2026-11-27 09:05:00.
fn utc(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000);
    let at = time::OffsetDateTime::from_unix_timestamp(seconds);
    let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = time.as_hms();
    format!("{date} {hour:02}:{minute:02}:{second:02}")
}

fn text(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Milliseconds to a tenth.
fn tenths(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "?".to_owned(), |ms| format!("{ms:.1}"))
}

/// The counts of an object by name, those whose names are numbers in their order.
fn pairs_of(counts: &Map<String, Value>) -> Vec<(String, u64)> {
    let pairs = counts.iter();
    let mut pairs: Vec<_> = pairs
        .map(|(name, count)| (name.replace('_', " "), count.as_u64().unwrap_or_default()))
        .collect();
    pairs.sort_by_key(|(name, _)| name.parse::<u64>().unwrap_or(u64::MAX));
    pairs
}

/// The steps of a latency's histogram, by the time that they end at.
fn steps(histogram: &Value) -> Vec<(String, u64)> {
    let steps = histogram.as_array().into_iter().flatten();
    steps
        .map(|step| {
            let name = match step["up_to_ms"].as_u64() {
                Some(ms) => format!("up to {} ms", grouped(ms)),
                None => "longer".to_owned(),
            };
            (name, step["requests"].as_u64().unwrap_or_default())
        })
        .collect()
}

/// Bars for a histogram, as a table: a picture that is also read aloud.
fn histogram(title: &'static str, counts: &[(String, u64)]) -> Option<AnyView> {
    let most = counts.iter().map(|(_, count)| *count).max()?;
    let lines: Vec<AnyView> = counts
        .iter()
        .map(|(name, count)| {
            let count = *count;
            view! {
                <tr>
                    <th scope="row">{name.clone()}</th>
                    <td class="number">{grouped(count)}</td>
                    <td class="bar"><meter min="0" max=most value=count></meter></td>
                </tr>
            }
            .into_any()
        })
        .collect();
    let shown = view! {
        <table class="panel-table"><caption>{title}</caption><tbody>{lines}</tbody></table>
    };
    Some(shown.into_any())
}

fn scenario(id: &str, one: &Value) -> AnyView {
    let name = text(&one["name"]);
    let figure = |key: &'static str, label: &'static str| {
        view! {
            <div class="figure">
                <dd data-testid=format!("figure-{key}")>{text(&one[key])}</dd>
                <dt>{label}</dt>
            </div>
        }
        .into_any()
    };
    let figures = [
        figure("offered", "offered"),
        figure("committed", "committed"),
        figure("expected", "expected"),
        figure("refused", "refused"),
        figure("false_declines", "declined falsely"),
        figure("violations", "violations"),
        figure("conflicts", "lost races"),
        figure("retries", "retries"),
    ];
    let latency = &one["latency_ms"];
    let object = |key: &str| one[key].as_object().cloned().unwrap_or_default();
    let steps = steps(&latency["histogram"]);
    let pairs = |key: &str| pairs_of(&object(key));
    let histograms: Vec<AnyView> = [
        histogram("How long requests took", &steps),
        histogram("Refused, by reason", &pairs("refusals")),
        histogram("Retried, by cause", &pairs("retries_by_cause")),
        histogram("Tries until it was decided", &pairs("tries")),
        histogram("Faults that took effect", &pairs("took_effect")),
        histogram("Measured", &pairs("figures")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let findings: Vec<AnyView> = one["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|finding| view! { <li>{text(finding)}</li> }.into_any())
        .collect();
    let checks: Vec<AnyView> = object("checks")
        .iter()
        .map(|(checker, verdict)| {
            let word = text(&verdict["verdict"]);
            let state = word.clone();
            let ops = &verdict["ops"];
            let said = if ops.is_u64() {
                format!("nothing wrong in {} operations", text(ops))
            } else {
                word.clone()
            };
            view! {
                <tr>
                    <th scope="row">{checker.clone()}</th>
                    <td><span class="state" data-state=state>{word}</span></td>
                    <td>{said}</td>
                </tr>
            }
            .into_any()
        })
        .collect();
    let history = format!("/api/proof/runs/{id}/histories/{name}");
    let read = history.clone();
    view! {
        <section class="panel-card" data-scenario=name.clone() data-history=read>
            <h2>{name.replace('_', " ")}</h2>
            <dl class="figures">{Vec::from(figures)}</dl>
            <p class="panel-note">
                {format!(
                    "{} ms from the first request to the last answer. A request took {} ms in the middle; {}, {} and {} ms for one in 20, 100 and 1,000.",
                    text(&one["elapsed_ms"]), tenths(&latency["p50"]), tenths(&latency["p95"]), tenths(&latency["p99"]), tenths(&latency["p999"]),
                )}
            </p>
            {(!findings.is_empty()).then(|| view! { <ul class="findings" data-testid="findings">{findings}</ul> })}
            <div class="attempts" data-attempts></div>
            <div class="histograms">{histograms}</div>
            <table class="panel-table">
                <caption>"What the checkers say of the history"</caption>
                <tbody>{checks}</tbody>
            </table>
            <p><a href=history rel="external" download=format!("{name}.jsonl")>"The history, as JSON lines"</a></p>
        </section>
    }
    .into_any()
}
