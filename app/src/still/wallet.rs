//! The lists of a wallet: what is held, and every line of the statement.

use crate::acting::Acting;
use crate::components::Amount;
use crate::erase::{Erase, Plain};
use crate::words;
use leptos::prelude::*;
use shared::LotId;
use shared::ledger::{AccountKind, TransferKind};
use shared::view::{HoldView, StatementLine};

/// What is held for leading bids, with the part's heading.
pub fn holds(holds: Vec<HoldView>, acting: &Acting) -> String {
    let is_empty = holds.is_empty();
    let lines: Vec<_> = holds.into_iter().map(|hold| held(hold, acting)).collect();
    view! {
        <h2 id="holds-name">"Held for your leading bids"</h2>
        {is_empty.then(|| view! { <p class="empty">"Nothing is held."</p> }.erase())}
        <ul class="holds">{lines}</ul>
    }
    .erase()
    .to_html()
}

fn held(hold: HoldView, acting: &Acting) -> Plain {
    let lot = lot_link(hold.lot, hold.title, acting);
    view! {
        <li data-testid="hold-row">
            {lot}
            <Amount amount=hold.amount/>
        </li>
    }
    .erase()
}

fn lot_link(lot: LotId, title: String, acting: &Acting) -> Plain {
    view! {
        <a href=acting.link(&format!("/lots/{lot}")) dir="auto">
            {title}
        </a>
    }
    .erase()
}

/// The statement, with the part's heading.
pub fn statement(lines: Vec<StatementLine>, acting: &Acting) -> String {
    let is_empty = lines.is_empty();
    let lines: Vec<_> = lines.into_iter().map(|line| row(line, acting)).collect();
    view! {
        <h2 id="statement-name">"Statement"</h2>
        {is_empty
            .then(|| view! { <p class="empty">"No lines yet. Top up to begin."</p> }.erase())}
        <div class="scrolls" tabindex="0" role="group" aria-label="Statement lines">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"When (UTC)"</th>
                        <th scope="col">"What"</th>
                        <th scope="col">"Lot"</th>
                        <th scope="col">"Account"</th>
                        <th scope="col" class="number">
                            "Amount"
                        </th>
                    </tr>
                </thead>
                <tbody>{lines}</tbody>
            </table>
        </div>
    }
    .erase()
    .to_html()
}

const fn what(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::TopUp => "Top-up",
        TransferKind::Hold => "Held for a bid",
        TransferKind::Void => "Freed",
        TransferKind::Capture => "Paid from hold",
        TransferKind::Purchase => "Bought",
        TransferKind::Fund => "To an agent",
        TransferKind::Return => "From an agent",
        TransferKind::Refund => "Refund",
    }
}

const fn account(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Funding => "Outside",
        AccountKind::Available => "Available",
        AccountKind::Held => "Held",
        AccountKind::Payable => "Proceeds",
        AccountKind::Budget => "Mandate",
    }
}

fn row(line: StatementLine, acting: &Acting) -> Plain {
    let lot = line.lot.map(|lot| {
        let title = line.title.unwrap_or_else(|| lot.to_string());
        lot_link(lot, title, acting)
    });
    let (at, iso) = (words::day_and_clock(line.at), words::iso(line.at));
    let sign = if line.amount.minor() < 0 { "out" } else { "in" };
    view! {
        <tr data-testid="statement-row" data-kind=line.kind.word()>
            <td>
                <time datetime=iso>{at}</time>
            </td>
            <td>{what(line.kind)}</td>
            <td>{lot}</td>
            <td>{account(line.account)}</td>
            <td class="number" data-sign=sign>
                <Amount amount=line.amount/>
            </td>
        </tr>
    }
    .erase()
}
