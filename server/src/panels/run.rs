//! `/proof/runs/{id}`: one run, while it goes on and for ever after.

use super::grouped;
use super::proof::ms_as_s;
use crate::operations::{RunState, RunView};
use leptos::prelude::*;
use serde_json::{Map, Value};

/// The page.
pub fn page(run: &RunView) -> String {
    let goes_on = run.state == RunState::Running;
    let rest = match (&run.report, &run.problem) {
        (Some(report), _) => report_of(&run.id, report),
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

fn report_of(id: &str, report: &Value) -> AnyView {
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
    let download = format!("/api/proof/runs/{id}");
    let seed = report["settings"]["seed"].to_string();
    view! {
        {shown}
        <section class="panel-card" aria-labelledby="after">
            <h2 id="after">"Afterwards"</h2>
            <p>{said}</p>
            <p>"Seed " <code data-testid="seed">{seed}</code> ", " <a href=download download=format!("run-{id}.json") rel="external">"the report as JSON"</a></p>
        </section>
    }
    .into_any()
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

/// Bars for a histogram, as a table: a picture that is also read aloud.
fn histogram(title: &'static str, counts: &Map<String, Value>) -> Option<AnyView> {
    let most = counts.values().filter_map(Value::as_u64).max()?;
    let lines: Vec<AnyView> = counts
        .iter()
        .map(|(name, count)| {
            let count = count.as_u64().unwrap_or_default();
            view! {
                <tr>
                    <th scope="row">{name.replace('_', " ")}</th>
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
    let histograms: Vec<AnyView> = [
        histogram("Refused, by reason", &object("refusals")),
        histogram("Retried, by cause", &object("retries_by_cause")),
        histogram("Tries until it was decided", &object("tries")),
        histogram("Faults that took effect", &object("took_effect")),
        histogram("Measured", &object("figures")),
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
                    "{} ms from the first request to the last answer; a request took {} ms in the middle, {} ms for one in a hundred.",
                    text(&one["elapsed_ms"]), tenths(&latency["p50"]), tenths(&latency["p99"]),
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
