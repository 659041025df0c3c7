//! The side that does nothing but deliver: sockets of tokio-tungstenite in a few loops, each of
//! which feeds a group of frames to one socket after another and flushes it.

use super::Beat;
use super::stamp;
use super::talk::{self, Order, Ready};
use anyhow::{Context, bail};
use futures::SinkExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Groups that may be on their way: more would only wait in memory.
const WINDOW: usize = 4;

enum Work {
    Add(Box<WebSocketStream<TcpStream>>),
    Write(Vec<Utf8Bytes>),
    Done(oneshot::Sender<()>),
}

struct Bare {
    loops: Vec<mpsc::Sender<Work>>,
    frame: Mutex<String>,
}

/// Serves until the input ends.
///
/// # Errors
/// When it cannot listen or the input cannot be read.
pub async fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let loops: Vec<_> = (0..count)
        .map(|_| {
            let (sender, work) = mpsc::channel(WINDOW);
            tokio::spawn(write(work));
            sender
        })
        .collect();
    let bare = Arc::new(Bare {
        loops,
        frame: Mutex::default(),
    });
    let doors = Arc::clone(&bare);
    tokio::spawn(async move {
        let mut next = 0;
        while let Ok((stream, _from)) = listener.accept().await {
            let sender = doors.loops[next % doors.loops.len()].clone();
            next += 1;
            tokio::spawn(async move {
                let _set = stream.set_nodelay(true);
                if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                    let _gone = sender.send(Work::Add(Box::new(socket))).await;
                }
            });
        }
    });
    talk::say(&Ready {
        address,
        lot: None,
        epoch: 0,
    });
    talk::obey(bare, act).await
}

async fn write(mut work: mpsc::Receiver<Work>) {
    let mut sockets = Vec::new();
    while let Some(work) = work.recv().await {
        match work {
            Work::Add(socket) => sockets.push(socket),
            Work::Write(frames) => {
                let mut broken = Vec::new();
                for (index, socket) in sockets.iter_mut().enumerate() {
                    if send(socket, &frames).await.is_none() {
                        broken.push(index);
                    }
                }
                for index in broken.into_iter().rev() {
                    sockets.swap_remove(index);
                }
            }
            Work::Done(done) => {
                let _nobody = done.send(());
            }
        }
    }
}

async fn send(socket: &mut WebSocketStream<TcpStream>, frames: &[Utf8Bytes]) -> Option<()> {
    for frame in frames {
        socket.feed(Message::Text(frame.clone())).await.ok()?;
    }
    socket.flush().await.ok()
}

async fn act(bare: Arc<Bare>, order: Order) -> anyhow::Result<Value> {
    match order {
        Order::Copy { frame } => {
            *bare.frame.lock().unwrap_or_else(PoisonError::into_inner) = frame;
            Ok(Value::Null)
        }
        Order::Publish { groups, per_group } => {
            for _ in 0..groups {
                bare.publish(per_group).await?;
            }
            bare.written().await?;
            Ok(json!({ "frames_per_write": per_group }))
        }
        Order::Pace {
            per_second,
            groups,
            per_group,
        } => {
            let mut beat = Beat::new(per_second)?;
            for _ in 0..groups {
                beat.next().await;
                bare.publish(per_group).await?;
            }
            Ok(Value::Null)
        }
        Order::Bid { .. }
        | Order::Purchase { .. }
        | Order::Counters
        | Order::Connect(_)
        | Order::Await { .. }
        | Order::Sample
        | Order::Stop { .. }
        | Order::Drop { .. }
        | Order::Receipts
        | Order::Leave => bail!("the bare loop does no such thing"),
    }
}

impl Bare {
    async fn publish(&self, frames: u32) -> anyhow::Result<()> {
        let frame = self
            .frame
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let frames: Vec<Utf8Bytes> = (0..frames).map(|_| stamp::renew(&frame).into()).collect();
        for sender in &self.loops {
            sender
                .send(Work::Write(frames.clone()))
                .await
                .ok()
                .context("a loop has ended")?;
        }
        Ok(())
    }

    async fn written(&self) -> anyhow::Result<()> {
        for sender in &self.loops {
            let (done, wait) = oneshot::channel();
            sender
                .send(Work::Done(done))
                .await
                .ok()
                .context("a loop has ended")?;
            wait.await?;
        }
        Ok(())
    }
}
