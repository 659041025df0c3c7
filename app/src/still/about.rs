//! How it works, short and honest.

use crate::acting::Acting;
use crate::erase::Erase;
use leptos::prelude::*;

/// How it works.
pub fn about(acting: &Acting) -> String {
    view! {
        <article class="prose">
            <h1>"How it works"</h1>
            <p class="lead">
                "People all over the world bid on the same thing in the same second. Exactly one of them gets it, nobody pays twice, and the numbers add up afterwards."
            </p>
            <h2>"Three ways to sell"</h2>
            <dl>
                <dt>"Rising bids"</dt>
                <dd>
                    "Each bid tops the last by a stated raise. The leader's money is held, and free again in the very commit that outbids them. A late bid moves the end a little, up to a hard end."
                </dd>
                <dt>"Falling price"</dt>
                <dd>
                    "The price falls by a schedule everybody can see. The first claim takes the lot. A claim names the price you saw, so a slow connection can only make it cheaper, or fail."
                </dd>
                <dt>"Fixed price, few units"</dt>
                <dd>"First come, first served, and never one unit more than there are."</dd>
            </dl>
            <h2>"Whose clock"</h2>
            <p>
                "The database's, at the moment of the commit. The countdown you see is an estimate of that clock, set right a few times a minute. Your own clock decides nothing."
            </p>
            <h2>"What happens to your money"</h2>
            <p>
                "It is demo money, kept like real money: in whole cents, in a ledger whose every transfer sums to zero. "
                <a href=acting.link("/wallet")>"Your wallet"</a> " shows each line."
            </p>
            <h2>"Why you see it at once"</h2>
            <p>
                "Bids and claims are ordinary forms; the answer comes after the commit, never before. Everybody else hears of it over a socket, each event once and in order. If the socket breaks, the page says so, turns the money buttons off, and catches up when it is back."
            </p>
            <h2>"Questions"</h2>
            <dl>
                <dt>"Can I be charged twice?"</dt>
                <dd>
                    "No. Each form carries a key, and a key acts once: pressing again, or a page that lost its answer, gets the first answer."
                </dd>
                <dt>"Two of us bid the same. Who leads?"</dt>
                <dd>"Whoever was committed first. The other hears the next valid bid."</dd>
                <dt>"When is my money free again?"</dt>
                <dd>"In the commit that outbids you, or in the one that closes the lot without you."</dd>
            </dl>
            <h2>"How do you know?"</h2>
            <p>
                "Do not believe it: " <a href=acting.link("/proof") rel="external">"check it"</a>
                ". Pick a race, a crowd and a fault, watch it run, and read the rows with queries of your own. "
                <a href=acting.link("/playground") rel="external">"The playground"</a> " lets you send a purchase, and send it again. "
                <a href=acting.link("/mission-control") rel="external">"Mission Control"</a> " shows the house at work, and takes a Region away."
            </p>
            <h2>"What it runs on"</h2>
            <p>
                "Money and scarcity live in Aurora DSQL, where every rule is decided by a row that the transaction writes. Chat, presence and the event log live in DynamoDB. On one machine a private PostgreSQL and an embedded DynamoDB stand in for them."
            </p>
            <h2>"What is not real"</h2>
            <p>
                "The money, the lots, and everybody labelled “simulated”: programs that bid by the same rules as you."
            </p>
        </article>
    }
    .erase()
    .to_html()
}
