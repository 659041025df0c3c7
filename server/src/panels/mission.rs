//! `/mission-control`: the house at a glance, and the switches of an operator.

use super::map::map;
use super::proof;
use super::tiles::tiles;
use crate::audits::AuditReport;
use crate::ledger::transaction::MAX_BUCKETS;
use crate::operations::Operations;
use leptos::prelude::*;
use shared::Region;

/// The page.
pub fn page(report: &AuditReport, operations: &Operations) -> String {
    let gates = operations.gates.as_ref();
    let regions: Vec<Region> = gates.iter().flat_map(|it| it.regions()).collect();
    let running = operations.runs.running();
    view! {
        <div class="panel-page" data-panel="mission">
            <header class="panel-head">
                <h1>"Mission Control"</h1>
                <p data-testid="database" data-vital="database">"Waiting for the first look at the house."</p>
                <p class="freshness">
                    <span class="state" data-freshness="waiting" data-testid="freshness" role="status">"waiting"</span>
                    <button class="panel-button" type="button" data-pause hidden>"Pause"</button>
                </p>
            </header>
            {tiles(report)}
            <section class="panel-card" aria-labelledby="now">
                <h2 id="now">"Now"</h2>
                <dl class="figures">
                    {vital("committed", "commits a second")}
                    {vital("retries", "retries a second")}
                    {vital("p99", "p99 of a command, ms")}
                    {vital("unknown", "COMMITs unknown so far")}
                    {vital("sockets", "sockets")}
                    {vital("waiting", "events to publish")}
                    {vital("oldest", "age of the oldest, ms")}
                </dl>
                <svg class="chart" data-chart="throughput" viewBox="0 0 720 160" role="img" aria-label="Commits and retries a second, with marks for what was done"></svg>
                <svg class="chart" data-chart="latency" viewBox="0 0 720 160" role="img" aria-label="How long commands take, with the same marks"></svg>
                <p class="panel-note" data-vital="stream"></p>
            </section>
            {regions_card(&regions)}
            <p data-run-link>
                {running.map(|id| view! { <a href=format!("/proof/runs/{id}") rel="external">"A run goes on"</a> })}
            </p>
            {proof::swarm()}
            <div class="panel-pair">
                {heat()}
                <section class="panel-card" aria-labelledby="tail">
                    <h2 id="tail">"Ledger tail"</h2>
                    <ol class="ledger-tail" data-tail data-testid="tail" tabindex="0"></ol>
                </section>
            </div>
            <section class="panel-card" aria-labelledby="log">
                <h2 id="log">"What was done"</h2>
                <ol class="event-log" data-log></ol>
            </section>
        </div>
    }
    .into_any()
    .to_html()
}

fn vital(name: &'static str, label: &'static str) -> AnyView {
    view! { <div class="figure"><dd data-vital=name>"?"</dd><dt>{label}</dt></div> }.into_any()
}

fn lamp(region: Region) -> AnyView {
    let code = region.code();
    view! {
        <li class="lamp" data-region=code data-open="unknown" data-testid=format!("region-{code}")>
            <h3>{region.city()}</h3>
            <p><span data-lamp>"unknown"</span> ", " <span data-detail>"not seen yet"</span></p>
            <div class="lamp-switches">
                <label class="field">
                    <span>"Fault"</span>
                    <select data-fault>
                        <option value="closed">"closed: nobody is there"</option>
                        <option value="hung">"hung: no answer"</option>
                        <option value="mute">"mute: done, but not told"</option>
                    </select>
                </label>
                <button class="panel-button" type="button" data-arm disabled>"Arm"</button>
                <button class="panel-button danger" type="button" data-confirm hidden>"Confirm"</button>
                <button class="panel-button" type="button" data-restore disabled>"Restore"</button>
            </div>
            <p class="form-problem" role="alert" data-problem></p>
        </li>
    }
    .into_any()
}

/// A cell for each bucket that stock is split into.
fn heat() -> AnyView {
    let cells: Vec<AnyView> = (0..MAX_BUCKETS)
        .map(|bucket| view! { <li data-bucket>{bucket}</li> }.into_any())
        .collect();
    view! {
        <section class="panel-card" aria-labelledby="heat">
            <h2 id="heat">"Where races are lost"</h2>
            <ol class="heat" start="0" aria-label="The buckets of stock">{cells}</ol>
            <p class="panel-note" data-heat-words data-testid="heat-words"></p>
        </section>
    }
    .into_any()
}

fn regions_card(regions: &[Region]) -> AnyView {
    if regions.is_empty() {
        return view! {
            <p class="panel-note" data-testid="no-gates">
                "This node goes straight to its database. Started with " <code>"--regional-gates"</code>
                ", it shows its Regions here, and they can be taken away."
            </p>
        }
        .into_any();
    }
    view! {
        <section class="panel-card" aria-labelledby="regions">
            <h2 id="regions">"Regions"</h2>
            {map(regions)}
            <ul class="lamps">{regions.iter().copied().map(lamp).collect::<Vec<_>>()}</ul>
            <p>
                <button class="panel-button" type="button" data-probe disabled>"Write in the first, read in the second"</button>
                " " <span data-probed role="status"></span>
            </p>
        </section>
    }
    .into_any()
}
