//! Every error of the API: its code, its status, and the words of its page. A code never changes
//! its meaning; new ones may come.

use http::StatusCode;

/// One kind of error.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code, which programs test.
    pub code: &'static str,
    /// The status it is sent with.
    pub status: StatusCode,
    /// The title.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Whether the same request, with the same key, may succeed later.
    pub may_be_repeated: bool,
}

const fn entry_of(
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> Entry {
    Entry {
        code,
        status,
        title,
        meaning,
        remedy,
        may_be_repeated: false,
    }
}

const fn passing(mut entry: Entry) -> Entry {
    entry.may_be_repeated = true;
    entry
}

/// Every error.
pub const ENTRIES: &[Entry] = &[
    entry_of(
        "malformed",
        StatusCode::BAD_REQUEST,
        "The request cannot be read",
        "The body is no JSON object, or something in it occurs twice or goes on after its end; or an id is not written as ids are, in the path, the query or the body.",
        "Send one JSON object, in UTF-8 without a byte order mark, and ids as they were given out.",
    ),
    entry_of(
        "idempotency_key_missing",
        StatusCode::BAD_REQUEST,
        "The Idempotency-Key header is missing",
        "Every call that changes something needs a key, so that it can be repeated safely.",
        "Send an Idempotency-Key header with a value of your own for each intended effect, such as a UUID.",
    ),
    entry_of(
        "idempotency_key_invalid",
        StatusCode::BAD_REQUEST,
        "The Idempotency-Key header cannot be used",
        "A key has 1 to 255 printable ASCII characters and occurs once.",
        "Send a shorter key, such as a UUID.",
    ),
    entry_of(
        "unauthorized",
        StatusCode::UNAUTHORIZED,
        "No valid API key",
        "The Authorization header is missing, or its key is unknown or was revoked.",
        "Send Authorization: Bearer lz_test_… with a key that is in use.",
    ),
    entry_of(
        "test_key_only",
        StatusCode::FORBIDDEN,
        "Only test keys may do this",
        "Test money can be had for the asking; real money cannot.",
        "Use a key that begins with lz_test_.",
    ),
    entry_of(
        "merchant_not_allowed",
        StatusCode::FORBIDDEN,
        "The mandate does not allow this merchant",
        "The mandate names the merchants it is for, and this one is not among them. Sellers of lots never are.",
        "Use another mandate.",
    ),
    entry_of(
        "own_lot",
        StatusCode::FORBIDDEN,
        "It is your own lot",
        "Sellers cannot buy their own lots, nor can their agents.",
        "Look for another lot.",
    ),
    entry_of(
        "mandate_expired",
        StatusCode::FORBIDDEN,
        "The mandate has expired",
        "The mandate's time is over. What is left of it comes back when it is revoked.",
        "Use another mandate.",
    ),
    entry_of(
        "mandate_revoked",
        StatusCode::FORBIDDEN,
        "The mandate was revoked",
        "The mandate was taken back, and what was left of it went back to the wallet.",
        "Use another mandate.",
    ),
    entry_of(
        "mandate_exhausted",
        StatusCode::PAYMENT_REQUIRED,
        "The mandate has too little left",
        "The purchase costs more than what is left of the mandate, over all of its parts.",
        "Buy less, or use another mandate.",
    ),
    entry_of(
        "over_purchase_cap",
        StatusCode::PAYMENT_REQUIRED,
        "The purchase is larger than the mandate allows",
        "The mandate limits what one purchase may cost.",
        "Buy less at once, or use another mandate.",
    ),
    entry_of(
        "insufficient",
        StatusCode::PAYMENT_REQUIRED,
        "The money does not suffice",
        "A mandate's money is taken out of the wallet when the mandate is given.",
        "Top up the wallet, or give a smaller mandate.",
    ),
    entry_of(
        "not_found",
        StatusCode::NOT_FOUND,
        "There is no such thing",
        "The id names nothing, or something of another tenant: the two are not told apart.",
        "Check the id, and that it belongs to the key's tenant.",
    ),
    entry_of(
        "ended",
        StatusCode::GONE,
        "Bidding is over",
        "The lot takes no more bids or claims: its time is over, or it was sold.",
        "Look for another lot.",
    ),
    entry_of(
        "method_not_allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The method does not fit the path",
        "The path exists, but not for this method.",
        "See the reference for the methods of each path.",
    ),
    entry_of(
        "too_slow",
        StatusCode::REQUEST_TIMEOUT,
        "The request took too long to arrive",
        "The body did not come in within the time that a request has.",
        "Send the request again, with the same key.",
    ),
    entry_of(
        "sold_out",
        StatusCode::CONFLICT,
        "Too few units are left",
        "Fewer units are left, over all of the item's parts, than were asked for.",
        "Ask for fewer, or later with another key.",
    ),
    entry_of(
        "price_moved",
        StatusCode::CONFLICT,
        "A unit costs more than agreed",
        "The item's price is above max_price_minor.",
        "Decide whether the price is acceptable, and ask again with another key.",
    ),
    entry_of(
        "not_live",
        StatusCode::CONFLICT,
        "Bidding has not begun",
        "The lot takes bids or claims from the time that is named.",
        "Ask again then, with another key.",
    ),
    entry_of(
        "too_low",
        StatusCode::CONFLICT,
        "The bid is too low",
        "A bid must exceed the leading one by the lot's increment.",
        "Bid at least what is named, with another key.",
    ),
    entry_of(
        "limit_reached",
        StatusCode::CONFLICT,
        "The buyer has as many units as one may have",
        "The lot limits how many units one buyer may have, over all of their agents.",
        "Claim fewer.",
    ),
    entry_of(
        "duplicate_suspected",
        StatusCode::CONFLICT,
        "The same purchase was made moments ago",
        "The same agent bought the same number of the same item with the same mandate less than ten minutes ago, under another key. The first purchase is named.",
        "If a second one is meant, set allow_repeat and use another key.",
    ),
    passing(entry_of(
        "in_progress",
        StatusCode::CONFLICT,
        "The same key is being worked on",
        "A request with this key has not been decided yet.",
        "Repeat the request after Retry-After: it will answer what the first one decided.",
    )),
    entry_of(
        "not_committed",
        StatusCode::CONFLICT,
        "The purchase was refused",
        "Only a purchase that was made can be paid back.",
        "Check the purchase's outcome.",
    ),
    entry_of(
        "refund_too_large",
        StatusCode::CONFLICT,
        "More than can be paid back",
        "Refunds of a purchase cannot exceed what it cost.",
        "Pay back what is left, which is named.",
    ),
    entry_of(
        "too_many_units",
        StatusCode::CONFLICT,
        "More units than can go back",
        "Units that go back into stock cannot exceed those that were bought.",
        "Return what is left, which is named.",
    ),
    entry_of(
        "top_up_limit",
        StatusCode::CONFLICT,
        "Too much test money",
        "A wallet may have 100,000 units of a currency free at most after a top-up.",
        "Take less: the most that fits is named.",
    ),
    entry_of(
        "stock_limit",
        StatusCode::CONFLICT,
        "Too many units of one item",
        "An item can have a billion units over its life.",
        "Bring in fewer, or make another item.",
    ),
    entry_of(
        "endpoint_limit",
        StatusCode::CONFLICT,
        "Too many webhook endpoints",
        "A tenant has ten webhook endpoints at most.",
        "Delete one that is not needed.",
    ),
    entry_of(
        "endpoint_disabled",
        StatusCode::CONFLICT,
        "The webhook endpoint is disabled",
        "Its receiver answered 410, or it was deleted; it hears of nothing more.",
        "Make another endpoint.",
    ),
    entry_of(
        "tried_too_often",
        StatusCode::CONFLICT,
        "The delivery was tried too often",
        "A delivery can be tried 30,000 times.",
        "Read what it says, which is kept.",
    ),
    entry_of(
        "too_large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body is too large",
        "A body has 64 KiB at most.",
        "Send less.",
    ),
    entry_of(
        "uri_too_long",
        StatusCode::URI_TOO_LONG,
        "The address is too long",
        "An address has 8 KiB at most.",
        "Send less.",
    ),
    entry_of(
        "header_too_large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The headers are too large",
        "All headers together have 16 KiB at most.",
        "Send fewer or shorter headers.",
    ),
    entry_of(
        "invalid",
        StatusCode::UNPROCESSABLE_ENTITY,
        "A value is not as it must be",
        "The body can be read, but a field is missing, unknown, of another type or out of range. Each one is named.",
        "Correct the fields that are named.",
    ),
    entry_of(
        "currency_mismatch",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The currencies differ",
        "Item, mandate and request must have one currency; nothing is converted.",
        "Use a mandate in the item's currency.",
    ),
    entry_of(
        "wrong_mechanism",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The lot is sold in another way",
        "English lots take bids; Dutch lots and drops take claims.",
        "Use the other call.",
    ),
    entry_of(
        "total_out_of_range",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The total is out of range",
        "Price times quantity exceeds 2^53 − 1 minor units, or a Dutch lot is asked for more than its one unit.",
        "Buy less at once.",
    ),
    entry_of(
        "idempotency_key_reused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The key belongs to another request",
        "The key was used with another body. Nothing was done.",
        "Use a key of its own for each intended effect.",
    ),
    passing(entry_of(
        "rate_limited",
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests",
        "The key or the address sends more requests than it may. Nothing was counted as tried, and the Idempotency-Key is still free.",
        "Repeat the request after Retry-After.",
    )),
    entry_of(
        "internal",
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something broke on our side",
        "The request met a fault that is ours. It is logged under the request's id.",
        "Repeat the request with the same key; if it goes on, tell us the id.",
    ),
    passing(entry_of(
        "unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "The ledger is busy or unreachable",
        "Nothing was decided and nothing happened.",
        "Repeat the request with the same key after Retry-After.",
    )),
    passing(entry_of(
        "overloaded",
        StatusCode::SERVICE_UNAVAILABLE,
        "Too many want the same thing",
        "As many requests as may wait for one item or lot are waiting. Nothing was decided and nothing happened.",
        "Repeat the request with the same key after Retry-After.",
    )),
    passing(entry_of(
        "outcome_unknown",
        StatusCode::SERVICE_UNAVAILABLE,
        "The outcome is not known",
        "The connection to the ledger broke at the moment of commit. It happened once or not at all.",
        "Repeat the request with the same key, and only that: it answers what happened, or does it for the first time.",
    )),
];

/// The entry of a code; that of `internal` for a code that is not listed, which a test rules out.
#[must_use]
pub fn entry(code: &str) -> &'static Entry {
    find(code)
        .or_else(|| find("internal"))
        .unwrap_or(&ENTRIES[0])
}

/// The entry of a code, if there is one.
#[must_use]
pub fn find(code: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.code == code)
}
