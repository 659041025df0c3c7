//! A house of one room: a real axum server with the live plane, an embedded `DynamoDB`, and a fake
//! ledger and fake sessions behind the ports.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test may end it, and names only what it expects"
)]

use super::store::Store;
use app::ports::{
    Actor, BidReceipt, ClaimReceipt, Decided, Failure, KeptOutcome, Ledger, SessionKey, Sessions,
    SettleReceipt, StepIn, TopUpReceipt, Viewer,
};
use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use http::HeaderMap;
use server::clock::Clock;
use server::config::NodeUrl;
use server::events::{EventBody, HouseEvent};
use server::firehose::Firehose;
use server::ids;
use server::live::{self, Hub, LiveConfig, LiveParts, LiveState};
use shared::auction::english::Band;
use shared::auction::{Dutch, Extension, Increments, Status};
use shared::live::{
    Channel, ClientFrame, ErrorCode, LotEvent, Position, SUBPROTOCOL, ServerFrame, ServerMessage,
};
use shared::view::{
    Activity, ActivityKind, FloorView, LadderLine, LotView, Outcome, Person, Reserve, RoomView,
    Terms, WalletPageView, WalletView,
};
use shared::{Currency, IdempotencyKey, LotId, Money, PrincipalId, Region, Timestamp};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn money(minor: i64) -> Money {
    Money::new(minor, Currency::Usd).expect("in range")
}

pub fn person(handle: &str) -> Person {
    let number = handle.bytes().fold(0_u128, |n, b| n * 256 + u128::from(b));
    Person {
        id: PrincipalId::from_uuid(Uuid::from_u128(number)),
        handle: handle.to_owned(),
        name: handle.to_uppercase(),
        simulated: false,
    }
}

/// The wallet of everybody but Bo, who has none: no two people have the same.
pub fn wallet_of(who: PrincipalId) -> WalletView {
    let number = who.uuid().as_u128() % 1_000_000_007;
    let funded = money(i64::try_from(number).expect("small"));
    WalletView {
        available: funded,
        held: money(0),
        spent: money(0),
        funded,
        version: 3,
    }
}

pub fn drop_lot(id: LotId, offset: i64) -> LotView {
    LotView {
        id,
        title: "Lamp".to_owned(),
        art: "lamp".to_owned(),
        seller: person("sora"),
        currency: Currency::Usd,
        opens_at: Timestamp(0),
        closes_at: Timestamp(i64::MAX),
        status: Status::Open,
        terms: Terms::Drop {
            price: money(5),
            units: 9,
            units_left: 9,
            limit: None,
        },
        outcome: None,
        epoch: 1,
        offset,
    }
}

pub fn english_lot(id: LotId, offset: i64) -> LotView {
    let band = Band {
        from_minor: 0,
        increment_minor: 1,
    };
    LotView {
        terms: Terms::English {
            opening: money(5),
            increments: Increments::new(vec![band]).expect("bands"),
            extension: Extension {
                window_ms: 0,
                hard_end: Timestamp(i64::MAX),
            },
            reserve: Reserve::None,
            leader: None,
            next_minimum: Some(money(5)),
        },
        ..drop_lot(id, offset)
    }
}

pub fn dutch_lot(id: LotId, opens_at: Timestamp, tick_ms: i64) -> LotView {
    LotView {
        opens_at,
        closes_at: opens_at.plus_ms(60_000),
        terms: Terms::Dutch {
            schedule: Dutch {
                start: money(1_000),
                floor: money(100),
                step_minor: 10,
                tick_ms,
            },
        },
        ..drop_lot(id, 0)
    }
}

pub fn lot_event(lot: LotId, offset: i64) -> HouseEvent {
    let id = ids::event();
    HouseEvent {
        id,
        at: Timestamp(5),
        body: EventBody::Lot {
            lot,
            position: Position { epoch: 1, offset },
            event: LotEvent::Closed {
                status: Status::Passed,
                outcome: Outcome::Passed {
                    reserve_not_met: false,
                },
                closes_at: Timestamp(5),
            },
            card: Box::new(english_lot(lot, offset)),
            activity: Activity {
                id: id.to_string(),
                lot,
                title: "Lamp".to_owned(),
                what: ActivityKind::Passed,
                who: None,
                region: None,
                amount: None,
                at: Timestamp(5),
            },
            listed: true,
        },
    }
}

pub fn with_units_left(mut lot: LotView, left: u32) -> LotView {
    if let Terms::Drop { units_left, .. } = &mut lot.terms {
        *units_left = left;
    }
    lot
}

/// A unit of a drop at offset 4 was claimed; so many are left, as the claim knew.
pub fn claimed(lot: LotId, units_left: u32) -> HouseEvent {
    let id = ids::event();
    HouseEvent {
        id,
        at: Timestamp(5),
        body: EventBody::Stock {
            lot,
            units_left,
            line: LadderLine {
                id: id.to_string(),
                who: person("bo"),
                region: Region::Seoul,
                amount: money(5),
                units: 1,
                at: Timestamp(5),
            },
            card: Box::new(with_units_left(drop_lot(lot, 4), units_left)),
            activity: Activity {
                id: id.to_string(),
                lot,
                title: "Lamp".to_owned(),
                what: ActivityKind::Claimed,
                who: None,
                region: None,
                amount: None,
                at: Timestamp(5),
            },
            listed: true,
        },
    }
}

#[derive(Default)]
pub struct FakeLedger {
    rooms: Mutex<BTreeMap<LotId, LotView>>,
    pub reads: Mutex<u32>,
    /// Reads of wallets, of one or of many.
    pub wallet_reads: AtomicU32,
    /// Whether rooms cannot be read.
    pub is_down: AtomicBool,
}

impl FakeLedger {
    pub fn put(&self, lot: LotView) {
        self.rooms.lock().expect("healthy").insert(lot.id, lot);
    }
}

#[async_trait]
impl Ledger for FakeLedger {
    async fn bid(
        &self,
        _: &Actor,
        _: IdempotencyKey,
        _: LotId,
        _: Money,
    ) -> Result<Decided<BidReceipt>, Failure> {
        Err(Failure::Unavailable)
    }

    async fn claim(
        &self,
        _: &Actor,
        _: IdempotencyKey,
        _: LotId,
        _: u32,
        _: Money,
    ) -> Result<Decided<ClaimReceipt>, Failure> {
        Err(Failure::Unavailable)
    }

    async fn settle(
        &self,
        _: &Actor,
        _: IdempotencyKey,
        _: LotId,
    ) -> Result<Decided<SettleReceipt>, Failure> {
        Err(Failure::Unavailable)
    }

    async fn top_up(
        &self,
        _: &Actor,
        _: IdempotencyKey,
        _: Money,
    ) -> Result<Decided<TopUpReceipt>, Failure> {
        Err(Failure::Unavailable)
    }

    async fn kept_outcome(
        &self,
        _: PrincipalId,
        _: &IdempotencyKey,
    ) -> Result<Option<KeptOutcome>, Failure> {
        Err(Failure::Unavailable)
    }

    async fn floor(&self) -> Result<FloorView, Failure> {
        let rooms = self.rooms.lock().expect("healthy");
        Ok(FloorView {
            live: rooms.values().cloned().collect(),
            settled: vec![],
            activity: vec![],
            server_time: Timestamp(1),
        })
    }

    async fn room(&self, lot: LotId) -> Result<Option<RoomView>, Failure> {
        *self.reads.lock().expect("healthy") += 1;
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Failure::Unavailable);
        }
        let lot = self.rooms.lock().expect("healthy").get(&lot).cloned();
        Ok(lot.map(|lot| RoomView {
            lot,
            description: "A lamp.".to_owned(),
            ladder: vec![],
            server_time: Timestamp(1),
        }))
    }

    async fn wallets(
        &self,
        of: Vec<PrincipalId>,
        _: Currency,
    ) -> Result<BTreeMap<PrincipalId, WalletView>, Failure> {
        self.wallet_reads.fetch_add(1, Ordering::Relaxed);
        let rich = of.into_iter().filter(|who| *who != person("bo").id);
        Ok(rich.map(|who| (who, wallet_of(who))).collect())
    }

    async fn wallet_page(
        &self,
        _: PrincipalId,
        _: Currency,
    ) -> Result<Option<WalletPageView>, Failure> {
        Ok(None)
    }
}

/// The cookie names whom the browser may act as, as in `sessions=ada+bo`.
struct FakeSessions;

#[async_trait]
impl Sessions for FakeSessions {
    async fn viewer(
        &self,
        headers: &HeaderMap,
        acting_as: Option<&str>,
        acting_in: Option<&str>,
    ) -> Result<Viewer, Failure> {
        let cookie = headers.get(http::header::COOKIE);
        let cookie = cookie.and_then(|c| c.to_str().ok()).unwrap_or_default();
        if cookie == "broken" {
            return Err(Failure::Unavailable);
        }
        let handles = cookie.strip_prefix("sessions=").unwrap_or_default();
        let sessions: Vec<Person> = handles
            .split('+')
            .filter(|handle| !handle.is_empty())
            .map(person)
            .collect();
        let person = match acting_as {
            Some(handle) => sessions.iter().find(|p| p.handle == handle).cloned(),
            None => sessions.first().cloned(),
        };
        let region = acting_in.and_then(|code| code.parse().ok());
        let operator = person.as_ref().is_some_and(|p| p.handle == "operator");
        Ok(Viewer {
            operator,
            person,
            region: region.unwrap_or(Region::Tokyo),
            sessions,
            session: None,
        })
    }

    async fn demo_people(&self) -> Result<Vec<Person>, Failure> {
        Ok(vec![])
    }

    async fn step_in(&self, _: &HeaderMap, _: &str) -> Result<StepIn, Failure> {
        Ok(StepIn::Unknown)
    }

    async fn step_out(&self, _: &HeaderMap, _: Option<&str>) -> Result<(), Failure> {
        Ok(())
    }

    async fn ended(&self, _: &[SessionKey]) -> Result<Vec<SessionKey>, Failure> {
        Ok(vec![])
    }
}

pub struct House {
    pub live: LiveState,
    pub hub: Arc<Hub>,
    pub ledger: Arc<FakeLedger>,
    pub firehose: Firehose,
    pub clock: Arc<Clock>,
    pub address: SocketAddr,
    /// An English lot that exists, at offset 4.
    pub lot: LotId,
    store: Arc<Store>,
    server: JoinHandle<()>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl House {
    pub async fn open() -> Self {
        Self::with(LiveConfig::default()).await
    }

    pub async fn with(config: LiveConfig) -> Self {
        Self::after(config, &[]).await
    }

    /// A house whose event log has these offsets of the lot from before it opened.
    pub async fn after(config: LiveConfig, logged: &[i64]) -> Self {
        let store = Arc::new(Store::start());
        let ledger = Arc::new(FakeLedger::default());
        let lot = ids::lot();
        ledger.put(english_lot(lot, 4));
        Self::node(config, store, ledger, lot, logged).await
    }

    /// Another node of the same house.
    pub async fn beside(house: &Self) -> Self {
        let (store, ledger) = (Arc::clone(&house.store), Arc::clone(&house.ledger));
        Self::node(LiveConfig::default(), store, ledger, house.lot, &[]).await
    }

    async fn node(
        config: LiveConfig,
        store: Arc<Store>,
        ledger: Arc<FakeLedger>,
        lot: LotId,
        logged: &[i64],
    ) -> Self {
        let clock = Arc::new(Clock::new());
        let firehose = store.firehose("lotzero-test", &clock).await;
        firehose.ensure_table().await.expect("table");
        let hub = Hub::new(Arc::clone(&clock));
        for offset in logged {
            let logged = firehose.append_event(&lot_event(lot, *offset)).await;
            logged.expect("appends");
        }
        let parts = LiveParts {
            clock: Arc::clone(&clock),
            hub: Arc::clone(&hub),
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            firehose: firehose.clone(),
            sessions: Arc::new(FakeSessions),
            histories: vec![],
        };
        // The listener first: other nodes follow the stream by this address.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = LiveConfig {
            node_url: NodeUrl::of_listener(address, true),
            ..config
        };
        let live = LiveState::start(config, parts).await;
        let routes = live::routes(live.clone()).merge(live.stream.routes());
        let server = tokio::spawn(async move {
            let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, routes).await.expect("serves");
        });
        Self {
            live,
            hub,
            ledger,
            firehose,
            clock,
            address,
            lot,
            store,
            server,
        }
    }

    pub fn request(&self, query: &str) -> http::Request<()> {
        let url = format!("ws://{}/live{query}", self.address);
        let mut request = url.into_client_request().expect("a request");
        let origin = format!("http://{}", self.address);
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse().expect("a header"));
        headers.insert(
            "sec-websocket-protocol",
            http::HeaderValue::from_static(SUBPROTOCOL),
        );
        request
    }

    /// A socket that acts for somebody, after its hello.
    pub async fn socket(&self, handle: Option<&str>) -> Socket {
        let mut request = self.request("");
        if let Some(handle) = handle {
            let cookie = format!("sessions={handle}");
            let cookie = cookie.parse().expect("a header");
            request.headers_mut().insert("cookie", cookie);
        }
        let mut socket = Socket::open(request).await.expect("connects");
        let hello = socket.next().await;
        let acting = handle.map(str::to_owned);
        assert_eq!(hello, ServerMessage::Hello { acting });
        socket
    }
}

pub struct Socket {
    pub inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u32,
}

impl Socket {
    /// Connects, or answers the status and the text of the refusal.
    pub async fn open(request: http::Request<()>) -> Result<Self, (u16, String)> {
        match tokio_tungstenite::connect_async(request).await {
            Ok((inner, _response)) => Ok(Self { inner, next_id: 1 }),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                Err((response.status().as_u16(), body))
            }
            Err(other) => panic!("no connection: {other}"),
        }
    }

    pub async fn raw(&mut self, message: Message) {
        self.inner.send(message).await.expect("sends");
    }

    pub async fn text(&mut self, text: &str) {
        self.raw(Message::text(text)).await;
    }

    /// Sends a frame made with a fresh id, and answers the id.
    pub async fn send(&mut self, frame: impl FnOnce(u32) -> ClientFrame) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let text = serde_json::to_string(&frame(id)).expect("writes");
        self.text(&text).await;
        id
    }

    /// The next message that is no ping, or the close code.
    pub async fn next_or_close(&mut self) -> Result<ServerMessage, Option<u16>> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.inner.next()).await;
            match next.expect("something within the patience of a test") {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str::<ServerFrame>(&text);
                    match frame.expect("a frame of the protocol").message {
                        ServerMessage::Ping => {}
                        message => return Ok(message),
                    }
                }
                Some(Ok(Message::Close(close))) => return Err(close.map(|c| c.code.into())),
                Some(Ok(_control)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    pub async fn next(&mut self) -> ServerMessage {
        let next = self.next_or_close().await;
        next.unwrap_or_else(|code| panic!("closed with {code:?}"))
    }

    /// Reads until the close frame, and answers its code.
    pub async fn closes(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next_or_close().await {
                return code.expect("a close code");
            }
        }
    }

    /// The error that comes next: whose frame, which, and whether it may be tried again.
    pub async fn error(&mut self) -> (Option<u32>, ErrorCode, bool) {
        match self.next().await {
            ServerMessage::Error {
                id,
                code,
                temporary,
                message,
                ..
            } => {
                assert!(!message.is_empty());
                (id, code, temporary)
            }
            other => panic!("no error: {other:?}"),
        }
    }

    pub async fn subscribe(&mut self, channel: Channel, since: Option<Position>) -> bool {
        let id = self
            .send(|id| ClientFrame::Subscribe { id, channel, since })
            .await;
        match self.next().await {
            ServerMessage::Subscribed {
                id: answered,
                channel: joined,
                recovered,
            } => {
                assert_eq!((answered, joined), (id, channel));
                recovered
            }
            other => panic!("not subscribed: {other:?}"),
        }
    }
}
