//! `/proof`: pick a race, a crowd and an engine, watch it, and check the rows yourself.

#[cfg(feature = "local")]
use super::number;
use super::tiles::tiles;
use crate::audits::AuditReport;
#[cfg(feature = "local")]
use crate::operations::RunView;
#[cfg(feature = "local")]
use crate::proof::Engine;
use leptos::prelude::*;

/// The runs that are known.
#[cfg(feature = "local")]
pub struct Known {
    /// All, the newest first, without their reports.
    pub listed: Vec<RunView>,
    /// The newest race of our engine, and that of the naive one, with their reports.
    pub versus: [(Engine, Option<RunView>); 2],
}

/// The page. Without runs it says why there are none.
#[cfg(feature = "local")]
pub fn page(report: &AuditReport, runs: Option<Known>) -> String {
    let runs = match runs {
        Some(Known { listed, versus }) => {
            let shown = view! { {races()} {side_by_side(&versus)} {swarm()} {list(&listed)} };
            shown.into_any()
        }
        None => nothing_to_run(),
    };
    draw(report, runs)
}

/// The page of a build for production.
#[cfg(not(feature = "local"))]
pub fn page(report: &AuditReport) -> String {
    draw(report, nothing_to_run())
}

fn draw(report: &AuditReport, rest: AnyView) -> String {
    view! {
        <div class="panel-page" data-panel="proof">
            <header class="panel-head">
                <h1>"Check it yourself"</h1>
                <p>
                    "Nothing here is asked of the replies. Each zero is the count of rows that break a rule, by a query that you can read and run."
                </p>
            </header>
            {tiles(report)}
            {rest}
            {why()}
        </div>
    }
    .into_any()
    .to_html()
}

/// What the database is like, and what the house makes of it.
fn why() -> AnyView {
    view! {
        <section class="panel-card" aria-labelledby="why">
            <h2 id="why">"Why it holds"</h2>
            <dl class="why">
                <dt>"Nobody waits for a lock (40001)"</dt>
                <dd>
                    "Two transactions that want one row both go ahead, and one of them is told at the end that the other was first. It begins anew from what is now there, under the same key, a bounded number of times."
                </dd>
                <dt>"The row that decides is written"</dt>
                <dd>
                    "A snapshot alone would let two transactions each keep a rule that they break together. So each rule has a row, and whoever relies on it writes it: the lot, the wallet, the bucket, the mandate."
                </dd>
                <dt>"Hot rows are split"</dt>
                <dd>
                    "A stock lies in up to 64 buckets, a budget in several. Nobody is refused before all of them were looked at in one snapshot."
                </dd>
                <dt>"Indexes come later"</dt>
                <dd>
                    "They are built while the house runs, and a node says that it is ready only when all of them are valid. A table is made by a transaction of its own."
                </dd>
                <dt>"References are checked twice"</dt>
                <dd>"In the transaction that writes, and by an audit over all rows, foreign keys or not."</dd>
            </dl>
        </section>
    }
    .into_any()
}

fn nothing_to_run() -> AnyView {
    view! {
        <p class="panel-note" data-testid="no-runs">
            "Races are run on the stores of one machine, where they harm nobody. This house has others; "
            <code>"lotzero prove --yes-really"</code> " runs them there all the same."
        </p>
    }
    .into_any()
}

/// What the command line offers, as options of a form.
#[cfg(feature = "local")]
fn options<T: clap::ValueEnum>() -> Vec<AnyView> {
    let option = |choice: &T| {
        let value = choice.to_possible_value()?;
        let help = value
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let name = value.get_name().to_owned();
        let words = format!("{}: {help}", name.replace('_', " "));
        Some(view! { <option value=name>{words}</option> }.into_any())
    };
    T::value_variants().iter().filter_map(option).collect()
}

/// Our engine beside one that reads and then writes.
#[cfg(feature = "local")]
fn side_by_side(versus: &[(Engine, Option<RunView>)]) -> AnyView {
    let sides: Vec<AnyView> = versus
        .iter()
        .map(|(engine, run)| side(*engine, run.as_ref()))
        .collect();
    view! {
        <section class="panel-card" aria-labelledby="versus" data-versus data-testid="versus">
            <h2 id="versus">"Ours, and one that is wrong on purpose"</h2>
            <p class="panel-note">
                "The same 200 buyers rush the same 20 units. The naive engine looks how many are left and then writes, as most shops do. A proof that could not see the difference would prove nothing."
            </p>
            <div class="versus">{sides}</div>
            <p class="buttons"><button class="panel-button strong" type="button" disabled data-both>"Run both"</button></p>
            <p class="form-problem" role="alert" data-problem></p>
        </section>
    }
    .into_any()
}

#[cfg(feature = "local")]
fn side(engine: Engine, run: Option<&RunView>) -> AnyView {
    let (name, word) = match engine {
        Engine::House => ("Ours", "house"),
        Engine::Naive => ("Naive", "naive"),
    };
    let scenario = run.and_then(|run| run.report.as_ref());
    let scenario = scenario.map(|report| &report["scenarios"][0]);
    let over = scenario.map(|it| it["figures"]["units sold twice"].as_u64().unwrap_or(0));
    let said = scenario.zip(over).map(|(it, over)| {
        let there = it["expected"].as_u64().unwrap_or(0);
        format!("{} sold of {there}.", there + over)
    });
    let place = run.map(|run| format!("/proof/runs/{}", run.id));
    let hidden = place.is_none();
    view! {
        <article class="side" data-side=word data-state=run.map(|run| run.state.word()) data-testid=format!("side-{word}")>
            <h3>{name}</h3>
            <p class="tile-number" data-over>{over.map_or_else(|| "?".to_owned(), |over| over.to_string())}</p>
            <p>"sold that were not there"</p>
            <p class="panel-note"><span data-said role="status">{said.unwrap_or_else(|| "Not run yet.".to_owned())}</span></p>
            <p><a data-link href=place hidden=hidden rel="external">"The run"</a></p>
        </article>
    }
    .into_any()
}

/// The form of a race.
#[cfg(feature = "local")]
fn races() -> AnyView {
    use crate::proof::{Name, RaceFault};
    let (choices, faults) = (options::<Name>(), options::<RaceFault>());
    view! {
        <section class="panel-card" aria-labelledby="race">
            <h2 id="race">"Run a race"</h2>
            <form class="run-form" data-run="scenario" data-testid="race-form">
                <div class="field wide">
                    <label for="race-name">"What is raced for"</label>
                    <select id="race-name" name="name">{choices}</select>
                </div>
                {number("buyers", "Buyers, 10 to 200", (10, 200, 200))}
                {number("units", "Units, 1 to 20", (1, 20, 20))}
                {number("attempts", "Attempts with one purchase's money", (2, 200, 150))}
                <div class="field">
                    <label for="race-engine">"Engine"</label>
                    <select id="race-engine" name="engine">
                        <option value="house">"ours"</option>
                        <option value="naive">"naive: reads, then writes"</option>
                    </select>
                </div>
                <div class="field">
                    <label for="race-fault">"What goes wrong meanwhile"</label>
                    <select id="race-fault" name="fault"><option value="">"nothing"</option>{faults}</select>
                </div>
                <label class="field">
                    <span>"Seed, to repeat a run"</span>
                    <input name="seed" inputmode="numeric" pattern="[0-9]{1,20}" placeholder="drawn"/>
                </label>
                <button class="panel-button strong" disabled data-start>"Run it"</button>
                <button class="panel-button" type="reset">"Reset"</button>
                <p class="form-problem" role="alert" data-problem></p>
            </form>
            <noscript><p>"Starting a run needs scripts; what is shown here does not."</p></noscript>
        </section>
    }
    .into_any()
}

/// The form of a swarm.
#[cfg(feature = "local")]
pub fn swarm() -> AnyView {
    view! {
        <section class="panel-card" aria-labelledby="swarm">
            <h2 id="swarm">"Unleash a swarm"</h2>
            <form class="run-form" data-run="swarm" data-testid="swarm-form">
                {number("agents", "Agents, each by HTTP", (1, 5_000_000, 10_000))}
                {number("stock", "Units, 1 to 400", (1, 400, 100))}
                <label class="field">
                    <span>"Requests a second"</span>
                    <input type="number" name="per_second" min="1" max="100000" placeholder="as fast as answered"/>
                </label>
                <label class="field check">
                    <input type="checkbox" name="lose_region"/>
                    <span>"Lose a Region half-way"</span>
                </label>
                <button class="panel-button strong" disabled data-start>"Unleash it"</button>
                <p class="form-problem" role="alert" data-problem></p>
            </form>
        </section>
    }
    .into_any()
}

#[cfg(feature = "local")]
fn list(runs: &[RunView]) -> AnyView {
    let lines: Vec<AnyView> = runs
        .iter()
        .map(|run| {
            let place = format!("/proof/runs/{}", run.id);
            view! {
                <tr>
                    <td><a href=place rel="external">{run.wish.title()}</a></td>
                    <td><span class="state" data-state=run.state.word()>{run.state.word()}</span></td>
                    <td class="number">{format!("{:.1} s", ms_as_s(run.elapsed_ms))}</td>
                </tr>
            }
            .into_any()
        })
        .collect();
    let empty = lines.is_empty();
    view! {
        <section class="panel-card" aria-labelledby="runs">
            <h2 id="runs">"Runs of this house"</h2>
            {empty.then(|| view! { <p data-testid="no-run-yet">"None yet. Start one above; its page stays."</p> })}
            {(!empty).then(|| view! {
                <table class="panel-table">
                    <thead><tr><th scope="col">"Run"</th><th scope="col">"State"</th><th scope="col" class="number">"Took"</th></tr></thead>
                    <tbody>{lines}</tbody>
                </table>
            })}
        </section>
    }
    .into_any()
}

/// Seconds for a table.
#[cfg(feature = "local")]
pub fn ms_as_s(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
