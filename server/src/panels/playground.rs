//! `/playground`: a stand of one's own, a commit to send and to send again, and a crowd.

use super::number;
use leptos::prelude::*;

/// The page. Without operations it says where a commit can be tried.
pub fn page(is_offered: bool) -> String {
    let rest = if is_offered { stand() } else { elsewhere() };
    view! {
        <div class="panel-page" data-panel="playground">
            <header class="panel-head">
                <h1>"Playground"</h1>
                <p>
                    "One call buys, or says why not. Send it, send it again with the same key, then let a crowd find out what binds."
                </p>
            </header>
            {rest}
        </div>
    }
    .into_any()
    .to_html()
}

fn elsewhere() -> AnyView {
    view! {
        <p class="panel-note" data-testid="no-playground">
            "Stands are set up on the stores of one machine, and this house has others. Its "
            <a href="/docs/api" rel="external">"reference"</a>
            " tries every call, and " <code>"POST /v1/sandbox/commit"</code> " needs no key."
        </p>
    }
    .into_any()
}

fn stand() -> AnyView {
    view! {
        <section class="panel-card" aria-labelledby="stand">
            <h2 id="stand">"1. A stand of your own"</h2>
            <form class="run-form" data-stand data-testid="stand-form">
                {number("agents", "Agents, 1 to 500", (1, 500, 60))}
                {number("stock", "Units at $10, 1 to 400", (1, 400, 40))}
                {number("budget", "Budget in dollars, 1 to 5,000", (1, 5_000, 300))}
                <button class="panel-button strong" disabled data-build>"Set it up"</button>
                <p class="form-problem" role="alert" data-problem></p>
            </form>
            <noscript><p>"The playground needs scripts; curl does not."</p></noscript>
        </section>
        <div class="steps" data-steps hidden>
            <section class="panel-card" aria-labelledby="left">
                <h2 id="left">"What is left"</h2>
                <dl class="figures">
                    <div class="figure"><dd data-left="units" data-testid="left-units">"?"</dd><dt>"units"</dt></div>
                    <div class="figure"><dd data-left="budget" data-testid="left-budget">"?"</dd><dt>"of the budget"</dt></div>
                </dl>
            </section>
            <section class="panel-card" aria-labelledby="commit">
                <h2 id="commit">"2. A commit"</h2>
                <label class="field">
                    <span>"Idempotency-Key"</span>
                    <input class="code" data-key autocomplete="off" spellcheck="false" disabled/>
                </label>
                <label class="field">
                    <span>"Body"</span>
                    <textarea class="code" rows="10" data-body spellcheck="false" disabled></textarea>
                </label>
                <p class="buttons">
                    <button class="panel-button strong" type="button" data-send disabled>"Send it"</button>
                    <button class="panel-button" type="button" data-fresh disabled>"A fresh key"</button>
                </p>
                <div data-answer hidden>
                    <h3>"The answer: " <span data-status role="status" data-testid="answer-status"></span></h3>
                    <pre tabindex="0" data-testid="answer"><code data-reply></code></pre>
                </div>
                <details>
                    <summary>"The same by curl"</summary>
                    <pre tabindex="0"><code data-curl></code></pre>
                    <button class="panel-button" type="button" data-copy>"Copy"</button>
                </details>
            </section>
            <section class="panel-card" aria-labelledby="crowd">
                <h2 id="crowd">"3. A crowd"</h2>
                <p class="panel-note">"Each agent wants one unit and pays by the same mandate."</p>
                <p class="buttons"><button class="panel-button strong" type="button" data-crowd disabled>"Send them"</button></p>
                <p data-binds data-testid="binds" role="status"></p>
                <table class="panel-table"><caption>"What they heard"</caption><tbody data-outcomes></tbody></table>
            </section>
        </div>
    }
    .into_any()
}
