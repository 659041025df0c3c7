//! Watches a lot from the command line, as any native client may: `cargo run -p server --example
//! watch -- http://localhost:3000 lot_…`.
//!
//! It does what `/docs/socket` asks of a client. It subscribes, takes the snapshot, follows the
//! events by their offsets, drops what it has had, and comes back after a cut with its last place,
//! so that it misses nothing and hears nothing twice.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use shared::LotId;
use shared::live::{
    After, Backoff, Channel, ClientFrame, LotEvent, Position, Push, SUBPROTOCOL, ServerFrame,
    ServerMessage, Snapshot, after_close,
};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A server that says nothing for so long is gone: it pings every 25 s.
const SILENCE: Duration = Duration::from_secs(40);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(house), Some(lot), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("usage: watch http://HOST lot_…");
    };
    let lot = lot.parse().context("the lot is no id")?;
    let mut watch = Watch::new(&house, lot)?;
    watch.run(|line| println!("{line}")).await
}

/// What a client remembers from one connection to the next.
pub struct Watch {
    /// Such as `http://localhost:3000`: the origin that the house knows.
    origin: String,
    address: String,
    lot: LotId,
    /// The last place that was seen.
    place: Option<Position>,
    /// Names the next question.
    next_id: u32,
}

/// How a connection ended.
enum Ended {
    /// The lot is over: there is nothing to wait for.
    Over,
    /// The socket is gone, with this close code.
    Closed(u16),
}

impl Watch {
    /// Prepares to watch a lot of a house.
    ///
    /// # Errors
    /// When the house's address is none.
    pub fn new(house: &str, lot: LotId) -> anyhow::Result<Self> {
        let origin = house.trim_end_matches('/').to_owned();
        let host = origin
            .strip_prefix("http://")
            .context("this example speaks plain http:// only")?;
        Ok(Self {
            address: format!("ws://{host}/live"),
            origin,
            lot,
            place: None,
            next_id: 1,
        })
    }

    /// Watches until the lot is over, coming back after every cut; `say` gets a line for each thing
    /// that happens.
    ///
    /// # Errors
    /// When the house does not want this client back, or refuses what it asks for.
    pub async fn run(&mut self, mut say: impl FnMut(String)) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let code = match self.attend(&mut say).await {
                Ok(Ended::Over) => return Ok(()),
                Ok(Ended::Closed(code)) => code,
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(error) => {
                    eprintln!("cut off: {error:#}");
                    // No close frame came.
                    1006
                }
            };
            let after = after_close(code);
            ensure!(after != After::Stay, "closed for good with {code}");
            backoff.stood(i64::try_from(begun.elapsed().as_millis())?);
            let pause = backoff.pause_ms(after, rand::random());
            eprintln!("closed with {code}, back in {pause} ms");
            tokio::time::sleep(Duration::from_millis(u64::from(pause))).await;
        }
    }

    async fn attend(&mut self, say: &mut impl FnMut(String)) -> anyhow::Result<Ended> {
        let mut request = self.address.as_str().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("origin", self.origin.parse()?);
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let (mut socket, _answer) = connect_async(request).await?;
        self.subscribe(&mut socket, self.place).await?;
        loop {
            let message = tokio::time::timeout(SILENCE, socket.next()).await;
            let Some(message) = message.context("nothing heard")? else {
                return Ok(Ended::Closed(1006));
            };
            match message? {
                Message::Text(text) => {
                    let frame: ServerFrame = serde_json::from_str(&text)?;
                    if self.take_in(frame.message, &mut socket, say).await? {
                        return Ok(Ended::Over);
                    }
                }
                Message::Close(close) => {
                    let code = close.map_or(1005, |close| close.code.into());
                    return Ok(Ended::Closed(code));
                }
                // The library answers pings itself.
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn subscribe(
        &mut self,
        socket: &mut Socket,
        since: Option<Position>,
    ) -> anyhow::Result<()> {
        let frame = ClientFrame::Subscribe {
            id: self.next_id,
            channel: Channel::Lot(self.lot),
            since,
        };
        self.next_id += 1;
        socket
            .send(Message::text(serde_json::to_string(&frame)?))
            .await?;
        Ok(())
    }

    /// Takes in one message; answers whether the lot is over.
    async fn take_in(
        &mut self,
        message: ServerMessage,
        socket: &mut Socket,
        say: &mut impl FnMut(String),
    ) -> anyhow::Result<bool> {
        match message {
            ServerMessage::Snapshot { snapshot, .. } => {
                if let Snapshot::Room(room) = *snapshot {
                    let lot = room.lot;
                    self.place = Some(Position {
                        epoch: lot.epoch,
                        offset: lot.offset,
                    });
                    let price = lot.price_at(room.server_time);
                    say(format!("{} stands at {price}", lot.title));
                    return Ok(lot.outcome.is_some());
                }
            }
            ServerMessage::Push {
                position: Some(at),
                push,
                ..
            } => match self.follows(at) {
                Follows::Yes => {
                    self.place = Some(at);
                    return Ok(tell(at, *push, say));
                }
                Follows::Repeat => {}
                Follows::Gap => self.subscribe(socket, None).await?,
            },
            ServerMessage::Push { push, .. } => {
                let _over = tell(self.place.unwrap_or(NOWHERE), *push, say);
            }
            ServerMessage::Resync { .. } => self.subscribe(socket, None).await?,
            ServerMessage::Error {
                code,
                message,
                temporary,
                ..
            } => {
                ensure!(temporary, Refused(format!("{code:?}: {message}")));
                bail!("{message}");
            }
            ServerMessage::Ping => {
                // Any frame says that this client lives.
                let frame = ClientFrame::Ping { id: self.next_id };
                self.next_id += 1;
                socket
                    .send(Message::text(serde_json::to_string(&frame)?))
                    .await?;
            }
            ServerMessage::Subscribed { recovered, .. } => {
                if recovered {
                    say("nothing was missed but what follows".to_owned());
                }
            }
            ServerMessage::Hello { .. }
            | ServerMessage::Done { .. }
            | ServerMessage::History { .. }
            | ServerMessage::Pong { .. } => {}
        }
        Ok(false)
    }

    fn follows(&self, at: Position) -> Follows {
        match self.place {
            Some(last) if last.epoch == at.epoch && at.offset <= last.offset => Follows::Repeat,
            Some(last) if last.epoch == at.epoch && at.offset == last.offset + 1 => Follows::Yes,
            Some(_) | None => Follows::Gap,
        }
    }
}

const NOWHERE: Position = Position {
    epoch: 0,
    offset: 0,
};

/// Whether an event follows on the last one.
enum Follows {
    Yes,
    Repeat,
    Gap,
}

/// The house decided against what was asked: asking again changes nothing.
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
struct Refused(String);

/// Says what happened; answers whether the lot is over.
fn tell(at: Position, push: Push, say: &mut impl FnMut(String)) -> bool {
    match push {
        Push::Event(LotEvent::Bid { line, .. }) => {
            say(format!(
                "{}: {} bids {}",
                at.offset, line.who.handle, line.amount
            ));
            false
        }
        Push::Event(LotEvent::Closed { status, .. }) => {
            say(format!("{}: the lot is over, {status:?}", at.offset));
            true
        }
        Push::Tick { price } => {
            say(format!("the price falls to {price}"));
            false
        }
        Push::Stock { units_left, .. } => {
            say(format!("{units_left} units left"));
            false
        }
        Push::Chat(_)
        | Push::Removed { .. }
        | Push::Slow { .. }
        | Push::Crowd(_)
        | Push::Card(_)
        | Push::Activity(_)
        | Push::Wallet(_)
        | Push::Notice(_) => false,
    }
}
