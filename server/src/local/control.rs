//! The control port: whoever uses the stores holds a connection open here, and the stores end
//! when nobody does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Time for a node to be started again after the last one ended.
const LAST_USER_GRACE: Duration = Duration::from_secs(3);

/// Time for whoever started the stores to come.
const NOBODY_CAME_GRACE: Duration = Duration::from_secs(30);

/// Time to show the token.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// A token has 32 characters and its line's end.
const MAX_HELLO_BYTES: u64 = 64;

/// What an admitted user is told.
const WELCOME: &[u8] = b"welcome\n";

/// Who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Users {
    now: usize,
    ever: bool,
    /// Once closed, nobody is admitted any more.
    closed: bool,
}

/// The stores' side of the control port.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    token: String,
    users: watch::Sender<Users>,
    stop: CancellationToken,
}

impl Control {
    /// Opens the port.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let nobody = Users {
            now: 0,
            ever: false,
            closed: false,
        };
        let control = Self {
            address: listener.local_addr()?,
            token: format!("{:032x}", rand::random::<u128>()),
            users: watch::Sender::new(nobody),
            stop: CancellationToken::new(),
        };
        let door = Door {
            token: control.token.clone(),
            users: control.users.clone(),
            stop: control.stop.clone(),
        };
        tokio::spawn(admit(listener, door));
        Ok(control)
    }

    /// Where users connect.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What users show.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Resolves once nobody has used the stores for the grace time; nobody is admitted afterwards.
    pub async fn unused(&self) {
        let mut users = self.users.subscribe();
        loop {
            let Users { now, ever, .. } = *users.borrow_and_update();
            let grace = match (now, ever) {
                (0, true) => LAST_USER_GRACE,
                (0, false) => NOBODY_CAME_GRACE,
                _ => Duration::MAX,
            };
            if tokio::time::timeout(grace, users.changed()).await.is_ok() {
                continue;
            }
            // Somebody may come in this very moment: whoever changes the value first wins.
            let closed = self.users.send_if_modified(|users| {
                users.closed = users.now == 0;
                users.closed
            });
            if closed {
                return;
            }
        }
    }

    /// Sends everybody away.
    pub fn close(&self) {
        self.users.send_modify(|users| users.closed = true);
        self.stop.cancel();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the accepting task needs.
#[derive(Clone)]
struct Door {
    token: String,
    users: watch::Sender<Users>,
    stop: CancellationToken,
}

async fn admit(listener: TcpListener, door: Door) {
    let stop = door.stop.clone();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let door = door.clone();
                tokio::spawn(async move {
                    let stop = door.stop.clone();
                    stop.run_until_cancelled(host(stream, door)).await;
                });
            }
            // Out of descriptors: let some go.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Counts one user for as long as the connection is open.
async fn host(stream: TcpStream, door: Door) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut hello = (&mut stream).take(MAX_HELLO_BYTES);
    let read = tokio::time::timeout(HELLO_WITHIN, hello.read_line(&mut line)).await;
    let shown = line.trim_end().as_bytes();
    if !matches!(read, Ok(Ok(_))) || !bool::from(shown.ct_eq(door.token.as_bytes())) {
        return;
    }
    let Some(_present) = Present::enter(&door.users) else {
        return;
    };
    if stream.write_all(WELCOME).await.is_err() {
        return;
    }
    // Users say nothing more: the next thing to read is their end.
    let _ = stream.read_u8().await;
}

/// One user, counted until dropped.
struct Present {
    users: watch::Sender<Users>,
}

impl Present {
    fn enter(users: &watch::Sender<Users>) -> Option<Self> {
        let entered = users.send_if_modified(|users| {
            if !users.closed {
                users.now += 1;
                users.ever = true;
            }
            !users.closed
        });
        entered.then(|| Self {
            users: users.clone(),
        })
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.users.send_modify(|users| users.now -= 1);
    }
}

/// A user's side: connects, shows the token and is admitted, or is not.
pub async fn enter(address: SocketAddr, token: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{token}\n").as_bytes()).await?;
    let mut answer = [0; WELCOME.len()];
    let read = tokio::time::timeout(HELLO_WITHIN, stream.read_exact(&mut answer)).await;
    read.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    if answer != WELCOME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_token_opens() {
        let control = Control::open().await.expect("open");
        let wrong = "0".repeat(32);
        assert!(enter(control.address(), &wrong).await.is_err());
        assert!(enter(control.address(), "").await.is_err());
        assert!(enter(control.address(), &"x".repeat(10_000)).await.is_err());
        let mut held = enter(control.address(), control.token())
            .await
            .expect("enter");
        assert_eq!(control.users.borrow().now, 1);
        control.close();
        assert!(held.read_u8().await.is_err(), "everybody is sent away");
    }

    #[tokio::test]
    async fn the_last_user_leaving_ends_it_after_the_grace_time() {
        let control = Control::open().await.expect("open");
        let first = enter(control.address(), control.token()).await;
        let second = enter(control.address(), control.token()).await;
        let soon = Duration::from_millis(100);
        drop(first);
        assert!(tokio::time::timeout(soon, control.unused()).await.is_err());
        drop(second);
        let started = tokio::time::Instant::now();
        control.unused().await;
        let waited = started.elapsed();
        assert!(waited >= LAST_USER_GRACE - soon, "{waited:?}");
        assert!(waited < LAST_USER_GRACE * 2, "{waited:?}");
        let late = enter(control.address(), control.token()).await;
        assert!(late.is_err(), "nobody is admitted afterwards");
    }
}
